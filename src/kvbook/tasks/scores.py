"""Several methods on the same items: means with their intervals, and differences item by item.

What a method scored is plain data (`Answers`), for it is saved and read back as JSON.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from kvbook.lm.models import check_loaded
from kvbook.methods.base import as_methods
from kvbook.stats import mean_and_interval, paired_interval
from kvbook.tasks.evaluation import evaluate_all
from kvbook.tasks.together import Label

Answers = Mapping[str, Any]
"""A method on some tasks: ``scores`` (by task, by item, 0 to 1), ``kept_bytes`` and ``seconds``
(by task), and ``out_of_memory`` (how many items)."""
Points = tuple[float, float, float]
"""A mean and its 95 % interval, times 100."""


def ask_tasks(
    lm, methods: Mapping[Label, Any], tasks: Iterable[str], **options
) -> dict[Label, dict]:
    """Several methods on several tasks, as `Answers` by label.

    Parameters
    ----------
    methods, **options
        As in `kvbook.tasks.evaluation.evaluate_all`: ``data``, ``limit``, ``seed``, ...
    tasks : iterable of str
        Names for the same.
    """
    check_loaded(lm)
    methods = as_methods(methods)
    by_task = {task: evaluate_all(lm, methods, task, **options) for task in tasks}
    answers = {}
    for label in methods:
        cells = {task: results[label] for task, results in by_task.items()}
        answers[label] = {
            "scores": {task: cell.scores for task, cell in cells.items()},
            "kept_bytes": {task: cell.kept_bytes for task, cell in cells.items()},
            "seconds": {task: cell.seconds for task, cell in cells.items()},
            "out_of_memory": sum(cell.out_of_memory for cell in cells.values()),
        }
    return answers


def only_tasks(answers: Answers, tasks: Sequence[str]) -> dict:
    """The answers to some of the tasks only. Items that ran out of memory are not counted, because
    their task is not known."""
    by_task = ("scores", "kept_bytes", "seconds")
    part = {name: {task: answers[name][task] for task in tasks} for name in by_task}
    return part | {"out_of_memory": 0}


def intervals(evaluated: Mapping[str, Answers], seed: int = 0) -> dict[str, dict[str, Points]]:
    """Scores as LongBench counts them, by method and task; without a single item they are 0."""

    return {
        name: {task: _points(scores.values(), seed) for task, scores in one["scores"].items()}
        for name, one in evaluated.items()
    }


def pooled_intervals(evaluated: Mapping[str, Answers], seed: int = 0) -> dict[str, Points]:
    """`intervals` over the items of all tasks together, by method."""
    return {name: _points(pool_items(one).values(), seed) for name, one in evaluated.items()}


def _points(scores: Collection[float], seed: int) -> Points:
    mean, low, high = mean_and_interval(scores, seed) if scores else (0.0, 0.0, 0.0)
    return 100 * mean, 100 * low, 100 * high


def kept_shares(evaluated: Mapping[str, Answers]) -> dict[str, float]:
    """Bytes that each method kept, as a share of FullKV's: the mean over the tasks."""
    full = evaluated["fullkv"]["kept_bytes"]
    return {
        name: fmean(size / full[task] for task, size in one["kept_bytes"].items())
        for name, one in evaluated.items()
    }


def most_items(evaluated: Mapping[str, Answers]) -> int:
    """The number of items of the task that has most."""
    return max(len(scores) for scores in evaluated["fullkv"]["scores"].values())


def pool_items(answers: Answers) -> dict[tuple[str, str], float]:
    """The scores of all tasks together, by task and item."""
    return {
        (task, item): score
        for task, scores in answers["scores"].items()
        for item, score in scores.items()
    }


def rank_methods(evaluated: Mapping[str, Answers]) -> list[str]:
    """The methods' names, the best mean over all items first."""
    means = {name: fmean(pool_items(one).values()) for name, one in evaluated.items()}
    return sorted(means, key=lambda name: -means[name])


def difference(first: Answers, second: Answers, seed: int = 0) -> Points:
    """``first`` minus ``second`` over the items that both answered: paired, by
    `kvbook.stats.paired_interval`."""
    a, b = pool_items(first), pool_items(second)
    both = sorted(a.keys() & b.keys())
    mean, low, high = paired_interval([a[one] for one in both], [b[one] for one in both], seed)
    return 100 * mean, 100 * low, 100 * high


class ToldApart(NamedTuple):
    """Methods by what their difference from another one says."""

    below: list[str]
    unclear: list[str]
    above: list[str]


def tell_apart(points: Mapping[str, Points]) -> ToldApart:
    """By name: whose interval lies below 0, holds it, or lies above it."""
    return ToldApart(
        [name for name, (_, _, high) in points.items() if high < 0],
        [name for name, (_, low, high) in points.items() if low <= 0 <= high],
        [name for name, (_, low, _) in points.items() if low > 0],
    )
