"""Training questions that the test data ask, too: found, and taken out."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kvbook.errors import ParameterError
from kvbook.finetune.data.dialogue import Dialogue


@dataclass(frozen=True)
class Duplicate:
    """A row of the training data, and the row of the test data that it repeats.

    Attributes
    ----------
    train, test : int
        Their lines in the two files, from 1.
    similarity : float
        From 0 to 1; 1 for an exact duplicate.
    """

    train: int
    test: int
    similarity: float


@dataclass(frozen=True)
class Deduplicated:
    """Training data without the questions of the test data.

    Attributes
    ----------
    train : list of Dialogue
        What is left.
    test : list of Dialogue
        All of it.
    exact, near : list of Duplicate
        What was taken out of the training data, each row with the test row that is most like it.
    """

    train: list[Dialogue]
    test: list[Dialogue]
    exact: list[Duplicate]
    near: list[Duplicate]


def remove_duplicates(
    train: Sequence[Dialogue], test: Sequence[Dialogue], *, threshold: float = 0.8
) -> Deduplicated:
    """Take the questions of the test data out of the training data.

    Questions are compared after Unicode's NFKC, in lower case, without white space and
    punctuation. Equal ones are exact duplicates, whatever the answers; near ones have a Jaccard
    similarity of ``threshold`` or more: the three-character pieces of both, over those of either.

    Parameters
    ----------
    threshold : float
        The least similarity of a near duplicate, above 0 and up to 1.

    Raises
    ------
    ParameterError
        ``threshold`` is not in that range.
    """
    if not 0 < threshold <= 1:
        raise ParameterError(f"threshold={threshold}: give a similarity above 0, up to 1")
    asked: dict[str, int] = {}
    numbers: dict[str, list[int]] = defaultdict(list)
    lengths = []
    for number, dialogue in enumerate(test):
        text = _normal(dialogue.question)
        asked.setdefault(text, dialogue.line)
        pieces = _pieces(text)
        lengths.append(len(pieces))
        for piece in pieces:
            numbers[piece].append(number)
    holders = {piece: np.array(rows) for piece, rows in numbers.items()}
    sizes, left, exact, near = np.array(lengths), [], [], []
    for dialogue in train:
        text = _normal(dialogue.question)
        if text in asked:
            exact.append(Duplicate(dialogue.line, asked[text], 1.0))
            continue
        pieces = _pieces(text)
        common = [holders[piece] for piece in pieces if piece in holders]
        if len(common) / len(pieces) >= threshold:  # no similarity is above that share
            shared = np.bincount(np.concatenate(common), minlength=len(sizes))
            similarity = shared / (len(pieces) + sizes - shared)
            best = int(similarity.argmax())
            if similarity[best] >= threshold:
                near.append(Duplicate(dialogue.line, test[best].line, float(similarity[best])))
                continue
        left.append(dialogue)
    return Deduplicated(left, list(test), exact, near)


class _WithoutSigns(dict):
    """A table for `str.translate` that drops punctuation, separators and control characters."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in "PZC" else code
        return self[code]


_WITHOUT_SIGNS = _WithoutSigns()


def _normal(question: str) -> str:
    text = unicodedata.normalize("NFKC", question).lower()
    return text.translate(_WITHOUT_SIGNS) or text.strip()  # of signs alone, the signs


def _pieces(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(max(1, len(text) - 2))}
