"""The report's right half: its cells, its curves, and the lines through its memory."""

import pytest

from kvbook.places import place
from kvbook.profiling.reported import GiB, MemoryLine, Reported, SystemReport, fit_memory


@pytest.fixture(scope="module")
def report():
    return SystemReport.read(place("data"))


def test_a_cell_has_seconds_and_gigabytes_or_no_memory(report):
    assert report.rows["fullkv"]["e2e"][32768] == Reported(16.26, 5.27)
    assert report.rows["h2o"]["prefill"][32768] is None


def test_every_row_has_every_context_in_order(report):
    for stages in report.rows.values():
        assert all(list(cells) == report.contexts for cells in stages.values())


def test_a_curve_is_the_column_and_none_where_memory_was_not_enough(report):
    curves = report.curves["h2o"]
    assert curves["prefill"] == {8192: (1.81, 1.81, 1.81), 32768: None, 131072: None}
    assert curves["memory"][8192] == (19.02, 19.02, 19.02)


def test_fastkv_end_to_end_has_a_curve_of_its_own_memory(report):
    printed = report.rows["fastkv"]["e2e"][131072].gigabytes
    assert report.curves["fastkv, end to end"]["memory"][131072] == (printed,) * 3


def test_the_line_goes_through_the_two_longest_contexts():
    line = fit_memory({10: Reported(0, 4.0), 20: Reported(0, 5.0), 40: Reported(0, 9.0)})
    assert line == pytest.approx(MemoryLine(0.2 * GiB, 1.0 * GiB, 3.0 * GiB, 4.0 * GiB))


def test_there_is_a_line_only_where_every_context_fitted(report):
    lines = report.memory_lines
    assert ("fullkv", "prefill") in lines and ("fastkv", "e2e") in lines
    assert not any(method in ("h2o", "pyramidinfer") for method, _ in lines)
