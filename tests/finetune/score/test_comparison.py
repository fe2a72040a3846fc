"""Before and after: gains, wins, what was forgotten."""

import json

import numpy as np
import pytest

from kvbook.errors import ParameterError
from kvbook.finetune.score import compare, forgetting

BEFORE = [0.5, 0.6, 0.4, 0.7]
AFTER = [0.6, 0.7, 0.4 + 1e-7, 0.6]


def test_a_comparison_counts_items_and_averages_their_gains():
    made = compare(BEFORE, AFTER)
    assert (made.items, made.wins, made.ties, made.losses) == (4, 2, 1, 1)
    assert (made.before, made.after) == pytest.approx((0.55, 0.575))
    assert made.gain == pytest.approx(0.025)
    assert made.win_rate == 2.5 / 4
    assert made.low < 0 < made.high and made.win_low < made.win_rate < made.win_high


def test_a_gain_of_every_item_has_an_interval_above_zero():
    before = np.linspace(0.1, 0.9, 30)
    made = compare(before, before + np.tile([0.01, 0.03], 15))
    assert 0 < made.low < made.gain < made.high
    assert made.win_rate == made.win_high == 1 and made.win_low > 0.8


def test_where_less_is_better_a_fall_is_a_gain():
    made = compare(BEFORE, AFTER, less_is_better=True)
    assert (made.gain, made.wins, made.losses) == (pytest.approx(-0.025), 1, 2)
    assert (made.before, made.after) == pytest.approx((0.55, 0.575))


@pytest.mark.parametrize("before, after", [([], []), ([1.0], [1.0, 2.0])])
def test_a_comparison_needs_the_same_items(before, after):
    with pytest.raises(ParameterError, match="the same items"):
        compare(before, after)


def test_forgetting_is_told_by_language():
    told = forgetting([1.0, 2.0, 3.0], [1.5, 2.5, 2.0], ["zh", "zh", "en"])
    assert {group: one.gain for group, one in told.items()} == {"zh": -0.5, "en": 1.0}


def test_forgetting_needs_a_group_an_item():
    with pytest.raises(ParameterError, match="1 values before, 1 after, 2 groups"):
        forgetting([1.0], [1.0], ["zh", "en"])


def test_a_comparison_makes_a_row_and_plain_data():
    made = compare(BEFORE, AFTER)
    assert made.row(measure="F1")["gain"].startswith("+0.025 (-0.0")
    assert json.loads(json.dumps(made.data()))["wins"] == 2
