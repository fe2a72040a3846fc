"""The book's figures and tables: one style, readable on light and dark pages, in colours
that colour-blind
readers tell apart. Functions here only draw; they compute nothing about a method."""

import html
import inspect
from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, Markdown
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from kvbook.attach import Run
from kvbook.stats import Rate

INK = "#808890"
"""Text and axes: enough contrast on white and on near-black."""
KEPT = "#0072B2"
"""What is kept, in every map."""
COLOURS = {
    "fullkv": "#56B4E9",
    "streamingllm": "#E69F00",
    "snapkv": "#009E73",
    "h2o": "#CC79A7",
    "pyramidinfer": "#D55E00",
    "gemfilter": "#8B6BD6",
    "fastkv": "#0072B2",
    "summarykv": "#B8860B",
}
"""One colour a method in all chapters (Okabe and Ito's palette, and a violet)."""
MARKERS = dict(zip(COLOURS, "os^vDPXh", strict=True))
"""And one mark, for readers and printers without colours."""
Kind = Literal["measured", "computed", "report", "paper"]
TAGS = {
    "measured": "measured here",
    "computed": "computed on paper",
    "report": "the report",
    "paper": "a paper",
}


def style() -> None:
    """Set the book's look for this notebook; call it once, after the imports."""
    plt.rcParams.update(
        {
            "figure.figsize": (7.2, 3.2),
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "savefig.transparent": True,
            "savefig.bbox": "tight",
            "figure.dpi": 110,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "font.size": 10,
            "font.family": ["DejaVu Sans"],
            "legend.frameon": False,
            "svg.fonttype": "none",
        }
        | dict.fromkeys(
            [
                "text.color",
                "axes.labelcolor",
                "axes.edgecolor",
                "xtick.color",
                "ytick.color",
                "axes.titlecolor",
            ],
            INK,
        )
    )


def show_source(thing) -> Markdown:
    """The lines of our own source, read from the package at this moment and not pasted."""
    lines = inspect.cleandoc("\n" + inspect.getsource(thing))
    return Markdown(f"```python\n{lines}\n```\n*From* `{thing.__module__}`")


def table(rows: Sequence[Mapping], kind: Kind, caption: str = "") -> HTML:
    """Rows with the same keys as a table that says what kind of number it holds."""
    head = "".join(f"<th>{html.escape(str(key))}</th>" for key in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(v))}</td>" for v in row.values()) + "</tr>"
        for row in rows
    )
    tag = f'<span class="kv-{kind}">{TAGS[kind]}</span>'
    return HTML(
        f'<table class="kv-table"><caption>{tag} {html.escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def rate_table(rates: Mapping[str, Rate], caption: str = "", first: str = "method") -> HTML:
    """Rates by their label, with intervals; measured here."""
    return table([rate.row(**{first: label}) for label, rate in rates.items()], "measured", caption)


def kept_map(run: Run, prompt_length: int, title: str = "") -> Figure:
    """Which prompt positions each KV head of each layer kept: a row a head, layers from top
    to bottom.

    Parameters
    ----------
    run : kvbook.attach.Run
        After a prompt; the first row of its batch is drawn.
    prompt_length : int
        Tokens of the prompt.
    """
    heads = run.kept_positions[0].shape[1]
    grid = np.zeros((len(run.kept_positions) * heads, prompt_length))
    for layer, kept in enumerate(run.kept_positions):
        for head, positions in enumerate(kept[0]):
            grid[layer * heads + head, positions[positions >= 0].tolist()] = 1
    figure, axes = plt.subplots(figsize=(7.2, 4.2))
    colours = ListedColormap(["#80889026", KEPT])
    axes.imshow(grid, aspect="auto", cmap=colours, interpolation="nearest", vmin=0, vmax=1)
    layers = len(run.kept_positions)
    ticks = range(0, layers, max(1, layers // 6))
    axes.set_yticks(
        [layer * heads + (heads - 1) / 2 for layer in ticks], [str(layer) for layer in ticks]
    )
    axes.set(
        xlabel="position in the prompt",
        ylabel=f"layer ({heads} KV head{'s' * (heads > 1)} each)",
        title=title,
    )
    return figure


def kept_text(tokens: Sequence[str], kept: Sequence[int], highlight: Sequence[int] = ()) -> HTML:
    """The prompt's text: kept tokens dark on colour, dropped ones faint; ``highlight`` underlined."""
    kept, highlight, parts = set(kept), set(highlight), []
    for i, token in enumerate(tokens):
        classes = ["kv-kept" if i in kept else "kv-dropped"] + ["kv-needle"] * (i in highlight)
        parts.append(
            f'<span class="{" ".join(classes)}" title="position {i}">{html.escape(token)}</span>'
        )
    return HTML(f'<div class="kv-text">{"".join(parts)}</div>')


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
    found: Mapping[str, Sequence[Rate]], budgets: Sequence, full: Rate, xlabel: str = "budget"
) -> Figure:
    """Needles found by every method at every budget, with full KV as the line to compare with."""
    figure, axes = plt.subplots()
    axes.axhline(full.share, color=COLOURS["fullkv"], label="fullkv")
    shift = 0.06
    for i, (method, of_budgets) in enumerate(found.items()):
        places = [place + shift * (i - (len(found) - 1) / 2) for place in range(len(budgets))]
        rates(axes, places, of_budgets, method)
    axes.set_xticks(range(len(budgets)), [str(budget) for budget in budgets])
    axes.set(xlabel=xlabel, ylabel="share of needles found")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def journey(run: Run, prompt_length: int, title: str = "", axes: Axes | None = None) -> Figure:
    """What becomes of every prompt token, layer by layer from top to bottom.

    Nothing where a layer does not read the token, light where it reads it and then drops its
    entry, dark where at least one of its KV heads keeps it. Layers of a first pass lie
    above the line.
    """
    first = run.filter_layers
    grid = np.zeros((first + len(run.kept_positions), prompt_length))
    grid[:first] = 1
    for layer, (read, kept) in enumerate(
        zip(run.layer_inputs, run.kept_positions, strict=True), start=first
    ):
        for value, positions in ((1, read[0]), (2, kept[0].flatten())):
            grid[layer, positions[positions >= 0].tolist()] = value
    if axes is None:
        _, axes = plt.subplots(figsize=(7.2, 3.6))
    colours = ListedColormap(["#80889000", "#80889055", KEPT])
    axes.imshow(grid, aspect="auto", cmap=colours, interpolation="nearest", vmin=0, vmax=2)
    layers = len(run.kept_positions)
    ticks = range(0, layers, max(1, layers // 6))
    axes.set_yticks([first + layer for layer in ticks], [str(layer) for layer in ticks])
    if first:
        axes.axhline(first - 0.5, color=INK, linewidth=1)
        axes.text(prompt_length / 2, first / 2 - 0.5, "first pass", ha="center", va="center")
    axes.set(xlabel="position in the prompt", ylabel="layer", title=title)
    return axes.figure
