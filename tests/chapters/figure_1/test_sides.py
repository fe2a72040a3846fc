"""The report and this book in the same form."""

import pytest

from kvbook.chapters.figure_1.shares import NOTHING, CostShares
from kvbook.chapters.figure_1.sides import Side, our_side, report_side
from kvbook.profiling.reported import Reported, SystemReport

REPORT = {
    "tasks": {
        "columns": ["trec (Acc)", "lcc (Edit Sim)"],
        "rows": {
            "fullkv": {"trec (Acc)": 50.0, "lcc (Edit Sim)": 20.0},
            "h2o": {"trec (Acc)": 25.0, "lcc (Edit Sim)": 20.0},
        },
    },
    "finetuning": {"bertscore_f1": {"before": 0.63, "after": 0.7}},
}
SYSTEM = SystemReport(
    [10],
    {
        method: {"prefill": {10: Reported(time, 1.0)}, "e2e": {10: Reported(2 * time, memory)}}
        for method, time, memory in (("fullkv", 1.0, 2.0), ("h2o", 2.0, 5.0))
    },
)
SCORES = {
    "fullkv": {"trec": (0.8, 0.7, 0.9)},
    "h2o": {"trec": (0.2, 0.1, 0.3)},
    "own": {"trec": (0.4, 0.3, 0.5)},
}
MEANS = {"fullkv": (1.0, 1.0, 1.0), "h2o": (0.25, 0.2, 0.3), "own": (0.5, 0.4, 0.6)}
NAMES = ("prefill time", "end-to-end time")
TIMES = CostShares(
    64,
    {
        "fullkv": dict.fromkeys(NAMES, (1, 1, 1)),
        "h2o": dict(zip(NAMES, [(2, 1, 3), (3, 2, 4)], strict=True)),
    },
)
HELD = CostShares(32, {"fullkv": {"peak memory": (1,) * 3}, "h2o": {"peak memory": (0.9,) * 3}})


def test_the_reports_side_is_shares_of_its_fullkv():
    side = report_side(REPORT, SYSTEM)
    assert (side.tasks, side.means) == ({"h2o": {"trec": 0.5, "lcc": 1.0}}, {"h2o": 0.75})
    assert side.prefill == side.end_to_end == {10: {"h2o": 2.0}}
    assert side.memory == {10: {"h2o": 2.5}}
    assert side.tuning == (True, "+0.07, without an interval")


def test_our_side_has_the_scores_of_the_reports_methods_and_the_costs_of_all():
    side = our_side(Side({"h2o": {}}, {"h2o": 0.7}), SCORES, MEANS, TIMES, HELD)
    assert (side.tasks, side.means) == ({"h2o": {"trec": 0.25}}, {"h2o": 0.25})
    assert (side.prefill, side.end_to_end) == ({64: {"h2o": 2}}, {64: {"h2o": 3}})
    assert side.memory == {32: {"h2o": 0.9}}
    assert side.tuning is None


@pytest.mark.parametrize("low, gained", [(0.01, True), (-0.01, False)])
def test_the_gain_with_the_most_items_counts_and_its_interval_decides(low, gained):
    few = {"items": 4, "gain": 0.5, "low": 0.4, "high": 0.6}
    many = {"items": 33, "gain": 0.05, "low": low, "high": 0.09}
    side = our_side(Side(), {}, {}, NOTHING, NOTHING, [few, many])
    assert side.tuning == (gained, f"+0.050 ({low:+.3f} to +0.090)")


def test_without_results_our_side_is_empty():
    assert our_side(Side({"h2o": {}}, {"h2o": 0.7}), {}, {}, NOTHING, NOTHING) == Side()
