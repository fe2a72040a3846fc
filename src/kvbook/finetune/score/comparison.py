"""The same items before and after: what was gained, and what was forgotten."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from kvbook.errors import ParameterError
from kvbook.stats import mean_and_interval, paired_interval, show_interval

TIE = 1e-5
"""Scores nearer than this are a tie: what else is in the batch moves a score by less."""


@dataclass(frozen=True)
class Comparison:
    """The same items, before and after.

    Attributes
    ----------
    items : int
    before, after : float
        Means.
    gain, low, high : float
        The mean improvement, and its 95 % interval: positive is better, also where less is better.
    wins, ties, losses : int
        Items that are better, the same, or worse.
    win_rate, win_low, win_high : float
        Share of wins, a tie as half of one, and its 95 % interval.
    """

    items: int
    before: float
    after: float
    gain: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int
    win_rate: float
    win_low: float
    win_high: float

    def row(self, **first) -> dict[str, str]:
        """A row for `kvbook.show.table`, after columns of your own."""
        return first | {
            "items": str(self.items),
            "before": f"{self.before:.3f}",
            "after": f"{self.after:.3f}",
            "gain": show_interval(self.gain, self.low, self.high, "+.3f"),
            "better / same / worse": f"{self.wins} / {self.ties} / {self.losses}",
            "win rate": show_interval(self.win_rate, self.win_low, self.win_high, ".2f"),
        }

    def data(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)


def compare(
    before: Sequence[float],
    after: Sequence[float],
    *,
    less_is_better: bool = False,
    seed: int = 0,
) -> Comparison:
    """What a change did to each item, by paired bootstrap (Koehn, 2004).

    Parameters
    ----------
    before, after : sequence of float
        A score an item, in the same order: of the base model (adapter off), and of the one that
        the adapter is merged into.
    less_is_better : bool
        For `reference_nll`.
    seed : int
        Of the bootstrap.

    Raises
    ------
    ParameterError
        No items, or unequal lengths.
    """
    if len(before) != len(after) or not len(before):
        raise ParameterError(
            f"{len(before)} scores before and {len(after)} after: give the same items, at least one"
        )
    worse, better = (after, before) if less_is_better else (before, after)
    gains = np.asarray(better, float) - np.asarray(worse, float)
    outcome = np.where(np.abs(gains) < TIE, 0.5, gains > 0)
    wins, ties = int((outcome == 1).sum()), int((outcome == 0.5).sum())
    gain, low, high = paired_interval(better, worse, seed)
    win_rate, win_low, win_high = mean_and_interval(outcome, seed)
    return Comparison(
        items=len(gains),
        before=float(np.mean(before)),
        after=float(np.mean(after)),
        gain=gain,
        low=low,
        high=high,
        wins=wins,
        ties=ties,
        losses=len(gains) - wins - ties,
        win_rate=win_rate,
        win_low=win_low,
        win_high=win_high,
    )


def forgetting(
    before: Sequence[float], after: Sequence[float], groups: Sequence[str], *, seed: int = 0
) -> dict[str, Comparison]:
    """What fine-tuning did to other abilities, group by group (such as languages).

    Parameters
    ----------
    before, after : sequence of float
        `reference_nll` of general questions. A gain below 0 is forgetting.
    groups : sequence of str
        Of each item.
    seed : int
        As for `compare`, which also says what is refused.
    """
    if not len(before) == len(after) == len(groups):
        raise ParameterError(
            f"{len(before)} values before, {len(after)} after, {len(groups)} groups: give as many of each"
        )
    was, now, of = np.array(before), np.array(after), np.array(groups)
    return {
        str(group): compare(
            was[of == group].tolist(), now[of == group].tolist(), less_is_better=True, seed=seed
        )
        for group in dict.fromkeys(of)
    }
