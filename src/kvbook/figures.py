"""The book's figures and tables: one style, readable on light and dark pages, in colours
that colour-blind
readers tell apart. Functions here only draw; they compute nothing about a method."""

import html
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, Markdown
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure

from kvbook.attach import Run
from kvbook.stats import Rate, mean_and_interval

INK = "#30373f"
"""Text and axes: for white pages; the dark pages of the book turn a whole figure's light and dark around."""
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
    plt.style.use(
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


def tag(kind: Kind) -> Markup:
    """The words that say what kind of number stands beside them."""
    return Markup('<span class="kv-{}">{}</span>').format(kind, TAGS[kind])


def linked(text: str, page: str, file: str = "", mark: str = "") -> Markup:
    """A number that leads to the page it is made on and, by a mark, to the file it comes from.

    Parameters
    ----------
    text : str
        The number, or any words.
    page, file : str
        Their addresses, as seen from the page that this stands on.
    mark : str
        Stands raised behind the number and leads to ``file``.
    """
    number = Markup('<a href="{}">{}</a>').format(page, text)
    origin = Markup('<sup><a href="{0}" title="{0}">{1}</a></sup>').format(file, mark)
    return number + origin if mark else number


def table(rows: Sequence[Mapping], kind: Kind | None, caption: str = "") -> HTML:
    """Rows with the same keys as a table that says what kind of number it holds.

    Columns of numbers stand right, words left; long texts may break, nothing else does.

    Parameters
    ----------
    rows : sequence of mapping
        Texts or numbers by column; what is `markupsafe.Markup`, such as `linked`, goes in as it is.
    kind : {"measured", "computed", "report", "paper"} or None
        None where the rows or columns differ in it and say so themselves, with `tag`.
    """
    cells = [[escape(value) for value in row.values()] for row in rows]
    looks = [_column([cell.striptags() for cell in column]) for column in zip(*cells, strict=True)]

    def line(tag: str, cells: Sequence[Markup]) -> str:
        parts = zip(cells, looks, strict=True)
        return f"<tr>{''.join(f'<{tag}{look}>{cell}</{tag}>' for cell, look in parts)}</tr>"

    head = line("th", [escape(key) for key in rows[0]])
    body = "".join(line("td", row) for row in cells)
    above = f"{tag(kind)} {escape(caption)}" if kind else escape(caption)
    return HTML(
        f'<table class="kv-table"><caption>{above}</caption>'
        f"<thead>{head}</thead><tbody>{body}</tbody></table>"
    )


def _column(texts: Sequence[str]) -> str:
    """The class of a column's cells, for the stylesheet."""
    if max(map(len, texts)) > 26:
        return ' class="kv-long"'
    return "" if any(c.isdigit() for text in texts for c in text) else ' class="kv-word"'


def texts_table(rows: Sequence[Mapping], caption: str = "") -> HTML:
    """Texts side by side, such as answers; measured here."""
    shown = table(rows, "measured", caption).data
    return HTML(shown.replace('class="kv-table"', 'class="kv-table kv-texts"', 1))


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
    dark, underlined, parts = set(kept), set(highlight), []
    for i, token in enumerate(tokens):
        classes = ["kv-kept" if i in dark else "kv-dropped"] + ["kv-needle"] * (i in underlined)
        parts.append(
            f'<span class="{" ".join(classes)}" title="position {i}">{html.escape(token)}</span>'
        )
    return HTML(f'<div class="kv-text">{"".join(parts)}</div>')


def label_text(
    tokens: Sequence[bytes], trained: Sequence[bool], control: Collection[int] = ()
) -> HTML:
    """Every token as a box: on colour where it counts for the loss, faint where it does not,
    with a thick rim where it is the template's. A character in several tokens stands above
    them, and each shows its bytes of it.

    Parameters
    ----------
    tokens : sequence of bytes
        Their texts in UTF-8.
    trained : sequence of bool
        Whether they count.
    control : collection of int
        Positions of control tokens.
    """
    parts, start = [], 0
    for end in range(1, len(tokens) + 1):
        try:
            text = b"".join(tokens[start:end]).decode()
        except UnicodeDecodeError:
            if end < len(tokens):  # inside a character
                continue
            text = "\ufffd"
        written = html.escape(text).replace("\n", "↵")
        if end - start > 1 or text == "\ufffd":
            pieces = "".join(
                f'<span title="position {i}">{tokens[i].hex(" ").upper()}</span>'
                for i in range(start, end)
            )
            written += f'<span class="kv-bytes">{pieces}</span>'
        classes = "kv-token " + ("kv-trained" if trained[start] else "kv-untrained")
        classes += " kv-control" * (start in control)
        parts.append(f'<span class="{classes}" title="position {start}">{written}</span>')
        if text.endswith("\n"):
            parts.append("<br>")
        start = end
    return HTML(f'<div class="kv-text kv-tokens">{"".join(parts)}</div>')


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
    return axes.figure.get_figure(root=True)


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
        The panels, in order; any cost will do for a task, where less is better.
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
                        fontsize=7,
                        color="#d55e00",
                    )
        axes.axvline(1, color=INK, linewidth=0.8)
        axes.set_title(task, fontsize=9)
        axes.set_xlim(-0.05, widest)
    panels[0, 0].set_yticks(range(len(methods)), methods)
    panels[0, 0].invert_yaxis()
    for axes in panels.flat:
        axes.tick_params(labelsize=8)
    for axes in panels.flat[len(tasks) :]:
        axes.set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("share of FullKV")
    figure.tight_layout()
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
    figure, panels = plt.subplots(1, 3, figsize=(7.4, 3.4))
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
        axes.set_xticks(budgets, [str(budget) for budget in budgets], fontsize=8)
        axes.set_xticks([], minor=True)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("budget, entries")
    panels[2].axhline(full_nll, color=COLOURS["fullkv"], linestyle="--")
    panels[0].set_ylim(bottom=0)
    panels[1].set_ylim(0, 1.05)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=4, loc="lower center", fontsize=8)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    return figure


def needle_maps(
    found: Mapping[str, Sequence[Sequence[float]]], lengths: Sequence[int], columns: int = 3
) -> Figure:
    """Needles found by depth (top to bottom) and length (left to right), a panel a method.

    Parameters
    ----------
    found : mapping
        By title: ``[depths][lengths]``, 0 to 1.
    lengths : sequence of int
        Tokens, as labels.
    """
    rows = -(-len(found) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(7.2, 0.5 + 1.45 * rows), squeeze=False, sharex=True, sharey=True
    )
    for axes, (title, shares) in zip(panels.flat, found.items(), strict=False):
        grid = np.asarray(shares, dtype=float)
        colours = ListedColormap(["#d55e00", "#cc9a60", "#9aa0a6", "#5a94b8", KEPT])
        axes.imshow(grid, aspect="auto", cmap=colours, vmin=0, vmax=1)
        for (depth, length), share in np.ndenumerate(grid):
            mark = "✓" if share == 1 else "·" if share == 0 else f"{share:.1f}"
            ink = _ink_on(colours(share))
            axes.text(length, depth, mark, ha="center", va="center", color=ink, fontsize=8)
        axes.set_title(title, fontsize=9)
        axes.set_xticks(range(len(lengths)), [str(length) for length in lengths])
        depths = len(grid)
        axes.set_yticks(
            [0, depths - 1], [f"{0.5 / depths:.0%}", f"{1 - 0.5 / depths:.0%}"], fontsize=8
        )
    for axes in panels.flat[len(found) :]:
        axes.set_visible(False)
    figure.supxlabel("tokens of the prompt", fontsize=9, color=INK)
    figure.supylabel("depth of the needle", fontsize=9, color=INK)
    figure.tight_layout()
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
        Measured lines are whole, others dashed with open marks.
    """
    figure, panels = plt.subplots(1, len(titles), figsize=(7.4, 3.5))
    measured = kind == "measured"
    contexts = sorted({x for of in costs.values() for one in of.values() for x in one})
    for axes, (cost, title) in zip(np.atleast_1d(panels), titles.items(), strict=True):
        for i, (method, of) in enumerate(costs.items()):
            shift = 2 ** (0.04 * (i - len(costs) / 2))  # so that bars do not hide each other
            points = {x: one for x, one in of.get(cost, {}).items() if one is not None}
            middle = [one[0] for one in points.values()]
            axes.errorbar(
                [x * shift for x in points],
                middle,
                yerr=[
                    [one[0] - one[1] for one in points.values()],
                    [one[2] - one[0] for one in points.values()],
                ],
                color=COLOURS.get(method.split(",")[0], INK),
                marker=MARKERS.get(method.split(",")[0], "o"),
                markerfacecolor=None if measured else "none",
                linestyle="-" if measured else "--",
                markersize=4,
                linewidth=1.2,
                elinewidth=0.6,
                label=method,
            )
            for x in set(of.get(cost, {})) - set(points):
                axes.annotate(
                    "OOM",
                    (x * shift, 1),
                    xycoords=("data", "axes fraction"),
                    color=COLOURS.get(method, INK),
                    fontsize=7,
                    rotation=90,
                    ha="center",
                    va="top",
                )
        axes.set_xscale("log", base=2)
        if any(one for of in costs.values() for one in of.get(cost, {}).values()):
            axes.set_yscale("log")
        else:
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", fontsize=8)
        axes.set_xticks(contexts, [f"{x:,}" for x in contexts], fontsize=7)
        axes.set_xticks([], minor=True)
        axes.tick_params(axis="y", which="both", labelsize=7)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("context, tokens", fontsize=8)
    handles, labels = np.atleast_1d(panels)[0].get_legend_handles_labels()
    more, names = np.atleast_1d(panels)[-1].get_legend_handles_labels()
    known = dict(zip(labels + names, handles + more, strict=True))
    figure.legend(known.values(), known, ncols=4, loc="lower center", fontsize=8)
    figure.suptitle(TAGS[kind], fontsize=9, color=INK)
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    return figure


def time_bars(parts: Mapping[str, Sequence[Mapping[str, float]]], columns: int = 2) -> Figure:
    """Seconds of a prefill layer by layer, stacked by part, a panel a method.

    Parameters
    ----------
    parts : mapping
        By method: a mapping of part to seconds for every layer.
    """
    rows = -(-len(parts) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(7.2, 0.6 + 1.7 * rows), squeeze=False, sharex=True, sharey=True
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
        axes.set_title(method, fontsize=9)
        axes.tick_params(labelsize=8)
    for axes in panels.flat[len(parts) :]:
        axes.set_visible(False)
    figure.supxlabel("layer", fontsize=9, color=INK)
    figure.supylabel("ms", fontsize=9, color=INK)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=6, loc="upper center", fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 0.95 if rows > 1 else 0.9))
    return figure


def ratio_maps(
    maps: Mapping[str, Sequence[Sequence[float]]],
    rows: Sequence[str],
    columns: Sequence[str],
    labels: tuple[str, str],
) -> Figure:
    """Ratios as numbers on a colour: below one is blue, above one orange; a panel a title.

    Parameters
    ----------
    maps : mapping
        By title: ``[rows][columns]``.
    rows, columns : sequence of str
        What stands at them.
    labels : (str, str)
        What the rows and the columns are.
    """
    figure, panels = plt.subplots(
        1, len(maps), figsize=(7.2, 0.9 + 0.42 * len(rows)), squeeze=False, sharey=True
    )
    for axes, (title, grid) in zip(panels.flat, maps.items(), strict=True):
        grid = np.log2(np.asarray(grid, dtype=float))
        colours = LinearSegmentedColormap.from_list("ratio", [KEPT, "#9aa0a6", "#d55e00"])
        axes.imshow(grid, aspect="auto", cmap=colours, vmin=-1.5, vmax=1.5)
        for (row, column), power in np.ndenumerate(grid):
            ink = _ink_on(colours((power + 1.5) / 3))
            label = f"{2**power:.2f}"
            axes.text(column, row, label, ha="center", va="center", color=ink, fontsize=8)
        axes.set_title(title, fontsize=9)
        axes.set_xticks(range(len(columns)), columns, fontsize=8)
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
    figure.supylabel(labels[0], fontsize=9, color=INK)
    figure.supxlabel(labels[1], fontsize=9, color=INK)
    figure.tight_layout()
    return figure


def _ink_on(ground: tuple[float, ...]) -> str:
    """White or black, whichever is easier to read on a colour (relative luminance, WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in ground[:3]]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if 1.05 / (light + 0.05) > (light + 0.05) / 0.05 else "black"
