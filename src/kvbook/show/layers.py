"""Attention over positions and layers: votes, accounts, and what becomes of a token."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from kvbook.show.drawing import key
from kvbook.show.style import COLOURS, INK, KEPT, WIDE

HEADS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Colours of the KV heads of one layer, in turn."""


def layer_bars(
    values: Sequence[float],
    even: float,
    label: str,
    method: str,
    ylabel: str,
    title: str = "",
    first: int = 0,
) -> Figure:
    """A share for every layer, and the one to compare with as a line.

    Parameters
    ----------
    values : sequence of float
        0 to 1, from layer ``first`` on.
    even : float
        What stands at the line; ``label`` says what it is.
    method : str
        Whose colour the bars have.
    """
    figure, axes = plt.subplots()
    axes.bar(range(first, first + len(values)), values, color=COLOURS[method])
    axes.axhline(even, color=INK, linestyle="--", label=label)
    axes.set(xlabel="layer", ylabel=ylabel, ylim=(0, 1), title=title)
    key(figure)
    return figure


def generated_entries(held: Mapping[str, Sequence[int]], title: str) -> Figure:
    """How many entries of generated tokens every layer holds, a line each of ``held``."""
    figure, axes = plt.subplots()
    for style, (label, entries) in zip((":", "-", "--"), held.items(), strict=False):
        axes.plot(entries, style, label=label, color=COLOURS["pyramidinfer"])
    axes.set(xlabel="layer", ylabel="generated entries held", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    key(figure)
    return figure


def votes(votes: Tensor, layer: int, needle: Sequence[int] = ()) -> Figure:
    """Votes ``[kv_heads, positions]`` for the prompt in one layer, a line a KV head; the place
    of a needle is marked."""
    figure, axes = plt.subplots()
    for head, line in enumerate(votes):
        colour = HEADS[head % len(HEADS)]
        axes.plot(line.cpu(), linewidth=1, label=f"KV head {head}", color=colour)
    if needle:
        axes.axvspan(needle[0] - 2, needle[-1] + 2, color=INK, alpha=0.3, label="the needle")
    axes.set(
        xlabel="position in the prompt",
        ylabel="votes, pooled",
        title=f"layer {layer}",
        yscale="log",
    )
    key(figure)
    return figure


def accounts(accounts: Tensor, layer: int) -> Figure:
    """Attention received by every entry of one layer ``[heads, entries]``, heaviest first."""
    figure, axes = plt.subplots()
    for line in accounts:
        heaviest = line.sort(descending=True).values
        places = range(1, len(line) + 1)
        axes.plot(places, heaviest, linewidth=1, color=COLOURS["h2o"], alpha=0.6)
    axes.axhline(1, color=INK, linestyle="--", label="an even share")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="entry, heaviest first",
        ylabel="attention received",
        title=f"layer {layer}, one line a query head",
    )
    key(figure)
    return figure


def alive(held: Sequence[Sequence[int]], positions: int, title: str = "") -> Figure | None:
    """Which positions one head holds after every decoded token, a row a token; nothing where
    nothing was evicted."""
    if not held:
        return None
    grid = torch.zeros(len(held), positions)
    for step, alive in enumerate(held):
        grid[step, alive] = 1
    figure, axes = plt.subplots(figsize=(WIDE, 2.8))
    colours = ListedColormap(["#80889022", KEPT])
    axes.imshow(grid, aspect="auto", interpolation="nearest", cmap=colours)
    axes.set(xlabel="position (prompt, then answer)", ylabel="decoded token", title=title)
    return figure


def where_kept(kept: Mapping[str, Sequence[Tensor]], prompt_tokens: int) -> Figure:
    """Share of the budget that is spent on each twentieth of the prompt.

    Parameters
    ----------
    kept : mapping
        By label: ``run.kept_positions``.
    """
    figure, axes = plt.subplots()
    colours = (COLOURS["h2o"], COLOURS["streamingllm"], COLOURS["pyramidinfer"])
    for (label, layers), colour in zip(kept.items(), colours, strict=False):
        places = torch.cat([one.flatten() for one in layers]).float()
        counts = torch.histc(places, bins=20, min=0, max=prompt_tokens)
        edges = [i / 20 for i in range(21)]
        axes.stairs((counts / counts.sum()).tolist(), edges, color=colour, label=label)
    axes.set(
        xlabel="where in the prompt (0: its start)", ylabel="share of the budget", ylim=(0, None)
    )
    key(figure)
    return figure


def lost_layers(first_lost: Sequence[int], layers: int, method: str) -> Figure:
    """How many needles are lost first in which layer; ``layers`` stands for none."""
    figure, axes = plt.subplots(figsize=(WIDE, 2.4))
    axes.hist(first_lost, bins=range(layers + 2), color=COLOURS[method], align="left")
    label = f"first layer that does not read the whole number ({layers}: none)"
    axes.set(xlabel=label, ylabel="needles")
    return figure
