"""Needles at several budgets: who is asked what, and what is known is not asked again."""

from types import SimpleNamespace

import pytest

from kvbook.methods import SnapKV
from kvbook.tasks import budgets
from kvbook.tasks.budgets import ask_budgets, ask_varied, by_label, cap_budget

LM = SimpleNamespace(model=None, tokenizer=None)


@pytest.fixture
def asked(monkeypatch):
    """Nobody is asked; every method is told in its own words, once."""
    methods = []

    def ask_each(lm, asked, needles, folder):
        methods.extend(asked.values())
        return {which: [f"{one} {each}" for each in needles] for which, one in asked.items()}

    monkeypatch.setattr(budgets, "ask_each", ask_each)
    return methods


@pytest.mark.parametrize("budget, capped", [(256, 100), (64, 64), (0.5, 0.5), (1.0, 1.0)])
def test_only_a_number_of_entries_is_capped(budget, capped):
    assert cap_budget(budget, 100) == capped


def test_full_kv_is_asked_once_and_every_method_at_every_budget(asked):
    found = ask_budgets(LM, ["a", "b"], {"snapkv": {"window": 8}, "h2o": {}}, [16, 0.5])
    assert list(found) == [
        ("fullkv", None),
        ("snapkv", 16),
        ("snapkv", 0.5),
        ("h2o", 16),
        ("h2o", 0.5),
    ]
    assert found["snapkv", 0.5] == [f"{SnapKV(budget=0.5, window=8)} {one}" for one in "ab"]
    assert len(asked) == 5


def test_the_budgets_replace_one_among_the_parameters(asked):
    ask_budgets(LM, [], {"pyramidinfer": {"budget": None, "decay": 0.5}}, [0.7])
    assert (asked[1].budget, asked[1].decay) == (0.7, 0.5)


def test_others_are_asked_as_they_are(asked):
    snap = SnapKV(budget=9, window=4)
    found = ask_budgets(LM, ["a"], {"h2o": {}}, [16], {("snapkv", 9): snap})
    assert list(found) == [("fullkv", None), ("h2o", 16), ("snapkv", 9)]
    assert found["snapkv", 9] == [f"{snap} a"]


def test_one_parameter_changes_and_what_is_known_is_not_asked_again(asked):
    method = SnapKV(budget=16, window=8)
    values = {"window": [4, 8], "kernel": iter([3, 7])}
    found = ask_varied(LM, ["a"], method, values, known=["as before"])
    assert found == {
        "window": {4: [f"{SnapKV(budget=16, window=4)} a"], 8: ["as before"]},
        "kernel": {3: [f"{SnapKV(budget=16, window=8, kernel=3)} a"], 7: ["as before"]},
    }
    assert asked == [SnapKV(budget=16, window=4), SnapKV(budget=16, window=8, kernel=3)]


def test_others_are_asked_in_the_same_readings(asked):
    one, other = SnapKV(budget=16, window=8), SnapKV(budget=16, window=2, kernel=9)
    found = ask_varied(LM, ["a"], one, {"window": [4]}, ["as before"], also={"both": other})
    assert found["also"] == {"both": [f"{other} a"]}
    assert asked == [SnapKV(budget=16, window=4), other]


def test_labels_have_the_budget_where_there_is_one():
    found = {("fullkv", None): [True], ("snapkv", 16): [False]}
    assert by_label(found) == {"fullkv": [True], "snapkv budget=16": [False]}
