"""Harder tasks: how far a model reaches, which methods follow it there, and what is forgotten."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.show.curves import rates
from kvbook.show.drawing import key
from kvbook.show.style import COLOURS, INK, WIDE
from kvbook.show.tables import table
from kvbook.stats import Rate, mean_and_interval, show_interval

Found = Mapping[str, Sequence[bool]]
"""By method, one truth value an item."""


def reach(found: Mapping[int, Mapping[int, Sequence[bool]]], seed: int, title: str = "") -> Figure:
    """What a whole cache finds, by keys in the text, a panel a number of links; the dotted line is
    what picking one of the text's numbers would find.

    Parameters
    ----------
    found : mapping
        By links, by keys.
    """
    figure, panels = plt.subplots(
        1, len(found), figsize=(WIDE, 2.8), sharey=True, sharex=True, squeeze=False
    )
    for axes, (links, by_keys) in zip(panels[0], found.items(), strict=True):
        keys = list(by_keys)
        rates(axes, keys, [Rate.of(hits, seed) for hits in by_keys.values()], "fullkv")
        axes.plot(keys, [1 / one for one in keys], ":", color=INK, label="a guess")
        axes.set(xscale="log", xlabel="keys", title="no link" if not links else f"{links} link(s)")
        axes.set_xticks(keys, [str(one) for one in keys])
        axes.set_xticks([], minor=True)
    panels[0, 0].set_ylabel("share found")
    key(figure)
    figure.suptitle(title)
    return figure


def found_by_task(tasks: Mapping[str, Found], chances: Mapping[str, float], seed: int) -> Figure:
    """Share found by every method, a panel a task, with 95 % intervals; dotted: a guess."""
    figure, panels = plt.subplots(
        1, len(tasks), figsize=(WIDE, 0.9 + 0.3 * len(next(iter(tasks.values())))), sharey=True
    )
    for axes, (task, found) in zip(np.atleast_1d(panels), tasks.items(), strict=True):
        for place, (name, hits) in enumerate(found.items()):
            mean, low, high = mean_and_interval(map(float, hits), seed)
            axes.errorbar(
                mean,
                place,
                xerr=[[max(0.0, mean - low)], [max(0.0, high - mean)]],
                fmt="o",
                color=COLOURS.get(name, INK),
                capsize=2,
            )
        if chances[task] < 1:  # with one number in the text there is nothing to guess
            axes.axvline(chances[task], color=INK, linestyle=":", linewidth=1)
        axes.set(title=task, xlim=(-0.03, 1.03), xlabel="share found")
        axes.set_yticks(range(len(found)), list(found))
    np.atleast_1d(panels)[0].invert_yaxis()
    return figure


def task_table(tasks: Mapping[str, Found], seed: int, caption: str) -> HTML:
    """Every method's share in every task with its interval, the best of the first task first."""
    first, *_ = tasks.values()
    order = sorted(first, key=lambda name: -fmean(first[name]))
    rows = [
        {"method": name}
        | {
            task: show_interval(*mean_and_interval(map(float, found[name]), seed), ".2f")
            for task, found in tasks.items()
        }
        for name in order
    ]
    return table(rows, "measured", caption)


def agreement_table(points: Mapping[str, tuple[float, float, float]], caption: str) -> HTML:
    """How far two tasks put methods into the same order; by the tasks' names."""
    rows = [
        {"tasks": name, "rank correlation": show_interval(*point, "+.2f")}
        for name, point in points.items()
    ]
    return table(rows, "measured", caption)


def rules_map(followed: Mapping[str, Sequence[Mapping[str, bool]]], title: str = "") -> Figure:
    """Share of the times that each instruction was followed: a row a method, a column a rule."""
    rules = sorted(next(iter(followed.values()))[0])
    grid = [[fmean(one[rule] for one in of) for rule in rules] for of in followed.values()]
    figure, axes = plt.subplots(figsize=(WIDE, 0.9 + 0.32 * len(grid)))
    axes.imshow(grid, aspect="auto", cmap="Blues", vmin=0, vmax=1)
    for row, line in enumerate(grid):
        for column, share in enumerate(line):
            ink = "white" if share > 0.6 else "black"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=ink)
    axes.set_xticks(range(len(rules)), rules)
    axes.set_yticks(range(len(grid)), list(followed))
    axes.set(title=title, xlabel="rule; in the cells: followed, % of the times")
    return figure


def rules_table(
    followed: Mapping[str, Sequence[Mapping[str, bool]]],
    kept: Mapping[str, float],
    seed: int,
    caption: str,
) -> HTML:
    """Instructions followed, of all that were given, and what share of the system prompt's entries
    the cache still holds."""
    rows = []
    for name, of in followed.items():
        rate = Rate.of([hit for one in of for hit in one.values()], seed)
        row = {"method": name, "followed": f"{rate.hits} of {rate.trials}"}
        row["95 % interval"] = f"{rate.low:.2f} to {rate.high:.2f}"
        rows.append(row | {"of the system prompt's entries": f"{kept[name]:.0%}"})
    return table(rows, "measured", caption)
