"""Intervals: exact where resampling is blind, and around the share elsewhere."""

import pytest

from kvbook.stats import (
    Rate,
    Spread,
    bootstrap_interval,
    mean_shares,
    paired_interval,
    rank_correlation,
    ranks,
    seen_difference,
    show_interval,
)


@pytest.mark.parametrize(
    "hits, low, high",
    [([True] * 20, 0.8, 1.0), ([False] * 20, 0.0, 0.2), ([True, False] * 10, 0.2, 0.8)],
)
def test_intervals(hits, low, high):
    a, b = bootstrap_interval(hits)
    assert low <= a <= sum(hits) / 20 <= b <= high


def test_a_mean_of_scores_lies_in_its_interval():
    low, high = bootstrap_interval([0.1, 0.4, 0.2, 0.9, 0.5])
    assert 0.1 < low < 0.42 < high < 0.9


def test_a_rate_has_its_interval_and_its_row():
    rate = Rate.of([True] * 15 + [False] * 5)
    assert rate.share == 0.75 and rate.low < 0.75 < rate.high
    assert rate.row(method="x")["found"] == "15 of 20"


# items that differ by far more than two methods do, of which the second is better by 0.1 on average
FIRST = [item / 20 for item in range(20)]
SECOND = [score + 0.1 + (-1) ** item * 0.05 for item, score in enumerate(FIRST)]


def test_a_mean_difference_lies_in_its_interval():
    mean, low, high = paired_interval(SECOND, FIRST)
    assert mean == pytest.approx(0.1)
    assert 0.05 < low < 0.1 < high < 0.15


def test_equal_scores_do_not_differ():
    assert paired_interval(FIRST, FIRST) == (0, 0, 0)


def test_the_difference_has_a_direction():
    mean, low, high = paired_interval(FIRST, SECOND)
    assert high < mean + 0.05 < 0


def test_pairing_tells_apart_what_intervals_of_their_own_do_not():
    low, high = bootstrap_interval(FIRST)
    assert bootstrap_interval(SECOND)[0] < high
    mean, paired_low, paired_high = paired_interval(SECOND, FIRST)
    assert paired_low > 0 and paired_high - paired_low < (high - low) / 3


def test_a_spread_and_an_interval_are_said_alike():
    assert show_interval(0.05, -0.01, 0.11, "+.2f") == "+0.05 (-0.01 to +0.11)"
    assert Spread.of([1.0, 3.0, 2.0]).show(".0f", 10) == "20 (10 to 30)"


SCORES = {
    "fullkv": {"trec": {"a": 1.0, "b": 1.0, "c": 0.5}, "lcc": {"d": 0.8}, "none": {"e": 0.0}},
    "h2o": {"trec": {"a": 0.5, "b": 0.5, "c": 0.25}, "lcc": {"d": 0.2}, "none": {"e": 1.0}},
    "snapkv": {"trec": {"a": 1.0, "b": 0.0, "c": 0.5}, "lcc": {"d": 0.8}, "none": {"e": 0.0}},
}


def test_a_mean_share_is_over_the_tasks_on_which_fullkv_scores():
    shares = mean_shares(SCORES)
    assert shares["fullkv"] == pytest.approx((1, 1, 1))
    assert shares["h2o"][0] == pytest.approx((0.5 + 0.25) / 2)
    assert shares["snapkv"][0] == pytest.approx((0.6 + 1) / 2)


def test_the_items_of_a_share_are_drawn_for_both_of_its_parts():
    """A method that loses the same part of every item has the same share of any sample."""
    shares = mean_shares(SCORES)
    assert shares["h2o"] == pytest.approx((0.375,) * 3)
    _, low, high = shares["snapkv"]
    assert low < 0.8 < high


def test_without_scores_there_are_no_shares():
    assert mean_shares({}) == mean_shares({"fullkv": {"none": {"e": 0.0}}}) == {}


def test_the_highest_has_the_first_rank():
    assert ranks({"a": 0.1, "b": 0.9, "c": 0.5}) == {"a": 3, "b": 1, "c": 2}


METHODS = {"a": [1, 1, 1, 1], "b": [1, 1, 1, 0], "c": [1, 1, 0, 0], "d": [0, 0, 0, 0]}


def test_the_same_order_correlates_fully_and_the_opposite_one_against():
    reverse = {name: [1 - one for one in hits] for name, hits in METHODS.items()}
    assert rank_correlation(METHODS, METHODS)[0] == pytest.approx(1)
    assert rank_correlation(METHODS, reverse)[0] == pytest.approx(-1)


def test_a_correlation_lies_in_its_interval_which_few_items_make_wide():
    swapped = METHODS | {"a": METHODS["b"], "b": METHODS["a"]}
    few = rank_correlation(METHODS, swapped)
    many = [{name: hits * 50 for name, hits in of.items()} for of in (METHODS, swapped)]
    sure = rank_correlation(*many)
    assert few[1] <= few[0] <= few[2]
    assert sure[2] - sure[1] < few[2] - few[1]


def test_methods_that_all_score_the_same_have_no_order():
    flat = {name: [1, 1] for name in METHODS}
    assert all(one != one for one in rank_correlation(METHODS, flat))


@pytest.mark.parametrize(
    "first, second, sign",
    [([1.0] * 9, [0.0] * 9, 1), ([0.0] * 9, [1.0] * 9, -1), ([1, 0, 1, 0], [0, 1, 0, 1], 0)],
)
def test_a_difference_is_seen_where_its_interval_leaves_0_out(first, second, sign):
    assert seen_difference(first, second) == sign
