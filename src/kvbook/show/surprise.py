"""What of a row is trained, and how much each of its tokens surprises a model."""

import re
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.finetune.data import Encoded
from kvbook.finetune.score.surprise import Surprise
from kvbook.show.drawing import key
from kvbook.show.said import Said, say
from kvbook.show.style import ANSWER, END, INK, PROMPT, WIDE
from kvbook.show.tables import table
from kvbook.show.text import label_text

MARKS = re.compile(r"(<\|\w+\|>|</?think>|\n+)")
"""Control tokens, thoughts and newlines, where text is shown piece by piece."""


def row_sentence(one: Encoded, asked: int, pieces: int, in_english: str = "") -> Said:
    """How many tokens a row has, and what it says.

    Parameters
    ----------
    asked, pieces : int
        Tokens of the question, and tokens that are a piece of a character.
    in_english : str, optional
        The row's text in English.
    """
    text = say(
        "**{tokens} tokens, of which {trained} are trained.** The question has {asked} of the {prompt} tokens in the prompt; the rest is the template's. {pieces} tokens of the row are pieces of a character.",
        tokens=len(one.ids),
        trained=one.trained,
        asked=asked,
        prompt=len(one.ids) - one.trained,
        pieces=pieces,
    )
    return (
        say("{text} In English: {english}", text=text, english=in_english) if in_english else text
    )


def loss_sentence(by_hand: float, of_model: float, row: int, trained: int) -> Said:
    """One row's loss by the formula, and by the model."""
    return say(
        "Row {row}, {trained} trained tokens: the loss is **{by_hand:.4f}** nats a token by the formula and **{of_model:.4f}** by the model.",
        row=row,
        trained=trained,
        by_hand=by_hand,
        of_model=of_model,
    )


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
    figure, axes = plt.subplots(figsize=(WIDE, 2.8))
    for part, colour in colours.items():
        at = [t for t in range(1, len(names)) if names[t] == part]
        axes.bar(at, [nats[t - 1] for t in at], width=1, color=colour, label=part)
    axes.set(xlabel="token of the row", ylabel="surprise, nats")
    key(figure)
    return figure


def surprise_sentence(names: Sequence[str], nats: Sequence[float]) -> Said:
    """Where the highest bar of `surprise_bars` is, and what a token costs by part."""
    highest = int(np.argmax(nats))

    def mean(part: str) -> float:
        of_part = [one for name, one in zip(names[1:], nats, strict=True) if name == part]
        return float(np.mean(of_part))

    return say(
        "The highest bar is {highest:.1f} nats, in the part *{part}*. On average a token costs {fixed:.1f} nats in the template, {question:.1f} in the question, and {answer:.1f} in the answer.",
        highest=float(nats[highest]),
        part=names[highest + 1],
        fixed=mean("template"),
        question=mean("question"),
        answer=mean("answer"),
    )


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


def piece_sentence(found: Surprise) -> list[Said]:
    """What the pieces of a character cost; nothing where every character is one token."""
    if not found.first or not found.further:
        return []
    return [
        say(
            "The bars of the answer rise and fall because many characters are several tokens: the first token of such a character costs {first:.1f} nats, each further one {further:.1f}. The loss is a mean over these pieces, so losses of models with different tokenizers cannot be compared.",
            first=float(np.mean(found.first)),
            further=float(np.mean(found.further)),
        )
    ]


def prompt_sentence(found: Surprise) -> Said:
    """Where the loss comes from, and what training the prompt, too, would do."""
    template, question = (found.nats.get(part, 0.0) for part in ("template", "question"))
    everything = sum(found.nats.values())
    end_of_question = float(np.mean(found.question_ends))
    end = found.means()["end of turn"]["nats"]
    text = say(
        "The answer's text makes {answer:.1%} of the loss. **If the prompt were trained too**, {prompt:.0%} of the loss would be about the prompt: {fixed:.0%} about the template, and {question:.0%} about how patients ask. "
        "The template is the same in every row: if it is trained, the loss can fall although the model has learned nothing about answers. "
        "The end of a *question* costs this model {end_of_question:.1f} nats, the end of an answer {end:.1f}.",
        answer=found.nats["answer"] / (everything - template - question),
        prompt=(template + question) / everything,
        fixed=template / everything,
        question=question / everything,
        end_of_question=end_of_question,
        end=end,
    )
    if end_of_question <= end:
        return text
    return say(
        "{text} That fits a model whose makers did not train the prompts, so that it never had to predict where a question ends.",
        text=text,
    )


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
