"""How long rows are: in characters and tokens, what a cutoff takes away, what an epoch reads."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.finetune.data import Dialogue, Encoded
from kvbook.finetune.data.cutoff import HELP, Epoch
from kvbook.lm.costs import SHAPES, kv_bytes
from kvbook.show.drawing import key
from kvbook.show.said import Said, say
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


def length_sentence(statistics: Mapping) -> Said:
    """How many tokens a median answer is, and how long the longest row is."""
    characters, tokens = (statistics["answer"][unit]["median"] for unit in ("characters", "tokens"))
    return say(
        "The median answer has {characters:,.0f} characters and {tokens:,.0f} tokens, {times:.1f} times as many. The longest row, with its question and the template, has {longest:,.0f} tokens.",
        characters=characters,
        tokens=tokens,
        times=tokens / characters,
        longest=statistics["whole"]["tokens"]["max"],
    )


def character_costs(
    texts: Mapping[str, Sequence[str]],
    tokens: Mapping[str, int],
    a_token: int,
    positions: int,
    model: str,
) -> tuple[HTML, Said]:
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
    text = say(
        "A Chinese character says more than a letter, so the fairer comparison is with a *word*: **{own:.2f} tokens a character** in the first row, {a_word:.2f} tokens an English word. "
        "Every token takes its full place in the cache of every layer. A tokenizer that was made for Chinese needs fewer tokens, so the cache of its model shrinks by the same factor *before* any method of this book begins.",
        own=own,
        a_word=a_word,
    )
    if a_token < qwen:
        text = say(
            "{text} But a token of Qwen3-0.6B costs {qwen:,} bytes, {times:.1f} times as much as one of {model}: for the same text, Qwen3-0.6B has the smaller cache only if it needs fewer than {ratio:.2f} tokens a character (the first exercise counts them).",
            text=text,
            qwen=qwen,
            times=qwen / a_token,
            model=model,
            ratio=own * a_token / qwen,
        )
    return table(rows, "measured", caption), text


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
    """`cutoff_curves` as numbers, for some of the lengths."""
    rows = [
        {"cutoff_len": length} | {name: f"{share:.1%}" for name, share in losses[length].items()}
        for length in lengths
    ]
    return table(rows, "measured", caption)


def cutoff_sentence(losses: Mapping[int, Mapping[str, float]]) -> Said:
    """The shortest length that loses less than a twentieth of the trained tokens, and what else it loses."""
    length = next(each for each in losses if losses[each]["trained tokens lost"] < 0.05)
    lost = losses[length]
    values = {"length": length, "tokens": lost["trained tokens lost"], "rows": lost["rows cut"]}
    if "advice lost" not in lost:
        return say(
            "At {length} tokens only {tokens:.1%} of the trained tokens are lost, and no loss curve would show it. But **{rows:.0%} of the rows have lost their end.**",
            **values,
        )
    return say(
        "At {length} tokens only {tokens:.1%} of the trained tokens are lost, and no loss curve would show it. But **{rows:.0%} of the rows have lost their end, and {advice:.0%} of the answers their advice.**",
        advice=lost["advice lost"],
        **values,
    )


def cut_sentence(answer: str, kept: str, length: int) -> Said:
    """What a cut at ``length`` tokens leaves of one answer, and whether it still sends to somebody who can help."""
    values = {"kept": len(kept), "all": len(answer), "length": length}
    if HELP.search(answer) and not HELP.search(kept):
        return say(
            "A row of {length} tokens at most keeps {kept} of the {all} characters of this answer (on colour). The advice to see a doctor is lost.",
            **values,
        )
    return say(
        "A row of {length} tokens at most keeps {kept} of the {all} characters of this answer (on colour).",
        **values,
    )


def step_sentence(seconds: Mapping[str, float], train: int, test: int) -> Said:
    """How long each step took a row: ``read``, ``encode`` and ``compare``."""
    return say(
        "A row took {read:.2f} ms to read and check, {encode:.2f} ms to encode, and {compare:.2f} ms to compare with the test.",
        read=1000 * seconds["read"] / (train + test),
        encode=1000 * seconds["encode"] / train,
        compare=1000 * seconds["compare"] / train,
    )


def epoch_tokens(epoch: Epoch, batch: int, rows: int) -> tuple[HTML, Said]:
    """Tokens of an epoch, and a sentence on padding and labels."""
    counts = {
        "tokens read": epoch.read,
        f"with padding, batches of {batch}": epoch.padded,
        "tokens trained": epoch.trained,
    }
    shown = [{"an epoch": name, "tokens": f"{count:,}"} for name, count in counts.items()]
    text = say(
        "All rows of a batch are padded to its longest row: that adds {padding:.0%} here. The model computes *every* token, trained or not: {trained:.0%} of the tokens that it reads have a label.",
        padding=epoch.padded / epoch.read - 1,
        trained=epoch.trained / epoch.read,
    )
    return table(shown, "measured", f"{rows} rows"), text
