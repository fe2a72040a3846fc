"""Intervals: exact where resampling is blind, and around the share elsewhere."""

import pytest

from kvbook.stats import Rate, bootstrap_interval, paired_interval


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
