"""Shares of FullKV's scores and costs, on numbers made by hand."""

import pytest

from kvbook.chapters.figure_1 import shares
from kvbook.profiling.reported import Reported, SystemReport
from kvbook.profiling.timing import Measurement


def measured(method, context=100, times=(1.0, 2.0), peak=None, gone=False):
    return Measurement(
        method, context, 4, prefill=times, end_to_end=times, peak_bytes=peak, weight_bytes=100,
        out_of_memory=gone,
    )  # fmt: skip


def test_measurements_are_those_of_the_methods_in_their_order():
    data = {"measurements": [measured(name).data() for name in ("fullkv", "stock", "h2o")]}
    found = shares.read_measurements(data, ["h2o", "snapkv", "fullkv"])
    assert [one.method for one in found] == ["h2o", "fullkv"]
    assert found[1] == measured("fullkv")


def test_without_results_there_are_no_measurements_and_no_shares():
    assert shares.read_measurements({}, ["fullkv"]) == []
    assert shares.time_shares([]) == shares.memory_shares([]) == (0, {})


def test_times_are_paired_by_repeat():
    found = shares.time_shares([measured("fullkv"), measured("snapkv", times=(2.0, 1.0))])
    assert found.context == 100
    assert found.shares["snapkv"]["prefill time"] == (1.25, 0.5, 2.0)
    assert found.shares["fullkv"]["end-to-end time"] == (1, 1, 1)


def test_times_are_of_the_longest_context_where_fullkv_and_another_fitted():
    done = [
        measured("fullkv", 50), measured("snapkv", 50), measured("fullkv"),
        measured("snapkv", gone=True), measured("fullkv", 200, gone=True), measured("snapkv", 200),
    ]  # fmt: skip
    assert shares.time_shares(done).context == 50


def test_memory_counts_the_weights():
    done = [measured("fullkv", peak=300), measured("snapkv", peak=100)]
    found = shares.memory_shares(done)
    assert found == (
        100,
        {"fullkv": {"peak memory": (1, 1, 1)}, "snapkv": {"peak memory": (0.5,) * 3}},
    )


def test_memory_is_of_the_longest_context_where_fullkvs_was_measured():
    done = [
        measured("fullkv", 50, peak=300), measured("snapkv", 50),
        measured("fullkv"), measured("snapkv", peak=1),
    ]  # fmt: skip
    assert shares.memory_shares(done).context == 50
    assert set(shares.memory_shares(done).shares) == {"fullkv"}


def test_a_task_on_which_fullkv_scores_nothing_has_no_share():
    scores = {"fullkv": {"trec": 0.8, "lcc": 0.0}, "h2o": {"trec": 0.2, "lcc": 0.1}}
    assert shares.score_shares(scores) == {"h2o": {"trec": 0.25}}


def test_the_reports_tasks_go_without_their_metric():
    tasks = {
        "columns": ["trec (Acc)", "lcc (Edit Sim)"],
        "rows": {"h2o": {"trec (Acc)": 1.0, "lcc (Edit Sim)": 2.0}},
    }
    assert shares.report_scores(tasks) == {"h2o": {"trec": 1.0, "lcc": 2.0}}


@pytest.fixture
def report():
    full = {
        "prefill": {10: Reported(1.0, 2.0), 20: Reported(2.0, 4.0)},
        "e2e": {10: Reported(4.0, 3.0), 20: Reported(8.0, 6.0)},
    }
    h2o = {
        "prefill": {10: Reported(1.5, 9.0), 20: None},
        "e2e": {10: Reported(5.0, 9.0), 20: None},
    }
    return SystemReport([10, 20], {"fullkv": full, "h2o": h2o})


def test_the_reports_costs_are_those_at_its_shortest_context(report):
    names = ["prefill time", "end-to-end time", "peak memory"]
    assert shares.report_costs(report)["h2o"] == dict(zip(names, (1.5, 5.0, 9.0), strict=True))


def test_a_method_without_memory_has_no_share_in_the_report(report):
    assert shares.report_shares(report, "prefill", "seconds") == {10: {"h2o": 1.5}, 20: {}}
    assert shares.report_shares(report, "e2e", "gigabytes") == {10: {"h2o": 3.0}, 20: {}}
