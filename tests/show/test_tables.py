"""Sentences under tables of rates."""

from kvbook import show
from kvbook.stats import Rate


def test_rates_are_less_or_more_or_not_told_apart_by_their_intervals():
    base, low = Rate.of([True] * 8 + [False] * 12), Rate.of([False] * 20)
    high, middle = Rate.of([True] * 20), Rate.of([True] * 10 + [False] * 10)
    told = str(show.rates_sentence("h2o", base, {"a": low, "b": high, "c": middle})).splitlines()
    assert told == [
        "- Found less often than with h2o, and the intervals do not meet: a.",
        "- The intervals meet that of h2o, so these rates alone do not tell them apart: c.",
        "- Found more often than with h2o, and the intervals do not meet: b.",
    ]
