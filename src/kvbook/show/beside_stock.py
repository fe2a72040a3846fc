"""FullKV on the book's engine beside transformers alone: the same tokens, faster or not."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.show.drawing import key
from kvbook.show.said import Said, bullets, say
from kvbook.show.style import COLOURS
from kvbook.show.tables import table

Pairs = Sequence[tuple]
"""Of every context: the `kvbook.profiling.Measurement` of transformers alone, and of FullKV."""

FASTER = {
    "decode": {
        -1: "Decoding is faster than in transformers alone, in every repeat, at {contexts} tokens of context.",
        0: "Decoding is faster in some repeats and slower in others at {contexts} tokens of context.",
        1: "Decoding is slower than in transformers alone, in every repeat, at {contexts} tokens of context.",
    },
    "prefill": {
        -1: "The prefill is faster than in transformers alone, in every repeat, at {contexts} tokens.",
        0: "The prefill is faster in some repeats and slower in others at {contexts} tokens.",
        1: "The prefill is slower than in transformers alone, in every repeat, at {contexts} tokens.",
    },
}
"""By part of a run: what is said where all of its ratios lie below 1, on both sides, or above."""


def stock_table(pairs: Pairs, caption: str) -> HTML:
    """Times, their ratios by repeat, and how many of the tokens are the same."""
    rows = [
        {
            "context": f"{ours.context_length:,}",
            "stock decode": f"{1000 * stock.spread('decode').median:.0f} ms",
            "FullKV prefill": f"{ours.spread('prefill').median:.2f} s",
            "FullKV decode": f"{1000 * ours.spread('decode').median:.0f} ms",
            "decode ratio (least to most)": ours.ratio_to(stock, "decode").show(),
            "prefill ratio": ours.ratio_to(stock, "prefill").show(),
            "same tokens": f"{sum(a == b for a, b in zip(stock.tokens, ours.tokens, strict=False))} of {ours.new_tokens}",
        }
        for stock, ours in pairs
    ]
    return table(rows, "measured", caption)


def stock_sentence(pairs: Pairs) -> Said:
    """What `stock_table` shows: at which contexts FullKV is faster, and whether the tokens are the same."""
    told = []
    for part, templates in FASTER.items():
        ratios = {ours.context_length: ours.ratio_to(stock, part) for stock, ours in pairs}
        sides = {context: (one.low > 1) - (one.high < 1) for context, one in ratios.items()}
        for side, template in templates.items():
            if contexts := ", ".join(f"{one:,}" for one in sides if sides[one] == side):
                told.append(say(template, contexts=contexts))
    same = [stock.tokens == ours.tokens for stock, ours in pairs]
    template = "At {same} of {all} contexts all {tokens} tokens are the same."
    told.append(say(template, same=sum(same), all=len(same), tokens=pairs[0][1].new_tokens))
    return bullets(told)


def decode_times(pairs: Pairs) -> Figure:
    """Milliseconds a decoded token over the context, both with least and most."""
    figure, axes = plt.subplots()
    looks = {"transformers alone": "#D55E00", "FullKV under attach": COLOURS["fullkv"]}
    for (label, colour), line in zip(looks.items(), zip(*pairs, strict=True), strict=True):
        spreads = [one.spread("decode") for one in line]
        axes.errorbar(
            [one.context_length for one in line],
            [1000 * one.median for one in spreads],
            color=colour,
            marker="o",
            capsize=3,
            label=label,
            yerr=[
                [1000 * (one.median - one.low) for one in spreads],
                [1000 * (one.high - one.median) for one in spreads],
            ],
        )
    axes.set(xlabel="context (tokens)", ylabel="ms a decoded token", ylim=(0, None))
    key(figure)
    return figure
