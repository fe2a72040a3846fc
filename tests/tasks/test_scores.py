"""Scores of several methods on the same items, on answers made by hand."""

from types import SimpleNamespace

import pytest

from kvbook import create_method
from kvbook.stats import mean_and_interval, paired_interval
from kvbook.tasks import scores

FULL = {
    "scores": {"trec": {"a": 1.0, "b": 0.5}, "lcc": {"a": 0.5, "c": 1.0}},
    "kept_bytes": {"trec": 100, "lcc": 50},
    "seconds": {"trec": 1.0, "lcc": 2.0},
    "out_of_memory": 0,
}
SNAP = {
    "scores": {"trec": {"a": 0.5, "b": 0.5}, "lcc": {"a": 0.0}},
    "kept_bytes": {"trec": 10, "lcc": 15},
    "seconds": {"trec": 1.0, "lcc": 1.0},
    "out_of_memory": 1,
}
BOTH = {"snapkv": SNAP, "fullkv": FULL}


def test_methods_are_asked_every_task_with_the_same_options(monkeypatch):
    asked = []

    def evaluate_all(lm, methods, task, **options):
        asked.append((list(methods), task, options))
        return {
            label: SimpleNamespace(scores={task: size}, kept_bytes=7, seconds=2.0, out_of_memory=1)
            for label, size in (("one", 0.5), ("other", 1.0))
        }

    monkeypatch.setattr(scores, "evaluate_all", evaluate_all)
    lm, method = SimpleNamespace(model=None, tokenizer=None), create_method("fullkv")
    found = scores.ask_tasks(lm, {"one": method, "other": method}, ["trec", "lcc"], limit=3)
    assert asked == [(["one", "other"], task, {"limit": 3}) for task in ("trec", "lcc")]
    assert list(found) == ["one", "other"] and found["other"]["scores"]["lcc"] == {"lcc": 1.0}
    assert found["one"] == {
        "scores": {"trec": {"trec": 0.5}, "lcc": {"lcc": 0.5}},
        "kept_bytes": {"trec": 7, "lcc": 7},
        "seconds": {"trec": 2.0, "lcc": 2.0},
        "out_of_memory": 2,
    }


def test_some_tasks_of_an_answer_are_that_part_of_it():
    assert scores.only_tasks(SNAP, ["lcc"]) == {
        "scores": {"lcc": {"a": 0.0}},
        "kept_bytes": {"lcc": 15},
        "seconds": {"lcc": 1.0},
        "out_of_memory": 0,
    }


def test_intervals_are_those_of_the_items_times_100():
    mean, low, high = scores.intervals(BOTH, seed=3)["fullkv"]["trec"]
    assert (mean, low, high) == tuple(100 * one for one in mean_and_interval([1.0, 0.5], 3))
    assert mean == 75


def test_a_task_without_a_scored_item_is_0():
    assert scores.intervals({"h2o": {"scores": {"lcc": {}}}}) == {"h2o": {"lcc": (0, 0, 0)}}


def test_bytes_are_a_share_of_full_kv_task_by_task():
    assert scores.kept_shares(BOTH) == pytest.approx({"snapkv": (0.1 + 0.3) / 2, "fullkv": 1})


def test_the_task_with_most_items_counts():
    assert scores.most_items({"fullkv": {"scores": {"a": {"x": 1}, "b": {"x": 1, "y": 0}}}}) == 2


def test_items_of_two_tasks_with_one_name_are_two():
    assert scores.pool_items(SNAP) == {("trec", "a"): 0.5, ("trec", "b"): 0.5, ("lcc", "a"): 0.0}


def test_the_best_mean_is_first():
    assert scores.rank_methods(BOTH) == ["fullkv", "snapkv"]


def test_a_difference_is_over_the_items_that_both_answered():
    found = scores.difference(SNAP, FULL, seed=1)
    by_item = paired_interval([0.0, 0.5, 0.5], [0.5, 1.0, 0.5], 1)  # c has run out of memory
    assert found == tuple(100 * one for one in by_item)
    assert found[0] == pytest.approx(-100 / 3)


def test_only_an_interval_without_0_tells_two_apart():
    points = {"a": (-2, -3, -1), "b": (-2, -3, 0), "c": (2, 0, 3), "d": (2, 1, 3)}
    assert scores.tell_apart(points) == (["a"], ["b", "c"], ["d"])


def test_the_items_of_all_tasks_are_pooled_for_one_mean():
    [(mean, low, high)] = scores.pooled_intervals({"snapkv": SNAP}).values()
    assert mean == pytest.approx(100 / 3) and low <= mean <= high
