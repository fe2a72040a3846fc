"""What methods score, how sure it is, and how they differ: tables and pictures of the evaluation
chapter."""

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import fmean

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.results import Provenance
from kvbook.show.drawing import key
from kvbook.show.style import COLOURS, INK, MARKERS, WIDE
from kvbook.show.tables import quoted, table
from kvbook.tasks.scores import Answers, Points, intervals, kept_shares, most_items

MEASURES = {"kl": "KL, nats", "agreement": "same next token", "nll": "NLL, nats a token"}
"""Of `kvbook.tasks.fidelity.Fidelity`."""


def benchmark_table(benchmarks: Mapping, caption: str) -> HTML:
    """Tasks: how many items, how long, and the first of them.

    Parameters
    ----------
    benchmarks : mapping of str to kvbook.tasks.longbench.Benchmark
        By task.
    """
    rows = []
    for task, benchmark in benchmarks.items():
        first = benchmark.rows[0]
        sizes = [len(row.context.split()) for row in benchmark.rows]
        asks = first.input.split("\n")[0] or first.opening
        rows.append(
            {
                "task": task,
                "metric": benchmark.task.metric,
                "items": len(benchmark.rows),
                "words": f"{min(sizes)}–{max(sizes)}",
                "first item asks": quoted(asks[:60]) if asks else "the next line",
                "answer": quoted(first.answers[0][:40]),
            }
        )
    return table(rows, "measured", caption)


def score_table(evaluated: Mapping[str, Answers], caption: str, seed: int = 0) -> HTML:
    """Score and interval on every task, the mean of the tasks, and the share of FullKV's bytes."""
    shares = kept_shares(evaluated)
    lost = {name: one["out_of_memory"] for name, one in evaluated.items()}
    rows = []
    for name, parts in intervals(evaluated, seed).items():
        rows.append(
            {"method": name}
            | {
                task: f"{mean:.1f} ({low:.0f}–{high:.0f})"
                for task, (mean, low, high) in parts.items()
            }
            | {"mean": f"{fmean(part[0] for part in parts.values()):.1f}"}
            | {"KV kept": f"{shares[name]:.2f}"}
            | ({"OOM": lost[name]} if any(lost.values()) else {})
        )
    return table(rows, "measured", caption)


def difference_table(points: Mapping[tuple[str, str], Points], caption: str) -> HTML:
    """Every method minus every other; a star where the interval leaves 0 out.

    Parameters
    ----------
    points : mapping of (str, str) to (float, float, float)
        By row and column: mean and interval.
    """
    names = list(dict.fromkeys(first for first, _ in points))

    def cell(first: str, second: str) -> str:
        if first == second:
            return "·"
        mean, low, high = points[first, second]
        return f"{mean:+.1f}" + ("" if low <= 0 <= high else " *")

    rows = [
        {"method": first} | {second: cell(first, second) for second in names} for first in names
    ]
    return table(rows, "measured", caption)


def paired_table(points: Mapping[tuple[str, str, str], Points]) -> HTML:
    """Some differences with their intervals.

    Parameters
    ----------
    points : mapping of (str, str, str) to (float, float, float)
        By what they are over, and the two methods: mean and interval.
    """
    rows = [
        {
            "difference": f"{first} − {second}",
            "over": over,
            "points": f"{mean:+.1f}",
            "95 % interval": f"{low:+.1f} to {high:+.1f}",
        }
        for (over, first, second), (mean, low, high) in points.items()
    ]
    return table(rows, "measured", "paired over the items")


def before_after(before: Mapping[str, Points], after: Mapping[str, Points], xlabel: str) -> Figure:
    """A score of every method by two protocols: an arrow from the first, hollow, to the second,
    filled, with its interval.

    Parameters
    ----------
    before, after : mapping of str to (float, float, float)
        By method: mean and interval.
    """
    figure, axes = plt.subplots(figsize=(6.4, 0.9 + 0.34 * len(before)))
    for place, (name, (mean, low, high)) in enumerate(after.items()):
        colour, marker = COLOURS.get(name, INK), MARKERS.get(name, "o")
        axes.annotate(
            "",
            (mean, place),
            (before[name][0], place),
            arrowprops={"arrowstyle": "->", "color": colour, "alpha": 0.6},
        )
        axes.plot(before[name][0], place, marker, color=colour, markerfacecolor="none")
        axes.errorbar(
            mean, place, xerr=[[mean - low], [high - mean]], fmt=marker, color=colour, capsize=2
        )
    axes.plot([], [], "o", color=INK, markerfacecolor="none", label="question before")
    axes.plot([], [], "o", color=INK, label="question after, 95 % interval")
    axes.set_yticks(range(len(after)), list(after))
    axes.invert_yaxis()
    axes.set(xlabel=xlabel, xlim=(0, None))
    key(figure)
    return figure


def fidelity_table(
    curves: Mapping[str, Mapping[int, Sequence[Mapping]]], budgets: Sequence[int], caption: str
) -> HTML:
    """Means of the three measures at some budgets; ``curves`` as in `fidelity_curves`."""
    rows = [
        {"method": name}
        | {
            f"{title} ({size})": f"{fmean(one[measure] for one in of_budgets[size]):.3f}"
            for (measure, title), size in product(MEASURES.items(), budgets)
        }
        for name, of_budgets in curves.items()
    ]
    return table(rows, "measured", caption)


def needle_table(
    needles: Mapping[str, Mapping[str, Sequence[Sequence[bool]]]],
    lengths: Sequence[int],
    caption: str,
) -> HTML:
    """Needles found at every length, over all depths, a row a method and budget.

    Parameters
    ----------
    needles : mapping
        By method, by budget: ``[depths][lengths]``.
    """
    rows = [
        {"method": name, "budget": size}
        | {
            f"{length} tokens": f"{sum(column)} of {len(column)}"
            for length, column in zip(lengths, zip(*grid, strict=True), strict=True)
        }
        for name, grids in needles.items()
        for size, grid in grids.items()
    ]
    return table(rows, "measured", caption)


def kept_by_protocol(words: Mapping[str, int], tokens: Mapping[str, float], source: str) -> HTML:
    """What a tenth and two fixed budgets keep of LongBench's tasks, the shortest first.

    Parameters
    ----------
    words, tokens : mapping of str to number
        Mean length of a task's items.
    source : str
        Of the words.
    """
    rows = [
        {
            "task": task,
            "words, mean": f"{words[task]:,}",
            "tokens, about": f"{tokens[task]:,.0f}",
            "10 % keeps": f"{0.1 * tokens[task]:,.0f}",
            "512 keeps": f"{min(1, 512 / tokens[task]):.1%}",
            "2,048 keeps": f"{min(1, 2048 / tokens[task]):.1%}",
        }
        for task in sorted(words, key=words.__getitem__)
    ]
    caption = f"words: {source}; tokens by SmolLM2's tokens a word on the embedded items"
    return table(rows, "paper", caption)


def shares_by_length(
    shares: Mapping[str, Sequence[float]], tokens: Sequence[float], tasks: Sequence[str]
) -> Figure:
    """The report's scores as shares of FullKV's over the tasks, the shortest first, a line a method.

    Parameters
    ----------
    shares : mapping of str to sequence of float
        By method, a share a task.
    tokens, tasks : sequences
        The tasks' lengths, and their names.
    """
    figure, axes = plt.subplots(figsize=(WIDE, 3.4))
    for name, line in shares.items():
        axes.plot(
            line,
            marker=MARKERS[name],
            color=COLOURS[name],
            linestyle="--",
            markerfacecolor="none",
            label=name,
        )
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.set(xlabel="task, and its mean length in tokens, about", ylabel="share of FullKV")
    names = [f"{task}\n{length:,.0f}" for task, length in zip(tasks, tokens, strict=True)]
    axes.set_xticks(range(len(names)), names)
    axes.set_title("the report", color="#d55e00")
    key(figure)
    return figure


def item_cost_table(evaluated: Mapping[str, Answers], caption: str) -> HTML:
    """Bytes kept and seconds taken, an item."""
    rows = [
        {
            "method": name,
            "KV kept, MiB an item": f"{fmean(one['kept_bytes'].values()) / 2**20:.2f}",
            "seconds an item": f"{sum(one['seconds'].values()) / sum(map(len, one['scores'].values())):.2f}",
        }
        for name, one in evaluated.items()
    ]
    return table(rows, "measured", caption)


def protocol(run: Mapping) -> str:
    """With what budget an evaluation was made, and on how many items, for its caption."""
    items = most_items(run["evaluated"])
    return f"budget {run['budget']}, {items} items a task ({run['source']})"


def origin(evaluated: Mapping[str, Answers], p: Provenance) -> str:
    """Where a kept evaluation comes from; its items may have been measured in several sessions."""
    minutes = sum(sum(one["seconds"].values()) for one in evaluated.values()) / 60
    return f"{p.model}, {p.started[:10]}, {minutes:.0f} minutes for its items, commit {(p.commit or '')[:8]}, torch {p.versions['torch']}"
