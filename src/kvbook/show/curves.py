"""Values over budgets, contexts, tasks or layers, with their intervals."""

from collections import Counter
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kvbook.show.drawing import key
from kvbook.show.said import Said, bullets, say
from kvbook.show.style import COLOURS, INK, MARKERS, WIDE
from kvbook.show.tables import TAGS, Kind
from kvbook.stats import Rate, mean_and_interval


def rates(axes: Axes, x: Sequence, rates: Sequence[Rate], method: str, label: str = "") -> None:
    """One method's rates with their 95 % intervals, at the places ``x``."""
    shares = [rate.share for rate in rates]
    low = [max(0.0, rate.share - rate.low) for rate in rates]
    high = [max(0.0, rate.high - rate.share) for rate in rates]
    axes.errorbar(
        x,
        shares,
        yerr=[low, high],
        marker=MARKERS.get(method, "o"),
        capsize=3,
        color=COLOURS.get(method, INK),
        label=label or method,
    )
    axes.set_ylim(-0.05, 1.05)


def found_by_budget(
    found: Mapping[tuple[str, int | float | None], Rate], xlabel: str = "budget"
) -> Figure:
    """Needles found at every budget, a line a method, with full KV as the line to compare with.

    Parameters
    ----------
    found : mapping
        By method and budget, as `kvbook.tasks.budgets.ask_budgets` has them.
    """
    asked = [key for key in found if key != ("fullkv", None)]
    methods, budgets = (list(dict.fromkeys(one)) for one in zip(*asked, strict=True))
    figure, axes = plt.subplots()
    axes.axhline(found["fullkv", None].share, color=COLOURS["fullkv"], label="fullkv")
    shift = 0.06
    for i, method in enumerate(methods):
        places = [place + shift * (i - (len(methods) - 1) / 2) for place in range(len(budgets))]
        rates(axes, places, [found[method, budget] for budget in budgets], method)
    axes.set_xticks(range(len(budgets)), [str(budget) for budget in budgets])
    axes.set(xlabel=xlabel, ylabel="share of needles found")
    key(figure)
    return figure


def found_panels(
    panels: Mapping[str, Mapping[str, Mapping[str | int, Rate]]],
    ylabel: str,
    full: Rate | None = None,
) -> Figure:
    """Needles found against something else in every panel.

    Parameters
    ----------
    panels : mapping
        By the panel's axis label, by method: rates by what stands at the axis; words stand
        evenly spread, numbers where they are.
    full : Rate, optional
        FullKV's, a line in every panel.
    """
    figure, places = plt.subplots(1, len(panels), sharey=True, squeeze=False)
    for axes, (xlabel, methods) in zip(places.flat, panels.items(), strict=True):
        if full:
            axes.axhline(full.share, color=COLOURS["fullkv"], label="fullkv")
        for method, of in methods.items():
            rates(axes, list(of), list(of.values()), method)
        axes.set_xlabel(xlabel)
    places[0, 0].set_ylabel(ylabel)
    if full:
        key(figure)
    return figure


def prefill_shares(
    shares: Mapping[str, Sequence[float]],
    x: Sequence[int],
    styles: Sequence[str],
    method: str,
    xlabel: str,
    title: str = "",
) -> Figure:
    """Prefill work on paper as a share of full KV's, a line a label in a style of its own."""
    figure, axes = plt.subplots()
    for (label, line), look in zip(shares.items(), styles, strict=True):
        axes.plot(x, line, look, color=COLOURS[method], label=label)
    axes.axhline(1, color=COLOURS["fullkv"], label="fullkv")
    ylabel = "prefill work, share of fullkv (on paper)"
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None), title=title)
    key(figure)
    return figure


def prefill_sentence(shares: Mapping[str, Sequence[float]], x: Sequence[int]) -> Said:
    """What `prefill_shares` shows: each line's first and last share, and whether it is never below
    FullKV's."""
    told = []
    for label, line in shares.items():
        below = [at for at, share in zip(x, line, strict=True) if share < 1]
        words = "{label}: {first:.0%} of FullKV's operations at {start:,}, {last:.0%} at {end:,}"
        words += "; never less than all." if not below else "."
        told.append(say(words, label=label, first=line[0], last=line[-1], start=x[0], end=x[-1]))
    return bullets(told)


def score_panels(
    measured: Mapping[str, Mapping[str, tuple[float, float, float]]],
    report: Mapping[str, Mapping[str, float]],
    tasks: Sequence[str],
    widest: float = 1.6,
) -> Figure:
    """Scores as shares of FullKV's, a panel a task: measured with intervals, the report's beside.

    Parameters
    ----------
    measured : mapping
        By method, by task: score and its 95 % interval; with ``"fullkv"``.
    report : mapping
        By method, by task: the report's score; with ``"fullkv"``, methods may be missing.
    tasks : sequence of str
        The panels, in order. A panel may also be a cost, of which less is better.
    widest : float
        The right edge; a share beyond it stands there as a number.
    """
    rows = -(-len(tasks) // 3)
    columns = min(3, len(tasks))
    size = (7.2, 0.6 + rows * (0.5 + 0.21 * len(measured)))
    figure, panels = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False)
    methods = list(measured)
    for axes, task in zip(panels.flat, tasks, strict=False):
        full = measured["fullkv"].get(task, [0])[0]
        theirs = report["fullkv"].get(task)
        for place, method in enumerate(methods):
            colour = COLOURS.get(method, INK)
            if full and task in measured[method]:
                score, low, high = (value / full for value in measured[method][task])
                bars = [[max(0, score - low)], [max(0, high - score)]]
                axes.errorbar(
                    score,
                    place,
                    xerr=bars,
                    color=colour,
                    marker=MARKERS.get(method, "o"),
                    capsize=2,
                )
            if theirs and task in report.get(method, {}):
                share = report[method][task] / theirs
                axes.plot(
                    min(share, widest),
                    place + 0.28,
                    marker="D",
                    markersize=4.5,
                    markerfacecolor="none",
                    color="#d55e00",
                    linestyle="none",
                    clip_on=False,
                )
                if share > widest:
                    axes.annotate(
                        f"{share:.1f} ×",
                        (widest, place + 0.28),
                        xytext=(-6, 0),
                        textcoords="offset points",
                        ha="right",
                        va="center",
                        color="#d55e00",
                    )
        axes.axvline(1, color=INK, linewidth=0.8)
        axes.set_title(task)
        axes.set_xlim(-0.05, widest)
    panels[0, 0].set_yticks(range(len(methods)), methods)
    panels[0, 0].invert_yaxis()
    for axes in panels.flat[len(tasks) :]:
        axes.set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("share of FullKV")
    looks = {"measured here, 95 % interval": (INK, "o"), "the report": ("#d55e00", "D")}
    for label, (colour, mark) in looks.items():
        fill = "none" if label == "the report" else colour
        panels[0, 0].plot([], [], mark, color=colour, markerfacecolor=fill, label=label)
    key(figure)
    return figure


def fidelity_curves(
    curves: Mapping[str, Mapping[int, Sequence[Mapping]]], full_nll: float
) -> Figure:
    """Three measures of distance from full KV over the budget, a line a method.

    Parameters
    ----------
    curves : mapping
        By method, by budget: a list of `kvbook.tasks.fidelity.Fidelity`'s fields.
    full_nll : float
        FullKV's mean of ``nll``: the line to compare with.
    """
    figure, panels = plt.subplots(1, 3, figsize=(WIDE, 3.4))
    titles = {
        "kl": "KL from full KV, nats",
        "agreement": "same next token, share",
        "nll": "NLL of the answer, nats",
    }
    budgets = sorted({budget for of_budgets in curves.values() for budget in of_budgets})
    for axes, (measure, title) in zip(panels, titles.items(), strict=True):
        for i, (method, of_budgets) in enumerate(curves.items()):
            shift = 2 ** (0.05 * (i - len(curves) / 2))  # so that bars do not hide each other
            points = [
                (budget * shift, mean_and_interval([one[measure] for one in items]))
                for budget, items in sorted(of_budgets.items())
            ]
            middle = [point[1][0] for point in points]
            low = [point[1][0] - point[1][1] for point in points]
            high = [point[1][2] - point[1][0] for point in points]
            axes.errorbar(
                [point[0] for point in points],
                middle,
                yerr=[low, high],
                color=COLOURS.get(method, INK),
                marker=MARKERS.get(method, "o"),
                markersize=4,
                linewidth=1.2,
                elinewidth=0.6,
                label=method,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(budgets, [str(budget) for budget in budgets])
        axes.set_xticks([], minor=True)
        axes.set_title(title)
        axes.set_xlabel("budget, entries")
    panels[2].axhline(full_nll, color=COLOURS["fullkv"], linestyle="--")
    panels[0].set_ylim(bottom=0)
    panels[1].set_ylim(0, 1.05)
    key(figure)
    return figure


def cost_panels(
    costs: Mapping[str, Mapping[str, Mapping[int, tuple[float, float, float] | None]]],
    titles: Mapping[str, str],
    kind: Kind,
) -> Figure:
    """Costs over the context length, a panel a cost and a line a method.

    Parameters
    ----------
    costs : mapping
        By method, by cost, by context: the median, the least and the most; None where memory was
        not enough, which is marked at the top.
    titles : mapping of str to str
        The costs that get a panel, and what stands over it.
    kind : {"measured", "computed", "report", "paper"}
        Measured lines are whole, others dashed with open marks; what a method is called after a comma
        has a dotted line of its own.
    """
    figure, panels = plt.subplots(1, len(titles), figsize=(WIDE, 3.5))
    measured = kind == "measured"
    contexts = sorted({x for of in costs.values() for one in of.values() for x in one})
    for axes, (cost, title) in zip(np.atleast_1d(panels), titles.items(), strict=True):
        full: Counter[int] = Counter()
        for i, (method, of) in enumerate(costs.items()):
            shift = 2 ** (0.04 * (i - len(costs) / 2))  # so that bars do not hide each other
            name, _, variant = method.partition(",")
            points = {x: one for x, one in of.get(cost, {}).items() if one is not None}
            middle = [one[0] for one in points.values()]
            axes.errorbar(
                [x * shift for x in points],
                middle,
                yerr=[
                    [one[0] - one[1] for one in points.values()],
                    [one[2] - one[0] for one in points.values()],
                ],
                color=COLOURS.get(name, INK),
                marker="x" if variant else MARKERS.get(name, "o"),
                markerfacecolor=None if measured else "none",
                linestyle=":" if variant else "-" if measured else "--",
                markersize=4,
                linewidth=1.2,
                elinewidth=0.6,
                label=method,
            )
            for x in set(of.get(cost, {})) - set(points):
                axes.annotate(
                    "OOM",
                    (x, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(0, -11 * full[x]),  # below those that had no room either
                    textcoords="offset points",
                    color=COLOURS.get(name, INK),
                    ha="center",
                    va="top",
                )
                full[x] += 1
        axes.set_xscale("log", base=2)
        if any(one for of in costs.values() for one in of.get(cost, {}).values()):
            axes.set_yscale("log")
        else:
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center")
        axes.set_xticks(contexts, [f"{x:,}" for x in contexts])
        axes.set_xticks([], minor=True)
        axes.set_title(title)
        axes.set_xlabel("context, tokens")
    key(figure)
    figure.suptitle(TAGS[kind], color=INK)
    return figure


def time_bars(parts: Mapping[str, Sequence[Mapping[str, float]]], columns: int = 2) -> Figure:
    """Milliseconds of a prefill layer by layer, stacked by part, a panel a method.

    Parameters
    ----------
    parts : mapping
        By method: a mapping of part to seconds for every layer.
    """
    rows = -(-len(parts) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(WIDE, 0.6 + 1.7 * rows), squeeze=False, sharex=True, sharey=True
    )
    colours = dict(zip(next(iter(parts.values()))[0], COLOURS.values(), strict=False))
    for axes, (method, layers) in zip(panels.flat, parts.items(), strict=False):
        bottom = np.zeros(len(layers))
        for part, colour in colours.items():
            height = np.array([1000 * layer[part] for layer in layers])
            axes.bar(
                range(len(layers)), height, bottom=bottom, color=colour, width=0.85, label=part
            )
            bottom += height
        axes.set_title(method)
    for axes in panels.flat[len(parts) :]:
        axes.set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("layer")
    for axes in panels[:, 0]:
        axes.set_ylabel("ms")
    key(figure)
    return figure
