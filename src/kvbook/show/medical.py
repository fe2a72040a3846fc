"""Fine-tuning data: rows and files, their lengths, what of them is trained, what is cut away."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, Markdown
from matplotlib.figure import Figure

from kvbook.finetune.data import Deduplicated, Dialogue, Duplicate, Encoded, Read
from kvbook.finetune.data.cutoff import Epoch
from kvbook.finetune.score.surprise import Surprise
from kvbook.lm.costs import SHAPES, kv_bytes
from kvbook.show.style import INK
from kvbook.show.tables import table
from kvbook.show.text import label_text

PROMPT, ANSWER, END = "#56B4E9", "#009E73", "#D55E00"
MARKS = re.compile(r"(<\|\w+\|>|</?think>|\n+)")
"""Control tokens, thoughts and newlines, where text is shown piece by piece."""

# ---- templates and files -------------------------------------------------------------------------


def finetuning_report(report: Mapping) -> HTML:
    """What the report says about its fine-tuning: ``finetuning`` of ``report.json``."""
    before, after = report["bertscore_f1"].values()
    said = {
        "training data": "MedChatZH: Chinese medical dialogue instructions, JSON Lines with instruction, input, output",
        "conversion": "to the chat template of Qwen3",
        "training": "LoRA by LLaMA-Factory, so that the small model keeps its native ability; merged into the weights",
        "test data": f"the official test set, {report['items']} items",
        "BERTScore F1": f"{before:.2f} before, {after:.2f} after",
    }
    rows = [{"what": what, "the report": text} for what, text in said.items()]
    return table(rows, "report", "sections 2.2 and 3.2")


def template_texts(texts: Mapping[str, str]) -> HTML:
    """One conversation as the templates of several models write it down."""
    rows = [{"model": name, "text": _in_line(text)} for name, text in texts.items()]
    return table(rows, "computed", "one conversation, three templates")


def template_answers(answers: Mapping[str, tuple[str, bool]], question: str) -> HTML:
    """What a model says behind a question by template, and whether it ended by itself."""
    rows = [
        {
            "template": name,
            "answer": _in_line(text),
            "ended by itself": "yes" if ended else "no",
        }
        for name, (text, ended) in answers.items()
    ]
    caption = f"“{question}”, 16 tokens at most; one question is an example and no score"
    return table(rows, "measured", caption)


def _in_line(text: str) -> str:
    return text.replace("\n", "↵ ")


def malformed_rows(text: str, read: Read) -> HTML:
    """The rows of a file's text that cannot be used, and why."""
    lines, usable = text.splitlines(), " and ".join(str(one.line) for one in read.dialogues)
    rows = [
        {"line": one.line, "row": lines[one.line - 1], "what is wrong": one.reason}
        for one in read.malformed
    ]
    found = f"{len(lines)} lines, of which {len(rows)} are malformed; lines {usable} are usable"
    return table(rows, "computed", found)


def files_table(reads: Mapping[str, Read], caption: str) -> HTML:
    """Usable and malformed rows of files."""
    rows = [
        {
            "file": name,
            "usable rows": len(read.dialogues),
            "malformed": len(read.malformed),
            "the first of them": f"line {read.malformed[0].line}: {read.malformed[0].reason}"
            if read.malformed
            else "–",
        }
        for name, read in reads.items()
    ]
    return table(rows, "measured", caption)


def json_block(value: object) -> Markdown:
    """A value as JSON."""
    return Markdown(f"```json\n{json.dumps(value, ensure_ascii=False, indent=1)}\n```")


def json_file(path: Path) -> Markdown:
    """A file of JSON under its name."""
    return Markdown(f"`{path.name}`\n```json\n{path.read_text(encoding='utf-8')}```")


def yaml_keys(values: Mapping, keys: Sequence[str]) -> Markdown:
    """Some keys of `lora.yaml`."""
    lines = "\n".join(f"{key}: {str(values[key]).lower()}" for key in keys)
    return Markdown(f"and what `lora.yaml` tells it to do with them:\n```yaml\n{lines}\n```")


# ---- lengths -------------------------------------------------------------------------------------


def length_histograms(dialogues: Sequence[Dialogue], encoded: Sequence[Encoded]) -> Figure:
    """How long questions and answers are, in characters and, on the same axis, in tokens."""
    lengths = {
        "characters": [
            ([len(one.question) for one in dialogues], "question"),
            ([len(one.answer) for one in dialogues], "answer"),
        ],
        "tokens": [
            ([len(one.ids) - one.trained for one in encoded], "prompt, with the template"),
            ([one.trained for one in encoded], "answer, to the end of its turn"),
        ],
    }
    figure, panels = plt.subplots(2, 1, sharex=True, figsize=(7.2, 4.2))
    bins = np.linspace(0, max(len(one.ids) for one in encoded), 51).tolist()
    for axes, (unit, parts) in zip(panels, lengths.items(), strict=True):
        for (values, label), colour in zip(parts, (PROMPT, ANSWER), strict=True):
            axes.hist(values, bins=bins, color=colour, alpha=0.75, label=label)
        axes.set(ylabel=f"rows, by {unit}")
        axes.legend(fontsize=8)
    panels[1].set_xlabel("length")
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


# ---- what is trained -----------------------------------------------------------------------------


def row_sentence(
    one: Encoded, dialogue: Dialogue, asked: int, pieces: int, in_english: str = ""
) -> Markdown:
    """How many tokens a row has, and what it says.

    Parameters
    ----------
    asked, pieces : int
        Tokens of the question, and tokens that are a piece of a character.
    """
    same = ", and the same in every row" * (len(dialogue.messages) == 2)
    return Markdown(
        f"**{len(one.ids)} tokens, of which {one.trained} are trained.** The question is {asked} of the {len(one.ids) - one.trained} in the prompt; the rest is the template's{same}. "
        f"{pieces} tokens of the row are pieces of a character."
        + f" In English: {in_english}"
        * bool(in_english)
    )


def loss_pair(by_hand: float, of_model: float, caption: str) -> HTML:
    """One row's loss by the formula, and by the model."""
    values = {"by the formula": by_hand, "by the model, with our labels": of_model}
    rows = [{"loss of the row": how, "nats a token": f"{nats:.4f}"} for how, nats in values.items()]
    return table(rows, "measured", caption)


def surprise_bars(names: Sequence[str], nats: Sequence[float]) -> Figure:
    """How much each token of a row surprises the model.

    Parameters
    ----------
    names : sequence of str
        ``[tokens]``, of `kvbook.finetune.data.parts.PARTS`.
    nats : sequence of float
        ``[tokens - 1]``: of all but the first.
    """
    colours = {"template": INK, "question": PROMPT, "answer": ANSWER, "end of turn": END}
    figure, axes = plt.subplots(figsize=(7.2, 2.8))
    for part, colour in colours.items():
        at = [t for t in range(1, len(names)) if names[t] == part]
        axes.bar(at, [nats[t - 1] for t in at], width=1, color=colour, label=part)
    axes.set(xlabel="token of the row", ylabel="surprise, nats")
    axes.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.2))
    return figure


def surprise_table(found: Surprise) -> HTML:
    """Where the loss comes from, part by part."""
    read = ("template", "question")
    everything = sum(found.nats.values())
    trained = sum(nats for part, nats in found.nats.items() if part not in read)
    rows = [
        {
            "part": part,
            "tokens a row": f"{of['tokens']:.1f}",
            "nats a token": f"{of['nats']:.2f}",
            "share of the loss": "–" if part in read else f"{found.nats[part] / trained:.1%}",
            "if the prompt counted too": f"{found.nats[part] / everything:.1%}",
        }
        for part, of in found.means().items()
    ]
    return table(rows, "measured", f"{found.rows} rows, before any fine-tuning")


def piece_sentence(found: Surprise) -> list[Markdown]:
    """What the pieces of a character cost; nothing where every character is one token."""
    if not found.first or not found.further:
        return []
    first, further = np.mean(found.first), np.mean(found.further)
    return [
        Markdown(
            f"The comb in the picture is the bytes of characters: the first token of a character costs {first:.1f} nats, each further one {further:.1f}. A mean over tokens is a mean over pieces, so losses of models with different tokenizers cannot be compared."
        )
    ]


def prompt_sentence(found: Surprise) -> Markdown:
    """What training the prompt, too, would do."""
    template, question = (found.nats.get(part, 0.0) for part in ("template", "question"))
    everything = sum(found.nats.values())
    end_of_question, end = np.mean(found.question_ends), found.means()["end of turn"]["nats"]
    text = (
        f"**If the prompt were trained too**, {(template + question) / everything:.0%} of the loss would be about the prompt: {template / everything:.0%} about the template, and {question / everything:.0%} about how patients ask. "
        "The template is the same in every row. It is learned in a few steps, the loss falls, and nothing has been learned about answers. "
        f"The end of a *question* costs this model {end_of_question:.1f} nats, the end of an answer {end:.1f}."
    )
    if end_of_question > end:
        text += " That fits a model whose own makers left the prompts out: it has never been asked where a question ends."
    return Markdown(text)


def trained_text(prompt: str, answer: str) -> HTML:
    """A rendered row as text instead of tokens: the answer is trained."""
    pieces = [
        (piece, trained)
        for text, trained in ((prompt, False), (answer, True))
        for piece in MARKS.split(text)
        if piece
    ]
    return label_text(
        [piece.encode() for piece, _ in pieces],
        [trained for _, trained in pieces],
        [i for i, (piece, _) in enumerate(pieces) if piece.startswith("<")],
    )


# ---- duplicates ----------------------------------------------------------------------------------


def duplicates_tables(
    found: Deduplicated, nearest: Duplicate | None, train: Sequence[Dialogue]
) -> list[HTML]:
    """How many training rows the test asks; and the two questions that are most alike."""
    row = {
        "training rows": len(train),
        "asked in the test word for word": len(found.exact),
        "nearly so": len(found.near),
        "left": len(found.train),
    }
    tables = [table([row], "measured", f"against {len(found.test)} test rows")]
    if nearest:
        ours, theirs = ({one.line: one.question for one in rows} for rows in (train, found.test))
        alike = {
            "training question": ours[nearest.train],
            "test question": theirs[nearest.test],
            "similarity": f"{nearest.similarity:.2f}",
        }
        tables.append(table([alike], "measured", "the most similar pair of what is not equal"))
    return tables


def planted_table(planted: Mapping[str, str], caught: Deduplicated, every: Deduplicated) -> HTML:
    """Planted questions, a line each from 1: whether they were found, and how similar they are.

    Parameters
    ----------
    planted : mapping of str to str
        What was done to each question, and the question.
    caught, every : Deduplicated
        With the usual threshold, and with one that finds anything in common.
    """
    kinds = {one.train: "exact" for one in caught.exact} | {
        one.train: "near" for one in caught.near
    }
    alike = {one.train: f"{one.similarity:.2f}" for one in every.exact + every.near}
    rows = [
        {
            "planted": name,
            "question": question,
            "found": kinds.get(line, "no"),
            "similarity": alike.get(line, "0.00"),
        }
        for line, (name, question) in enumerate(planted.items(), 1)
    ]
    said = "against two test questions: on an itching throat, and on blood sugar"
    return table(rows, "computed", said)


def leak_sentence(report: Mapping, seconds: float) -> Markdown:
    """What share of the report's test a leak would need for all of its gain."""
    before, after = report["bertscore_f1"].values()
    needed = (after - before) / (1 - before)
    return Markdown(
        f"Put the report's numbers in: from {before:.2f} to {after:.2f} takes *p* = **{needed:.0%}**, {needed * report['items']:.0f} of {report['items']} items, with nothing else learned. "
        f"<span class=\"kv-computed\">computed on paper</span> from the report's scores. We do not say that this happened. We say that the score alone cannot tell, and that comparing the questions can, in {seconds:.3f} seconds for this chapter's."
    )


# ---- where rows are cut, and costs ---------------------------------------------------------------


def cutoff_curves(losses: Mapping[int, Mapping[str, float]], cutoff_len: int) -> Figure:
    """`kvbook.finetune.data.cutoff.cutoff_losses` over the length, and the chosen one as a line."""
    curves = {"rows cut": INK, "trained tokens lost": PROMPT, "advice lost": END}
    lengths = list(losses)
    figure, axes = plt.subplots(figsize=(7.2, 2.9))
    for (name, colour), style in zip(curves.items(), ("-", "--", "-."), strict=True):
        if name in losses[lengths[0]]:
            shares = [losses[length][name] for length in lengths]
            axes.plot(lengths, shares, style, color=colour, label=name)
    if cutoff_len in losses:
        axes.axvline(cutoff_len, color=INK, linewidth=0.8)
    axes.set(xlabel="cutoff_len, tokens", ylabel="share", ylim=(-0.02, 1.02))
    axes.legend(fontsize=8)
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
