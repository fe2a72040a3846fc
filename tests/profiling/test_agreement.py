"""A device and the CPU: which entries count as the same, and when nothing is measured."""

import pytest
import torch

from kvbook import create_method, load_model
from kvbook.errors import ExecutionError
from kvbook.profiling.agreement import Agreement, check_agreement, compare_with_cpu, share_kept


def kept(*heads):
    return torch.tensor([heads])


def test_the_order_of_kept_entries_does_not_matter():
    assert share_kept([kept([0, 1, 5], [2, 3, 4])], [kept([5, 1, 0], [4, 3, 2])]) == 1.0


def test_each_head_of_each_layer_is_compared_with_its_own():
    assert share_kept([kept([0, 1], [2, 3])], [kept([2, 3], [0, 1])]) == 0.0
    assert share_kept(2 * [kept([0, 1])], [kept([0, 1]), kept([0, 2])]) == 0.75


def test_entries_that_only_one_of_the_two_kept_count():
    assert share_kept([kept([0])], [kept([0, 1, 2, 3])]) == 0.25


def test_the_cpu_agrees_with_itself():
    lm = load_model("tiny-random", dtype="float32", device="cpu")
    methods = {name: create_method(name, budget=0.2) for name in ("snapkv", "fastkv")}
    found = compare_with_cpu(lm, methods, torch.device("cpu"), progress=False)
    assert found == dict.fromkeys(methods, Agreement(1.0, True))


def test_scores_that_are_all_but_equal_may_change_places_and_tokens_may_not():
    check_agreement({"h2o": Agreement(0.995, True)}, "a card")
    with pytest.raises(ExecutionError, match=r"a card .* h2o \(99.5% .* tokens differ"):
        check_agreement({"h2o": Agreement(0.995, False), "snapkv": Agreement(1, True)}, "a card")
    with pytest.raises(ExecutionError, match=r"snapkv \(90.0% "):
        check_agreement({"h2o": Agreement(1, True), "snapkv": Agreement(0.9, True)}, "a card")
