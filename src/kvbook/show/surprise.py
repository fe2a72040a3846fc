"""What of a row is trained, and how much each of its tokens surprises a model."""

import re
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, Markdown
from matplotlib.figure import Figure

from kvbook.finetune.data import Dialogue, Encoded
from kvbook.finetune.score.surprise import Surprise
from kvbook.show.drawing import key
from kvbook.show.style import ANSWER, END, INK, PROMPT, WIDE
from kvbook.show.tables import table
from kvbook.show.text import label_text

MARKS = re.compile(r"(<\|\w+\|>|</?think>|\n+)")
"""Control tokens, thoughts and newlines, where text is shown piece by piece."""


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
    figure, axes = plt.subplots(figsize=(WIDE, 2.8))
    for part, colour in colours.items():
        at = [t for t in range(1, len(names)) if names[t] == part]
        axes.bar(at, [nats[t - 1] for t in at], width=1, color=colour, label=part)
    axes.set(xlabel="token of the row", ylabel="surprise, nats")
    key(figure)
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
