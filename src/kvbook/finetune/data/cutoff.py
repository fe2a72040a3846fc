"""What is lost where rows are cut: the end, which in these answers is the advice."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kvbook.finetune.data.dialogue import Dialogue
from kvbook.finetune.data.tokens import IGNORED, Encoded

HELP = re.compile(r"就医|就诊|复诊|急诊|门诊|医院|120|医生|医护|医嘱|药师|营养师|[到去]\w{1,9}科")
"""A word for somebody who can help: a doctor, a hospital, a pharmacist."""


def trained_text(tokenizer, encoded: Encoded, length: int) -> str:
    """What is trained of a row that is cut to ``length`` tokens, without control tokens."""
    labels = [label for label in encoded.labels[:length] if label != IGNORED]
    return tokenizer.decode(labels, skip_special_tokens=True)


def cutoff_losses(
    tokenizer,
    dialogues: Sequence[Dialogue],
    encoded: Sequence[Encoded],
    lengths: Sequence[int],
) -> dict[int, dict[str, float]]:
    """What each cutoff length takes away.

    Parameters
    ----------
    dialogues, encoded : sequence
        The rows, and the same as tokens, uncut.
    lengths : sequence of int
        In tokens.

    Returns
    -------
    dict of int to dict
        By length, shares from 0 to 1: ``rows cut``, ``trained tokens lost``, ``nothing trained``
        (rows whose prompt fills the length) and, if any answer has `HELP`, ``advice lost``: the
        share of these answers that have none any more.
    """
    rows, trained = len(encoded), sum(one.trained for one in encoded)
    advising = [
        one
        for one, dialogue in zip(encoded, dialogues, strict=True)
        if HELP.search(dialogue.answer)
    ]
    losses = {}
    for length in lengths:
        left = sum(label != IGNORED for one in encoded for label in one.labels[:length])
        losses[length] = {
            "rows cut": sum(len(one.ids) > length for one in encoded) / rows,
            "trained tokens lost": 1 - left / trained,
            "nothing trained": sum(len(one.ids) - one.trained >= length for one in encoded) / rows,
        }
        if advising:
            lost = [not HELP.search(trained_text(tokenizer, one, length)) for one in advising]
            losses[length]["advice lost"] = sum(lost) / len(advising)
    return losses


@dataclass(frozen=True)
class Epoch:
    """Tokens of one epoch, in which each row is read once, cut to a given length.

    Attributes
    ----------
    read, trained : int
        All tokens of the rows, and those of them that count for the loss.
    padded : int
        Tokens that are computed, with padding: all rows of a batch become as long as its longest.
    """

    read: int
    trained: int
    padded: int


def count_epoch(encoded: Sequence[Encoded], length: int, batch: int, *, seed: int = 0) -> Epoch:
    """Count the tokens of an epoch.

    Parameters
    ----------
    encoded : sequence of Encoded
        The rows, uncut.
    length : int
        Where they are cut, in tokens.
    batch : int
        Rows a batch; the last one has what is left.
    seed : int
        What draws the order.
    """
    lengths = [min(length, len(one.ids)) for one in encoded]
    order = random.Random(seed).sample(lengths, len(lengths))
    batches = [order[at : at + batch] for at in range(0, len(order), batch)]
    return Epoch(
        read=sum(lengths),
        trained=sum(label != IGNORED for one in encoded for label in one.labels[:length]),
        padded=sum(max(rows) * len(rows) for rows in batches),
    )
