"""A GPU's numbers beside the report's and those on paper, on numbers made by hand."""

import re
from types import SimpleNamespace

from tables import cells

from kvbook import show
from kvbook.profiling.gpu import GpuReport
from kvbook.profiling.hardware import Hardware
from kvbook.profiling.reported import Reported, SystemReport
from kvbook.profiling.timing import Measurement

GiB = 2**30


def measured(method, context=8192, **more):
    return Measurement(
        method, context, 11, prefill=(1.0, 3.0, 2.0), end_to_end=(4.0,), weight_bytes=GiB,
        peak_bytes=GiB // 2, **more,
    )  # fmt: skip


GPU = GpuReport(
    header={
        "model": "m", "dtype": "bfloat16", "new_tokens": 11, "versions": {"torch": "2", "transformers": "5"},
        "device": {"cuda": "13.0", "driver": "580"},
    },
    hardware=Hardware("a card", 4e14, 2e12, 80 * GiB, 1e-4),
    agreement={"fullkv": {"kept": 1.0, "tokens": True}, "h2o": {"kept": 0.995, "tokens": True}},
    measurements=[
        measured("fullkv"), Measurement("h2o", 8192, 11, weight_bytes=GiB, out_of_memory=True),
        measured("own"),
    ],
    papers=3 * [{"prefill_seconds": 0.5, "decode_seconds": 0.1, "peak_bytes": GiB}],
    left_out=[],
)  # fmt: skip
CELLS = {"prefill": {8192: Reported(0.83, 2.44)}, "e2e": {8192: Reported(10.95, 2.5)}}
REPORT = SystemReport([8192], {"fullkv": CELLS, "h2o": {stage: {8192: None} for stage in CELLS}})


def test_each_cost_stands_as_reported_as_measured_and_on_paper():
    rows = cells(show.beside_gpu(REPORT, GPU, 8192, "beside"))
    assert rows[1] == [
        "fullkv", "0.83", "2.00", "0.50", "10.95", "4.00", "1.50", "2.50", "1.50", "2.00",
    ]  # fmt: skip


def test_what_did_not_fit_and_what_the_report_has_not_are_told_apart():
    rows = cells(show.beside_gpu(REPORT, GPU, 8192, "beside"))
    assert rows[2] == ["h2o", "OOM", "OOM", "0.50", "OOM", "OOM", "1.50", "OOM", "OOM", "2.00"]
    assert [rows[3][place] for place in (1, 4, 7)] == ["–", "–", "–"]


def test_sentences_say_what_fits_and_how_far_the_costs_are_apart():
    told = str(show.gpu_sentences(REPORT, GPU, 8192)).splitlines()
    assert told == [
        "- Prefill, s: 2.41 to 2.41 times the report's, by method, and 4.00 to 4.00 times what the cost model says.",
        "- End to end, s: 0.37 to 0.37 times the report's, by method, and 2.67 to 2.67 times what the cost model says.",
        "- Peak memory, GiB: 0.60 to 0.60 times the report's, by method, and 0.75 to 0.75 times what the cost model says.",
    ]


def test_what_ran_out_of_memory_on_one_side_only_is_named():
    fits, fails = {stage: {8192: Reported(1.0, 2.0)} for stage in CELLS}, REPORT.rows["h2o"]
    swapped = SystemReport([8192], {"fullkv": fails, "h2o": fits})
    told = str(show.gpu_sentences(swapped, GPU, 8192)).splitlines()
    assert told[:2] == [
        "- Out of memory in the report, not here: fullkv.",
        "- Out of memory here, not in the report: h2o.",
    ]


def test_every_column_says_what_kind_of_number_it_holds():
    page = show.beside_gpu(REPORT, GPU, 8192, "beside").data
    kinds = re.findall(r'class="kv-(report|measured|computed)"', page)
    assert kinds == 3 * ["report", "measured", "computed"]


def test_numbers_lead_to_where_they_are_from():
    page = show.beside_gpu(
        REPORT, GPU, 8192, "", (lambda text: f"r{text}", lambda text: f"g{text}")
    )
    assert cells(page)[1][1:4] == ["r0.83", "g2.00", "g0.50"]


def test_the_card_is_told_with_its_versions_and_the_worst_agreement():
    [_, row] = cells(show.gpu_machine(GPU, ""))
    assert row == ["a card", "80", "13.0", "580", "400.0", "2,000", "0.10 ms", "99.50%"]
    assert (GPU.new_tokens, GPU.contexts) == (11, [8192])
    assert GPU.called == "a card; m in bfloat16; torch 2, transformers 5"


def test_a_try_on_the_cpu_has_no_driver():
    gpu = SimpleNamespace(**vars(GPU) | {"header": {"device": {"type": "cpu"}}})
    assert cells(show.gpu_machine(gpu, ""))[1][2:4] == ["–", "–"]
