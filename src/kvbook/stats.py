"""Rates and means with their 95 % intervals: no point without its uncertainty."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.stats import spearmanr


def bootstrap_interval(
    values: Iterable[float], seed: int = 0, draws: int = 10_000
) -> tuple[float, float]:
    """95 % interval of a mean, by resampling the items.

    For hits that are all 0 or all 1, where resampling is blind, the missing bound is the
    exact one of Clopper and Pearson.

    Parameters
    ----------
    values : iterable of float or bool
        One value an item; at least one.
    seed, draws : int
        The seed of the resampling, and how many samples are drawn.

    Returns
    -------
    low, high : float
        The ends of the interval.
    """
    values = np.asarray(list(values), dtype=float)
    n = len(values)
    if values.min() == values.max() and values[0] in (0.0, 1.0):
        return (0.0, 1 - 0.025 ** (1 / n)) if values[0] == 0 else (0.025 ** (1 / n), 1.0)
    means = np.random.default_rng(seed).choice(values, (draws, n)).mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def mean_and_interval(values: Iterable[float], seed: int = 0) -> tuple[float, float, float]:
    """A mean and its 95 % bootstrap interval."""
    values = list(values)
    return (float(np.mean(values)), *bootstrap_interval(values, seed))


def paired_interval(
    first: Iterable[float], second: Iterable[float], seed: int = 0, draws: int = 10_000
) -> tuple[float, float, float]:
    """Mean of ``first - second`` over the same items, and its 95 % interval.

    Resampling the items' *differences* takes out what the items have in common: a hard item is
    hard for both. An interval without 0 tells the two apart.
    """
    difference = np.asarray(list(first), dtype=float) - np.asarray(list(second), dtype=float)
    means = np.random.default_rng(seed).choice(difference, (draws, len(difference))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def seen_difference(first: Iterable[float], second: Iterable[float], seed: int = 0) -> int:
    """1 where `paired_interval` lies above 0, -1 where it lies below, and 0 where no difference can be
    seen."""
    _, low, high = paired_interval(first, second, seed)
    return (low > 0) - (high < 0)


def show_interval(value: float, low: float, high: float, form: str) -> str:
    """``value (low to high)``, each in this format."""
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def mean_shares(
    scores: Mapping[str, Mapping[str, Mapping[str, float]]],
    full: str = "fullkv",
    seed: int = 0,
    draws: int = 2000,
) -> dict[str, tuple[float, float, float]]:
    """Each method's share of full KV's score, mean over the tasks, and its 95 % interval.

    The items of each task are resampled, the same ones for all methods. A task on which full KV
    scores 0 is left out, because a share of 0 is not defined; without any other task the result is
    empty.

    Parameters
    ----------
    scores : mapping
        By method, by task, by item.
    full : str
        The method that the others are a share of.
    seed, draws : int
        The seed of the resampling, and how many samples are drawn.
    """
    rng = np.random.default_rng(seed)
    points: dict[str, list[float]] = {method: [] for method in scores}
    drawn: dict[str, list[np.ndarray]] = {method: [] for method in scores}
    for task, whole in scores.get(full, {}).items():
        if not any(whole.values()):
            continue
        names = sorted(whole)
        picked = rng.integers(0, len(names), (draws, len(names)))
        base = np.array([whole[name] for name in names])
        below = base[picked].mean(1)
        for method, of in scores.items():
            values = np.array([of[task][name] for name in names])
            points[method].append(values.mean() / base.mean())
            drawn[method].append(values[picked].mean(1) / np.where(below > 0, below, np.nan))
    shares = {}
    for method in scores if any(points.values()) else ():
        low, high = np.nanquantile(np.nanmean(drawn[method], axis=0), [0.025, 0.975])
        shares[method] = (fmean(points[method]), float(low), float(high))
    return shares


def rank_correlation(
    first: Mapping[str, Sequence[float]],
    second: Mapping[str, Sequence[float]],
    seed: int = 0,
    draws: int = 1000,
) -> tuple[float, float, float]:
    """How far two tasks put methods into the same order: Spearman's correlation of the methods'
    means, 1 for the same order and -1 for the opposite one; and its 95 % interval.

    The items of each task are resampled, the same ones for all methods.

    Parameters
    ----------
    first, second : mapping
        By method, a number an item; the same methods in both.

    Returns
    -------
    correlation, low, high : float
        The correlation is NaN where all methods have the same mean in a task, since there is no
        order then.
    """
    rng = np.random.default_rng(seed)
    tables = [np.array([list(of[name]) for name in first], dtype=float) for of in (first, second)]

    def correlation(*picked: np.ndarray) -> float:
        means = [table.mean(1) for table in picked]
        flat = any(mean.min() == mean.max() for mean in means)
        return float("nan") if flat else float(spearmanr(*means).statistic)

    drawn = [
        correlation(
            *(table[:, rng.integers(0, table.shape[1], table.shape[1])] for table in tables)
        )
        for _ in range(draws)
    ]
    if np.isnan(drawn).all():
        return (float("nan"),) * 3
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return correlation(*tables), float(low), float(high)


def ranks(values: Mapping[str, float]) -> dict[str, int]:
    """The place of each name: 1 for the highest value; of equal values the first one is ahead."""
    order = sorted(values, key=lambda name: values[name], reverse=True)
    return {name: order.index(name) + 1 for name in values}


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one thing: times on a shared machine have no normal spread, so
    the median, and the least and the most.

    Attributes
    ----------
    median, low, high : float
        Of all repeats.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of some values, one a repeat."""
        values = list(values)
        return cls(float(np.median(values)), float(min(values)), float(max(values)))

    @classmethod
    def ratio(cls, first: Iterable[float], second: Iterable[float]) -> "Spread":
        """The spread of ``first / second``, repeat by repeat: a slow moment hits both of a pair."""
        return cls.of(a / b for a, b in zip(first, second, strict=True))

    def show(self, form: str = ".2f", scale: float = 1.0) -> str:
        """``median (low to high)``."""
        return show_interval(scale * self.median, scale * self.low, scale * self.high, form)


@dataclass(frozen=True)
class Rate:
    """How many of some trials succeeded, and where the true rate may lie.

    Attributes
    ----------
    hits, trials : int
        Counted.
    low, high : float
        The 95 % interval.
    """

    hits: int
    trials: int
    low: float
    high: float

    @classmethod
    def of(cls, hits: Iterable[bool], seed: int = 0) -> "Rate":
        """The rate of some trials, given one truth value a trial."""
        hits = list(hits)
        return cls(sum(hits), len(hits), *bootstrap_interval(hits, seed))

    @property
    def share(self) -> float:
        """Hits over trials."""
        return self.hits / self.trials

    def row(self, **first) -> dict[str, str]:
        """A row for `kvbook.show.table`, after columns of your own."""
        return first | {
            "found": f"{self.hits} of {self.trials}",
            "95 % interval": f"{self.low:.2f} to {self.high:.2f}",
        }
