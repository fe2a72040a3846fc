"""Maps: a colour for every cell of a grid, such as layers by positions."""

from collections import Counter
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure

from kvbook.engine.run import Run
from kvbook.show.said import Said, bullets, say
from kvbook.show.style import INK, KEPT, WIDE


def kept_map(run: Run, prompt_length: int, title: str = "") -> Figure:
    """Which prompt positions each KV head of each layer kept: a row a head, layers from top
    to bottom.

    Parameters
    ----------
    run : kvbook.engine.run.Run
        After a prompt; the first row of its batch is drawn.
    prompt_length : int
        Tokens of the prompt.
    """
    heads = run.kept_positions[0].shape[1]
    grid = np.zeros((len(run.kept_positions) * heads, prompt_length))
    for layer, kept in enumerate(run.kept_positions):
        for head, positions in enumerate(kept[0]):
            grid[layer * heads + head, positions[positions >= 0].tolist()] = 1
    figure, axes = plt.subplots(figsize=(WIDE, 4.2))
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


def kept_sentence(run: Run, prompt_length: int) -> Said:
    """What `kept_map` shows: how many positions all heads keep, and how many none."""
    heads = [set(row.tolist()) for layer in run.kept_positions for row in layer[0]]
    keepers = Counter(place for one in heads for place in one if place >= 0)
    everywhere = sum(count == len(heads) for count in keepers.values())
    if everywhere == len(keepers):
        return say(
            "All {heads} heads keep the same {kept} of {all} positions.",
            heads=len(heads),
            kept=everywhere,
            all=prompt_length,
        )
    return say(
        "Of {all} positions {everywhere} are kept by all {heads} heads, {some} by some of them, {none} by none.",
        all=prompt_length,
        everywhere=everywhere,
        heads=len(heads),
        some=len(keepers) - everywhere,
        none=prompt_length - len(keepers),
    )


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
        _, axes = plt.subplots(figsize=(WIDE, 3.6))
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


def journey_sentence(run: Run, prompt_length: int) -> Said:
    """What `journey` shows: how many layers read the whole prompt, and what the layers hold."""
    read = [(one[0] >= 0).sum().item() for one in run.layer_inputs]
    kept = [(one[0] >= 0).sum(-1).max().item() for one in run.kept_positions]
    whole = sum(one == prompt_length for one in read)
    if run.filter_layers:
        template = (
            "{first} layers of a first pass read all {all} tokens; then the layers read {last}."
        )
    elif whole == len(read):
        template = "Every layer reads all {all} tokens."
    else:
        template = "{whole} layers read all {all} tokens; the last layer reads {last}."
    told = say(template, first=run.filter_layers, whole=whole, all=prompt_length, last=read[-1])
    if min(kept) == max(kept):
        return say("{read} Every KV head holds {kept} entries.", read=told, kept=kept[0])
    template = "{read} A KV head holds {least} to {most} entries, by its layer."
    return say(template, read=told, least=min(kept), most=max(kept))


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
        rows, columns, figsize=(WIDE, 0.5 + 1.45 * rows), squeeze=False, sharex=True, sharey=True
    )
    for axes, (title, shares) in zip(panels.flat, found.items(), strict=False):
        grid = np.asarray(shares, dtype=float)
        colours = ListedColormap(["#d55e00", "#cc9a60", "#9aa0a6", "#5a94b8", KEPT])
        axes.imshow(grid, aspect="auto", cmap=colours, vmin=0, vmax=1)
        for (depth, length), share in np.ndenumerate(grid):
            mark = "✓" if share == 1 else "·" if share == 0 else f"{share:.1f}"
            ink = ink_on(colours(share))
            axes.text(length, depth, mark, ha="center", va="center", color=ink)
        axes.set_title(title)
        axes.set_xticks(range(len(lengths)), [str(length) for length in lengths])
        depths = len(grid)
        axes.set_yticks([0, depths - 1], [f"{0.5 / depths:.0%}", f"{1 - 0.5 / depths:.0%}"])
    for axes in panels.flat[len(found) :]:
        axes.set_visible(False)
    figure.supxlabel("tokens of the prompt", color=INK)
    figure.supylabel("depth of the needle", color=INK)
    return figure


def needles_sentence(
    found: Mapping[str, Sequence[Sequence[float]]], lengths: Sequence[int]
) -> Said:
    """What `needle_maps` shows: the share of needles that are found, of all, and of the shortest and the
    longest prompts."""
    told = []
    for title, shares in found.items():
        grid = np.asarray(shares, dtype=float)
        told.append(
            say(
                "{title}: {all:.0%} of all needles; {short:.0%} with {shortest} tokens, {long:.0%} with {longest}.",
                title=title,
                all=grid.mean().item(),
                short=grid[:, 0].mean().item(),
                long=grid[:, -1].mean().item(),
                shortest=lengths[0],
                longest=lengths[-1],
            )
        )
    return bullets(told)


def ratio_maps(
    maps: Mapping[str, Sequence[Sequence[float]]],
    rows: Sequence[str],
    columns: Sequence[str],
    labels: tuple[str, str],
    title: str = "",
) -> Figure:
    """Ratios as numbers on a colour: below one is blue, above one orange; a panel a title.

    Parameters
    ----------
    maps : mapping
        By what stands over the panel: ``[rows][columns]``.
    rows, columns : sequence of str
        What stands at them.
    labels : (str, str)
        What the rows and the columns are.
    title : str
        Stands over all.
    """
    figure, panels = plt.subplots(
        1, len(maps), figsize=(WIDE, 0.9 + 0.42 * len(rows)), squeeze=False, sharey=True
    )
    for axes, (name, grid) in zip(panels.flat, maps.items(), strict=True):
        grid = np.log2(np.asarray(grid, dtype=float))
        colours = LinearSegmentedColormap.from_list("ratio", [KEPT, "#9aa0a6", "#d55e00"])
        axes.imshow(grid, aspect="auto", cmap=colours, vmin=-1.5, vmax=1.5)
        for (row, column), power in np.ndenumerate(grid):
            ink = ink_on(colours((power + 1.5) / 3))
            label = f"{2**power:.2f}"
            axes.text(column, row, label, ha="center", va="center", color=ink)
        axes.set_title(name)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
    figure.supylabel(labels[0], color=INK)
    figure.supxlabel(labels[1], color=INK)
    if title:
        figure.suptitle(title, color=INK)
    return figure


def ratios_sentence(maps: Mapping[str, Sequence[Sequence[float]]]) -> Said:
    """What `ratio_maps` shows: how many ratios are below one, the least and the most."""
    told = []
    for title, grid in maps.items():
        ratios = np.asarray(grid, dtype=float)
        told.append(
            say(
                "{title}: {below} of {all} ratios are below 1; the least is {least:.2f}, the most {most:.2f}.",
                title=title,
                below=(ratios < 1).sum().item(),
                all=ratios.size,
                least=ratios.min().item(),
                most=ratios.max().item(),
            )
        )
    return bullets(told)


def ink_on(ground: tuple[float, ...]) -> str:
    """White or black, whichever is easier to read on a colour (relative luminance, WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in ground[:3]]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if 1.05 / (light + 0.05) > (light + 0.05) / 0.05 else "black"
