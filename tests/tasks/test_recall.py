"""Recall over conversations: what is written down of it, and which facts are early."""

from types import SimpleNamespace

import pytest

from kvbook import create_method
from kvbook.tasks import recall
from kvbook.tasks.recall import by_age, early, measure_recall

FACTS = [
    {"found": True, "ago": 100},
    {"found": False, "ago": 300},
    {"found": True, "ago": 600},
]


def test_facts_of_all_conversations_and_costs_of_the_last(monkeypatch):
    def ask(lm, methods, conversations):
        answers = [[SimpleNamespace(found=True, ago=one, words="yes")] for one in conversations]
        notes = [[SimpleNamespace(seconds=0.5)] * one for one in conversations]
        runs = [SimpleNamespace(kv_bytes=20, summaries=summaries) for summaries in notes]
        return dict.fromkeys(methods, (answers, runs))

    monkeypatch.setattr(recall, "recall", ask)
    clock = iter([100.0, 106.0])
    monkeypatch.setattr(recall.time, "perf_counter", lambda: next(clock))
    lm = SimpleNamespace(model=None, tokenizer=None)
    measured = measure_recall(lm, dict.fromkeys(("all", "last"), create_method("fullkv")), [1, 2])
    assert list(measured) == ["all", "last"]
    assert measured["last"] == {
        "seconds": 1.5,
        "facts": [{"found": True, "ago": 1}, {"found": True, "ago": 2}],
        "kv_bytes": 20,
        "summaries": 2,
        "summary_seconds": 1.0,
    }


@pytest.mark.parametrize(
    "label, hits",
    [
        ("fullkv", [False, True]),
        ("snapkv, budget 128", [False, True]),
        ("summarykv extractive, budget 512, 32 summary tokens", [True]),
    ],
)
def test_early_facts_were_told_more_than_a_budget_ago_and_at_least_the_smallest(label, hits):
    assert early(FACTS, label, least=256) == hits


def test_facts_stand_in_the_bin_whose_upper_edge_they_reach():
    assert by_age(FACTS, [0, 100, 300, 500, 900]) == [[True], [False], [], [True]]
