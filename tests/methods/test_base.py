"""Making methods, and what their parameters may be."""

import dataclasses

import pytest

from kvbook import create_method
from kvbook.errors import ParameterError
from kvbook.methods import PublishedH2O
from kvbook.methods.base import resolve_budget, resolve_window, with_budget
from kvbook.tasks.header import describe_method


@pytest.mark.parametrize(
    "name, parameters, says",
    [
        ("snapkw", {}, "fastkv, fullkv, gemfilter, h2o, pyramidinfer, snapkv, streamingllm"),
        ("snapkv", dict(budget=8, windw=2), "window"),
        ("snapkv", {}, "budget"),
        ("snapkv", dict(budget=0), "budget=0"),
        ("snapkv", dict(budget=1.5), "budget=1.5"),
        ("snapkv", dict(budget="8"), "budget='8'"),
        ("snapkv", dict(budget=True), "budget=True"),
        ("snapkv", dict(budget=8, kernel=4), "kernel=4"),
        ("snapkv", dict(budget=8, pooling="median"), "'max' or 'avg'"),
        ("streamingllm", dict(budget=8, sinks=-1), "sinks=-1"),
        ("streamingllm", dict(budget=8, chunk=0), "chunk=0"),
        ("fullkv", dict(budget=8), "none"),
    ],
)
def test_bad_parameters_are_refused_with_what_is_valid(name, parameters, says):
    with pytest.raises(ParameterError, match=says):
        create_method(name, **parameters)


def test_a_method_that_is_not_listed_is_unknown_by_name():
    with pytest.raises(ParameterError, match="unknown method 'h2o_published'"):
        create_method("h2o_published", budget=8)


def test_a_method_that_is_not_listed_has_a_name_in_tables():
    assert describe_method(PublishedH2O(budget=8)) == "h2o_published budget=8"


def test_a_budget_goes_to_whoever_has_one():
    made = [with_budget(name, 8) for name in ("fullkv", "h2o")]
    assert made == [create_method("fullkv"), create_method("h2o", budget=8)]
    assert with_budget("snapkv", 0.1, window=4) == create_method("snapkv", budget=0.1, window=4)


def test_a_budget_for_an_unknown_method_is_refused():
    with pytest.raises(ParameterError, match="snapkw"):
        with_budget("snapkw", 8)


def test_methods_are_frozen():
    method = create_method("snapkv", budget=8)
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.budget = 9


@pytest.mark.parametrize(
    "budget, tokens, entries", [(5, 100, 5), (0.1, 100, 10), (0.001, 100, 1), (1.0, 7, 7)]
)
def test_budget(budget, tokens, entries):
    assert resolve_budget(budget, tokens) == entries


@pytest.mark.parametrize(
    "window, budget, expected", [(32, 64, 32), (32, 32, 16), (32, 1, 1), (4, 3, 1)]
)
def test_window_shrinks_in_a_small_budget(window, budget, expected):
    assert resolve_window(window, budget) == expected
