"""The book's figures and tables: one style, readable on light and dark pages, in colours
that colour-blind
readers tell apart. Functions here only draw; they compute nothing about a method."""

import html
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, Markdown
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

INK = "#808890"
"""Text and axes: enough contrast on white and on near-black."""
COLOURS = {"fullkv": "#56B4E9", "streamingllm": "#E69F00", "snapkv": "#009E73"}
"""One colour a method in all chapters (Okabe and Ito's palette)."""
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


def kept_map(run, prompt_length: int, title: str = "") -> Figure:
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
    colours = ListedColormap(["#80889026", "#0072B2"])
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


PLOTLY = "plotly/plotly.min.js"
"""Where a page finds plotly: beside the book's pages, so that nothing is loaded from outside."""


def kept_explorer(run, tokens: Sequence[str], name: str = "kept") -> HTML:
    """`kept_map` to move through: a slider over the layers, and the token under the pointer.

    Parameters
    ----------
    run : kvbook.attach.Run
        After a prompt; the first row of its batch is drawn.
    tokens : sequence of str
        The prompt's tokens as text.
    name : str
        Unique on its page.
    """
    heads, n = run.kept_positions[0].shape[1], len(tokens)
    grids = np.zeros((len(run.kept_positions), heads, n), dtype=int)
    for layer, kept in enumerate(run.kept_positions):
        for head, positions in enumerate(kept[0]):
            grids[layer, head, positions[positions >= 0].tolist()] = 1
    label = [f"{i}: {html.escape(repr(token))}" for i, token in enumerate(tokens)]
    trace = {
        "type": "heatmap",
        "z": grids[0].tolist(),
        "text": [label] * heads,
        "y": [f"KV head {head}" for head in range(heads)],
        "hovertemplate": "%{text}<br>%{y}<extra></extra>",
        "colorscale": [[0, "rgba(128,136,144,0.15)"], [1, "#0072B2"]],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
    }
    steps = [
        {"label": str(layer), "method": "restyle", "args": [{"z": [grid.tolist()]}]}
        for layer, grid in enumerate(grids)
    ]
    layout = {
        "height": 280,
        "margin": {"l": 80, "r": 10, "t": 10, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK},
        "xaxis": {"title": {"text": "position in the prompt"}},
        "sliders": [{"steps": steps, "currentvalue": {"prefix": "layer "}, "pad": {"t": 45}}],
    }
    figure = json.dumps([[trace], layout, {"responsive": True, "displaylogo": False}])
    figure = figure.replace("</", "<\\/")  # a token must not close the script
    return HTML(
        f'<div id="{name}" role="img" aria-label="Kept entries of one layer, with a slider over '
        f'the layers; the picture above shows all layers at once"></div>'
        f'<script src="{PLOTLY}"></script><script>Plotly.newPlot("{name}", ...{figure});</script>'
        "<noscript>This figure needs JavaScript; the picture above shows the same.</noscript>"
    )


def kept_text(tokens: Sequence[str], kept: Sequence[int], highlight: Sequence[int] = ()) -> HTML:
    """The prompt's text: kept tokens dark on colour, dropped ones faint; ``highlight`` underlined."""
    kept, highlight, parts = set(kept), set(highlight), []
    for i, token in enumerate(tokens):
        classes = ["kv-kept" if i in kept else "kv-dropped"] + ["kv-needle"] * (i in highlight)
        parts.append(
            f'<span class="{" ".join(classes)}" title="position {i}">{html.escape(token)}</span>'
        )
    return HTML(f'<div class="kv-text">{"".join(parts)}</div>')


def rates(
    axes: Axes,
    x: Sequence,
    rates: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    method: str,
    label=None,
) -> None:
    """One method's rates with their 95 % intervals, at the places ``x``."""
    low = [max(0.0, rate - lo) for rate, (lo, _) in zip(rates, intervals, strict=True)]
    high = [max(0.0, hi - rate) for rate, (_, hi) in zip(rates, intervals, strict=True)]
    axes.errorbar(
        x,
        rates,
        yerr=[low, high],
        marker="o",
        capsize=3,
        color=COLOURS[method],
        label=label or method,
    )
    axes.set_ylim(-0.05, 1.05)
