"""Intervals: exact where resampling is blind, and around the share elsewhere."""

import pytest

from kvbook.stats import Rate, bootstrap_interval


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
