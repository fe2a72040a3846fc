"""The report's latencies and memory in tables, beside what paper says."""

from types import SimpleNamespace

import pytest
from tables import cells

from kvbook import show
from kvbook.lm.costs import SHAPES
from kvbook.profiling.reported import GiB, MemoryLine, Reported, SystemReport


@pytest.fixture
def report():
    full = {
        "prefill": {1024: Reported(1.0, 2.0), 2048: Reported(2.0, 4.0)},
        "e2e": {1024: Reported(3.5, 2.0), 2048: Reported(6.0, 4.0)},
    }
    h2o = {stage: {1024: Reported(1.5, 9.0), 2048: None} for stage in full}
    return SystemReport([1024, 2048], {"fullkv": full, "h2o": h2o})


def test_costs_are_seconds_and_gigabytes_or_out_of_memory(report):
    rows = cells(show.reported_costs(report, ""))
    assert rows[0] == ["method", "stage", "1,024", "2,048"]
    assert rows[2] == ["fullkv", "e2e", "3.50 s, 2.00 GB", "6.00 s, 4.00 GB"]
    assert rows[3] == ["h2o", "prefill", "1.50 s, 9.00 GB", "OOM"]


def test_costs_may_name_their_unit_and_lead_to_where_they_are_from(report):
    rows = cells(show.reported_costs(report, "", " tokens", lambda text: f"[{text}]"))
    assert rows[0][2:] == ["1,024 tokens", "2,048 tokens"]
    assert rows[3][2:] == ["[1.50 s, 9.00 GB]", "[OOM]"]


def test_decoding_is_what_the_prefill_leaves_of_the_whole(report):
    rows = cells(show.reported_decode(report, ""))
    assert rows[1:] == [["fullkv", "2.50 s", "4.00 s"], ["h2o", "0.00 s", "OOM"]]


def test_a_line_has_bytes_a_token_and_gib():
    line = MemoryLine(2048.4, 0.5 * GiB, 1.25 * GiB, 1.5 * GiB)
    rows = cells(show.memory_lines({("fullkv", "prefill"): line}, 8192, ""))
    assert rows[0][4:] == ["8,192: by the line", "8,192: the report"]
    assert rows[1] == ["fullkv", "prefill", "2,048", "0.50", "1.25", "1.50"]


def test_a_model_is_its_weights_and_the_cache_of_a_token():
    rows = cells(show.model_sizes({"Qwen3-0.6B": SHAPES["Qwen3-0.6B"]}))
    assert rows[1] == ["Qwen3-0.6B", "1.11", "114,688"]


def test_the_matrix_stands_beside_the_blocks_and_the_report(report):
    peaks = {("h2o", context): (GiB, 2000 * GiB) for context in report.contexts}
    rows = cells(show.with_and_without_matrix(peaks, report, ""))
    assert rows[1] == ["h2o", "1,024", "1.0 GiB", "2,000.0 GiB", "9.0 GB"]
    assert rows[2][-1] == "OOM"


def test_full_memory_is_compared_with_the_report(report):
    paper = SimpleNamespace(
        weight_bytes=GiB, kv_bytes=GiB / 2, transient_bytes=GiB / 4, peak_bytes=3 * GiB
    )
    rows = cells(show.full_memory({1024: paper}, report, ""))
    assert rows[1] == ["1,024", "1.00", "0.50", "0.25", "3.00", "2.00", "+50%"]


def test_the_roofline_stands_beside_the_report(report):
    paper = SimpleNamespace(prefill_seconds=0.25, decode_seconds=0.002)
    rows = cells(show.roofline_seconds({(2048, "fullkv"): paper}, report, ""))
    assert rows[1] == ["2,048", "fullkv", "0.25 s", "2.00 s", "2.0 ms a token"]
