"""How long rows are: in characters and tokens, what a cutoff takes away, what an epoch reads."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, Markdown
from matplotlib.figure import Figure

from kvbook.finetune.data import Dialogue, Encoded
from kvbook.finetune.data.cutoff import Epoch
from kvbook.lm.costs import SHAPES, kv_bytes
from kvbook.show.drawing import key
from kvbook.show.style import ANSWER, END, INK, PROMPT, WIDE
from kvbook.show.tables import table


def length_histograms(dialogues: Sequence[Dialogue], encoded: Sequence[Encoded]) -> Figure:
    """How long questions and answers are, in characters and, on the same axis, in tokens."""
    lengths = {
        "characters": [
            [len(one.question) for one in dialogues],
            [len(one.answer) for one in dialogues],
        ],
        "tokens": [
            [len(one.ids) - one.trained for one in encoded],
            [one.trained for one in encoded],
        ],
    }
    labels = ("question, in tokens with its template", "answer, in tokens to the end of its turn")
    figure, panels = plt.subplots(2, 1, sharex=True, figsize=(WIDE, 4.2))
    bins = np.linspace(0, max(len(one.ids) for one in encoded), 51).tolist()
    for axes, (unit, parts) in zip(panels, lengths.items(), strict=True):
        for values, colour, label in zip(parts, (PROMPT, ANSWER), labels, strict=True):
            axes.hist(values, bins=bins, color=colour, alpha=0.75, label=label)
        axes.set(ylabel=f"rows, by {unit}")
    panels[1].set_xlabel("length")
    key(figure)
    return figure


def length_table(statistics: Mapping, model: str) -> HTML:
    """`kvbook.finetune.data.length_statistics` of the training rows."""
    rows = [
        {"part": part, "unit": unit}
        | {name: f"{value:,.0f}" for name, value in statistics[part][unit].items()}
        for part in ("prompt", "answer", "whole")
        for unit in ("characters", "tokens")
    ]
    count = statistics["count"]
    caption = f"{count} training rows; tokens of {model}, with those of the template"
    return table(rows, "measured", caption)


def character_costs(
    texts: Mapping[str, Sequence[str]],
    tokens: Mapping[str, int],
    a_token: int,
    positions: int,
    model: str,
) -> tuple[HTML, Markdown]:
    """What a character of each kind of text costs, and a sentence about it.

    Parameters
    ----------
    texts, tokens : mapping
        By kind: the texts, and how many tokens they have; the last kind is English.
    a_token : int
        Bytes of the model's KV cache for one token.
    positions : int
        Tokens that the model reads at most.
    """
    characters = {name: sum(map(len, of)) for name, of in texts.items()}
    ratio = {name: tokens[name] / characters[name] for name in texts}
    rows = [
        {
            "text": name,
            "characters": f"{characters[name]:,}",
            "tokens": f"{tokens[name]:,}",
            "tokens a character": f"{ratio[name]:.2f}",
            "KV bytes a character, bfloat16": f"{ratio[name] * a_token:,.0f}",
            f"characters in {positions:,} tokens": f"{positions / ratio[name]:,.0f}",
        }
        for name in texts
    ]
    caption = f"tokenizer of {model}; bytes on paper, {a_token:,} a token"
    own, english = ratio[next(iter(texts))], list(texts)[-1]
    a_word = tokens[english] / sum(len(text.split()) for text in texts[english])
    qwen = kv_bytes(SHAPES["Qwen3-0.6B"], 1)
    text = (
        f"A Chinese character says more than a letter, so the fairer comparison is with a *word*: **{own:.2f} tokens a character** in the first row, {a_word:.2f} tokens an English word. "
        "Each of these tokens takes its full place in every layer's cache, and in every attention score. A tokenizer that was made for Chinese needs fewer, and its model's cache shrinks by the same factor *before* any method of this book begins. "
    )
    if a_token < qwen:
        text += f"Not for free: a token of Qwen3-0.6B costs {qwen:,} bytes, {qwen / a_token:.1f} times as much as one of {model}, so its cache of the same text would be the smaller one only below {own * a_token / qwen:.2f} tokens a character (the first exercise counts them)."
    return table(rows, "measured", caption), Markdown(text)


def cutoff_curves(losses: Mapping[int, Mapping[str, float]], cutoff_len: int) -> Figure:
    """`kvbook.finetune.data.cutoff.cutoff_losses` over the length, and the chosen one as a line."""
    curves = {"rows cut": INK, "trained tokens lost": PROMPT, "advice lost": END}
    lengths = list(losses)
    figure, axes = plt.subplots(figsize=(WIDE, 2.9))
    for (name, colour), style in zip(curves.items(), ("-", "--", "-."), strict=True):
        if name in losses[lengths[0]]:
            shares = [losses[length][name] for length in lengths]
            axes.plot(lengths, shares, style, color=colour, label=name)
    if cutoff_len in losses:
        axes.axvline(cutoff_len, color=INK, linewidth=0.8)
    axes.set(xlabel="cutoff_len, tokens", ylabel="share", ylim=(-0.02, 1.02))
    key(figure)
    return figure


def cutoff_table(
    losses: Mapping[int, Mapping[str, float]], lengths: Sequence[int], caption: str
) -> HTML:
    """The same for some of the lengths."""
    rows = [
        {"cutoff_len": length} | {name: f"{share:.1%}" for name, share in losses[length].items()}
        for length in lengths
    ]
    return table(rows, "measured", caption)


def cutoff_sentence(losses: Mapping[int, Mapping[str, float]]) -> Markdown:
    """The shortest length that takes less than a twentieth of the trained tokens, and what else."""
    length = next(each for each in losses if losses[each]["trained tokens lost"] < 0.05)
    lost = losses[length]
    advice = (
        f", and {lost['advice lost']:.0%} of the answers their advice"
        if "advice lost" in lost
        else ""
    )
    return Markdown(
        f"At {length} tokens only {lost['trained tokens lost']:.1%} of what is trained is lost, which no curve of a loss would show. But **{lost['rows cut']:.0%} of the rows have lost their end{advice}.**"
    )


def step_times(seconds: Mapping[str, float], train: int, test: int) -> HTML:
    """How long each step took: ``read``, ``encode`` and ``compare``."""
    steps = {
        "read and check": (seconds["read"], train + test),
        "encode": (seconds["encode"], train),
        "compare with the test": (seconds["compare"], train),
    }
    rows = [
        {"step": step, "seconds": f"{took:.3f}", "ms a row": f"{1000 * took / rows:.2f}"}
        for step, (took, rows) in steps.items()
    ]
    return table(rows, "measured", "this run")


def epoch_tokens(epoch: Epoch, batch: int, rows: int) -> tuple[HTML, Markdown]:
    """Tokens of an epoch, and a sentence on padding and labels."""
    counts = {
        "tokens read": epoch.read,
        f"with padding, batches of {batch}": epoch.padded,
        "tokens trained": epoch.trained,
    }
    shown = [{"an epoch": name, "tokens": f"{count:,}"} for name, count in counts.items()]
    text = f"Rows of a batch are as long as its longest: {epoch.padded / epoch.read - 1:.0%} of padding here. And every token is *computed*, trained or not: {epoch.trained / epoch.read:.0%} of what is read has a label."
    return table(shown, "measured", f"{rows} rows"), Markdown(text)
