"""Kept runs as contests: every task, every budget, the same items for all."""

import json

import pytest

from kvbook.places import place
from kvbook.stats import paired_interval
from kvbook.tasks.leads import (
    Contest,
    above_all,
    evaluated_contests,
    harder_contests,
    leads_over,
)


def part(high, low):
    """An evaluation's scores and needles of two methods; the items of the second come in another order."""
    return {
        "evaluated": {
            "a": {"scores": {"trec": {"x": high, "y": low}}},
            "b": {"scores": {"trec": {"y": 0.0, "x": 0.5}}},
        },
        "needles": {
            "a": {"128": [[True, False], [True, True]]},
            "b": {"128": [[False, False], [False, True]]},
        },
    }


def test_the_tasks_of_both_protocols_and_the_needles_are_contests():
    run = part(1.0, 0.25) | {"budget": 0.1, "after": part(0.75, 0.0)}
    made = evaluated_contests(run, ["a", "b"])
    assert made == [
        Contest("trec", "0.1", {"a": [1.0, 0.25], "b": [0.5, 0.0]}),
        Contest("needle", "128", {"a": [1, 0, 1, 1], "b": [0, 0, 0, 1]}),
        Contest("trec, asked after", "0.1", {"a": [0.75, 0.0], "b": [0.5, 0.0]}),
        Contest("needle, asked after", "128", {"a": [1, 0, 1, 1], "b": [0, 0, 0, 1]}),
    ]
    assert [one.items for one in made] == [2, 4, 2, 4]


def test_the_rules_of_a_system_prompt_count_as_their_share():
    run = {
        "budget": 0.25,
        "found": {"needle": {"a": [True, False], "b": [False, False]}},
        "followed": {"a": [{"shop": True, "cat": False}], "b": [{"shop": False, "cat": False}]},
        "rules_budget": 0.5,
    }
    assert harder_contests(run, ["b", "a"]) == [
        Contest("needle", "0.25", {"b": [0, 0], "a": [1, 0]}),
        Contest("rules of a system prompt", "0.5", {"b": [0.0], "a": [0.5]}),
    ]


def test_a_lead_is_paired_over_the_items_and_in_points():
    one = Contest("t", "1", {"a": [0.5, 0.9, 0.4], "b": [0.4, 0.6, 0.2]})
    leads = leads_over([one], "a", ["b"], seed=3)
    expected = paired_interval([0.5, 0.9, 0.4], [0.4, 0.6, 0.2], 3)
    assert leads["b"]["t (budget 1)"] == pytest.approx([100 * value for value in expected])


def test_above_all_is_who_is_above_every_rival():
    above, around = (2.0, 1.0, 3.0), (2.0, -1.0, 3.0)
    leads = {
        "b": {"s": above, "t": above},
        "c": {"s": around, "t": above},
    }
    assert above_all(leads) == ["t"]


@pytest.mark.parametrize(
    "name, of", [("evaluation", evaluated_contests), ("harder", harder_contests)]
)
def test_the_kept_runs_have_contests_with_names_of_their_own(name, of):
    data = json.loads((place("data") / "results" / f"{name}.json").read_text("utf-8"))["data"]
    made = of(data, ["h2o", "snapkv", "streamingllm"])
    assert len({one.name for one in made}) == len(made) > 2
    assert all(len({len(scores) for scores in one.scores.values()}) == 1 for one in made)
