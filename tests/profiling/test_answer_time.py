"""Answers of any length from a measured prefill and a measured token, on numbers made by hand."""

from math import inf

import pytest

from kvbook.profiling.answer_time import ahead_from, answer_seconds, by_context, saved_seconds
from kvbook.profiling.timing import Measurement
from kvbook.stats import Spread


def timed(prefill, decode, method="m", context=100):
    return Measurement(method, context, 4, prefill=tuple(prefill), decode=tuple(decode))


def test_the_first_token_of_an_answer_comes_from_the_prefill():
    one = timed([2.0, 4.0], [0.5, 0.25])
    assert answer_seconds(one, 1) == [2.0, 4.0]
    assert answer_seconds(one, 5) == [4.0, 5.0]


def test_what_is_saved_is_paired_by_repeat():
    full, one = timed([2.0, 6.0], [1.0, 1.0]), timed([1.0, 2.0], [0.5, 0.5])
    assert saved_seconds(one, full, 3) == Spread(3.5, 2.0, 5.0)


@pytest.mark.parametrize(
    "prefill, token, first",
    [
        (1.9, 1.0, 1),  # a quicker prefill is ahead at once
        (2.0, 0.5, 2),  # one token gains half a second, and none is to be made up for
        (3.0, 0.5, 4),  # two tokens only make up for a second
        (3.0, 0.4, 3),
        (3.0, 1.0, inf),
        (3.0, 1.5, inf),
    ],
)
def test_a_method_is_ahead_from_the_fewest_tokens_that_make_up_for_its_prefill(
    prefill, token, first
):
    one, full = timed([prefill], [token]), timed([2.0], [1.0])
    assert ahead_from(one, full).median == first
    if first < inf:
        assert answer_seconds(one, first) < answer_seconds(full, first)
        assert first == 1 or answer_seconds(one, first - 1) >= answer_seconds(full, first - 1)


def test_repeats_that_never_get_ahead_count_as_the_most():
    one, full = timed([3.0, 3.0, 1.0], [0.5, 1.0, 1.0]), timed([2.0] * 3, [1.0] * 3)
    assert ahead_from(one, full) == Spread(4, 1, inf)


def test_measurements_are_found_by_context_and_method():
    ones = [timed([1.0], [1.0], *at) for at in (("a", 10), ("b", 10), ("a", 20))]
    assert by_context(ones) == {10: {"a": ones[0], "b": ones[1]}, 20: {"a": ones[2]}}
