"""Which part of a row each token belongs to: the template, the question, the answer, its end."""

from dataclasses import dataclass
from itertools import pairwise

from kvbook.errors import ParameterError
from kvbook.finetune.data.dialogue import Dialogue
from kvbook.finetune.data.tokens import IGNORED, encode
from kvbook.lm.turns import render

PARTS = ("template", "question", "answer", "end of turn", "newline behind it")
"""In the order of a row; the first two are read, the others are trained."""


@dataclass(frozen=True)
class Parts:
    """The tokens of a row, by where they stand in its rendered text.

    Attributes
    ----------
    ids : list of int
        ``[tokens]``, as `encode` gives them.
    names : list of str
        ``[tokens]``, of `PARTS`; earlier turns count to the template.
    first, further : list of bool
        ``[tokens]``: whether a token is the first of several of one character of the answer, or
        another one of them.
    """

    ids: list[int]
    names: list[str]
    first: list[bool]
    further: list[bool]


def parts_of(tokenizer, dialogue: Dialogue) -> Parts:
    """The part of every token of a row.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        With a chat template; it knows where in a text its tokens stand.

    Raises
    ------
    ParameterError
        The rendered text has other tokens than `encode` gives; see also there.
    """
    encoded, text = encode(tokenizer, dialogue), render(tokenizer, list(dialogue.messages))
    marked = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if marked.input_ids != encoded.ids:
        raise ParameterError(f"line {dialogue.line}: its text has other tokens than its messages")
    asked, said = dialogue.prompt[-1]["content"].strip(), dialogue.answer.strip()
    answer = text.rindex(said)
    question = text.rindex(asked, 0, answer)
    starts = [start for start, _ in marked.offset_mapping]
    names = []
    for token, label, start in zip(encoded.ids, encoded.labels, starts, strict=True):
        if label == IGNORED:
            names.append("question" if question <= start < question + len(asked) else "template")
        elif token in tokenizer.added_tokens_decoder:
            names.append("end of turn")
        else:
            names.append("answer" if start < answer + len(said) else "newline behind it")
    further = [False] + [start == before and start >= answer for before, start in pairwise(starts)]
    first = [
        following and not this
        for this, following in zip(further, [*further[1:], False], strict=True)
    ]
    return Parts(encoded.ids, names, first, further)
