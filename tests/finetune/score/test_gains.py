"""Gains: each measure of two models by its item, and which way is better."""

import pytest

from kvbook.errors import ParameterError
from kvbook.finetune.score.gains import NLL, RAW, RESCALED, gains


def scores(*values):
    """Every measure of every item, each a tenth above the one before it."""
    raw, rescaled, bleu, rouge, nll = ([value + i / 10 for value in values] for i in range(5))
    return {
        "bert": {"raw": {"f1": raw}, "rescaled": {"f1": rescaled}},
        "overlap": {"bleu": bleu, "rouge_l": rouge},
        "nll": nll,
    }


def test_each_measure_is_compared_with_itself():
    found = gains(scores(0.0, 1.0), scores(1.0, 2.0))
    assert [(name, round(one.before, 6), round(one.after, 6)) for name, one in found.items()] == [
        (RAW, 0.5, 1.5),
        (RESCALED, 0.6, 1.6),
        ("BLEU-4 of characters", 0.7, 1.7),
        ("ROUGE-L of characters", 0.8, 1.8),
        (NLL, 0.9, 1.9),
    ]


def test_less_is_better_for_the_likelihood_alone():
    found = gains(scores(0.0, 1.0), scores(1.0, 2.0))
    assert [one.gain > 0 for one in found.values()] == [True, True, True, True, False]


def test_the_seed_draws_the_interval():
    pair = scores(0.0, 1.0, 2.0), scores(1.0, 1.5, 4.0)
    lows = [gains(*pair, seed=seed)[RAW].low for seed in (0, 0)]
    assert lows[0] == lows[1] and 0.5 <= lows[0] < (1 + 0.5 + 2) / 3


def test_other_items_are_refused():
    with pytest.raises(ParameterError, match="give the same items"):
        gains(scores(0.0), scores(1.0, 2.0))
