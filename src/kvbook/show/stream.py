"""The loss along a text, before and after its first token has left the cache."""

from collections.abc import Mapping
from math import exp
from statistics import fmean

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from kvbook.show.drawing import key
from kvbook.show.said import Said, bullets, say
from kvbook.show.style import COLOURS, INK, MARKERS
from kvbook.stats import paired_interval, show_interval


def stream_curves(nats: Mapping[str, Tensor], first: int, size: int, title: str = "") -> Figure:
    """The loss along a text, in bins, a line a cache.

    Parameters
    ----------
    nats : mapping of str to Tensor [texts, tokens - 1]
        As in `kvbook.tasks.stream.stream_nll`: FullKV's before two others.
    first : int
        Tokens that are read before the first one leaves; a line stands there.
    size : int
        Tokens a bin; what is left over at both ends is not drawn.
    """
    figure, axes = plt.subplots()
    looks = {
        "fullkv": 4,
        "streamingllm": 1.5,
        "pyramidinfer": 1.5,
    }  # of lines that lie on each other
    for (label, of), (look, width) in zip(nats.items(), looks.items(), strict=True):
        starts = range(first % size, of.shape[1] - size + 1, size)
        axes.plot(
            [start + size / 2 for start in starts],
            [of[:, start : start + size].mean().item() for start in starts],
            color=COLOURS[look],
            marker=MARKERS[look],
            markersize=4,
            linewidth=width,
            label=label,
        )
    axes.axvline(first, color=INK, linestyle="--", label="the window is full")
    axes.set(xlabel="tokens read", ylabel="loss, nats a token", title=title)
    key(figure)
    return figure


def stream_sentence(nats: Mapping[str, Tensor], first: int, size: int, seed: int = 0) -> Said:
    """What `stream_curves` shows behind its line: each loss, how far it lies above FullKV's, and both in the
    first and in the last bin.

    Parameters
    ----------
    nats, first, size
        As in `stream_curves`.
    seed : int
        Of the bootstrap over the texts.
    """
    behind = {label: of[:, first:].mean(1).tolist() for label, of in nats.items()}
    edges = {
        label: (of[:, first : first + size].mean().item(), of[:, -size:].mean().item())
        for label, of in nats.items()
    }
    full, *others = nats
    told = []
    for label in others:
        more = paired_interval(behind[label], behind[full], seed)
        told.append(
            say(
                "{label}: {loss:.2f}, which is {more} nats more than {full} (95 % interval, paired by text). The "
                "probability of the right token is {share:.0%} of {full}'s (geometric mean). In the first {size} "
                "tokens: {early:.2f} beside {early_full:.2f}; in the last {size}: {late:.2f} beside {late_full:.2f}.",
                label=label,
                loss=fmean(behind[label]),
                more=show_interval(*more, "+.2f"),
                share=exp(-more[0]),
                full=full,
                size=size,
                early=edges[label][0],
                early_full=edges[full][0],
                late=edges[label][1],
                late_full=edges[full][1],
            )
        )
    return say(
        "Behind the dashed line {full} pays {loss:.2f} nats a token, as a mean over {texts} texts.\n\n{told}",
        full=full,
        loss=fmean(behind[full]),
        texts=len(behind[full]),
        told=bullets(told),
    )
