"""Attention over positions and layers: votes, accounts, and what becomes of a token."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median

import matplotlib.pyplot as plt
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from kvbook.show.drawing import key
from kvbook.show.said import Said, bullets, say
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


def bars_sentence(values: Sequence[float], even: float, first: int = 0) -> Said:
    """What `layer_bars` shows: in how many layers the share is above the line, and in which it is
    largest."""
    half = -(-len(values) // 2)
    layer = max(range(len(values)), key=values.__getitem__)
    return say(
        "The share is above the dashed line in {above} of {layers} layers. Its mean is {shallow:.0%} in the "
        "first half of these layers and {deep:.0%} in the second. The largest is {largest:.0%}, in layer {layer}.",
        above=sum(one > even for one in values),
        layers=len(values),
        shallow=fmean(values[:half]),
        deep=fmean(values[half:] or values),
        largest=values[layer],
        layer=first + layer,
    )


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


def generated_sentence(held: Mapping[str, Sequence[int]]) -> Said:
    """What `generated_entries` shows: the least and the most that a layer holds."""
    template = "{label}: a layer holds {least} to {most} entries of generated tokens."
    return bullets(
        [
            say(template, label=label, least=min(entries), most=max(entries))
            for label, entries in held.items()
        ]
    )


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


def votes_sentence(votes: Mapping[int, Tensor], layer: int, needle: Sequence[int]) -> Said | None:
    """How high the answer's tokens stand among the votes of one layer, and in the median layer; nothing
    for a prompt without an answer.

    Parameters
    ----------
    votes : mapping of int to Tensor [kv_heads, positions]
        By layer.
    layer : int
        The one that is drawn.
    needle : sequence of int
        Positions of the answer.
    """
    if not needle:
        return None
    above = {
        one: (each[:, None, :] < each[:, list(needle), None]).float().mean().item()
        for one, each in votes.items()
    }
    return say(
        "In layer {layer} a token of the number has more votes than {here:.0%} of the positions; in the median of all "
        "{layers} layers it has more than {middle:.0%}.",
        layer=layer,
        here=above[layer],
        layers=len(above),
        middle=median(above.values()),
    )


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


def accounts_sentence(accounts: Tensor) -> Said:
    """What `accounts` shows: the heaviest entries, and how many have less than an even share."""
    sizes = accounts.sort(dim=-1, descending=True).values
    tenth = max(1, sizes.shape[1] // 10)
    return say(
        "The heaviest entry of a head has received {least:.0f} to {most:.0f} of {all:.0f}. The heaviest {tenth} of "
        "{entries} entries have {share:.0%} of all attention; {below:.0%} of the entries have less than an even share.",
        least=sizes[:, 0].min().item(),
        most=sizes[:, 0].max().item(),
        all=sizes.sum(-1).mean().item(),
        tenth=tenth,
        entries=sizes.shape[1],
        share=(sizes[:, :tenth].sum() / sizes.sum()).item(),
        below=(sizes < 1).float().mean().item(),
    )


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


def alive_sentence(held: Sequence[Sequence[int]], prompt_tokens: int) -> Said:
    """What `alive` shows: how many entries of the prompt, and of the answer, were evicted."""
    gone = [place for before, after in pairwise(held) for place in set(before) - set(after)]
    if not gone:
        return say("Nothing was evicted.")
    return say(
        "While {tokens} tokens were decoded, {all} entries were evicted: {prompt} of the prompt, {new} of the answer.",
        tokens=len(held) - 1,
        all=len(gone),
        prompt=sum(place < prompt_tokens for place in gone),
        new=sum(place >= prompt_tokens for place in gone),
    )


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


def where_sentence(kept: Mapping[str, Sequence[Tensor]], prompt_tokens: int) -> Said:
    """What `where_kept` shows: the share of the budget at both ends of the prompt."""
    told = []
    for label, layers in kept.items():
        places = torch.cat([one.flatten() for one in layers]) / prompt_tokens
        told.append(
            say(
                "{label}: {first:.0%} of the entries are in the first tenth of the prompt, {middle:.0%} in the "
                "eight tenths between, {last:.0%} in the last tenth.",
                label=label,
                first=(places < 0.1).float().mean().item(),
                middle=((places >= 0.1) & (places < 0.9)).float().mean().item(),
                last=(places >= 0.9).float().mean().item(),
            )
        )
    return bullets(told)


def lost_layers(first_lost: Sequence[int], layers: int, method: str) -> Figure:
    """How many needles are lost first in which layer; ``layers`` stands for none."""
    figure, axes = plt.subplots(figsize=(WIDE, 2.4))
    axes.hist(first_lost, bins=range(layers + 2), color=COLOURS[method], align="left")
    label = f"first layer that does not read the whole number ({layers}: none)"
    axes.set(xlabel=label, ylabel="needles")
    return figure


def lost_sentence(first_lost: Sequence[int], layers: int) -> Said:
    """What `lost_layers` shows: how many needles every layer reads, and where the others are lost."""
    lost = [one for one in first_lost if one < layers]
    if not lost:
        return say("All {all} numbers are read whole by every layer.", all=len(first_lost))
    return say(
        "{whole} of {all} numbers are read whole by every layer. The others are first lost between layer {low} and "
        "layer {high}, half of them up to layer {middle:.0f}.",
        whole=len(first_lost) - len(lost),
        all=len(first_lost),
        low=min(lost),
        high=max(lost),
        middle=median(lost),
    )
