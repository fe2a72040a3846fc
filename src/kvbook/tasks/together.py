"""Several methods asked the same prompts: each prompt is read once, all answers are one batch."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from kvbook.engine.panel import Panel
from kvbook.engine.run import input_device
from kvbook.errors import ParameterError
from kvbook.lm.generation import generate_words, pad_left
from kvbook.lm.models import check_loaded
from kvbook.methods.base import as_method

Label = TypeVar("Label", bound=Hashable)
"""What names one of several methods: a name, a name and a budget, ..."""
When = Literal["before", "after"]
"""When a method compresses, a question is known ``"before"``, or comes ``"after"``."""
ROWS = 32
"""Answers written at the same time: decoding reads the weights once for all of them."""


@dataclass(frozen=True)
class Answer:
    """What a method said after a prompt.

    Attributes
    ----------
    words : str
        Up to the end of the answer, without special tokens.
    kept_bytes : int
        Keys and values that the prefill left of the prompt.
    """

    words: str
    kept_bytes: int


def answer_together(
    lm,
    methods: Sequence,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    *,
    questions: Sequence[Sequence[int]] | None = None,
    first_line: bool = False,
    rows: int = ROWS,
) -> list[list[Answer]]:
    """Greedy answers of every method to every prompt.

    With ``questions``, a method reads and compresses the prompt alone; the question is its next
    input. Of the prompts that are answered at the same time, those that are the same are read once,
    and each question goes on from a copy of what was kept.

    Parameters
    ----------
    lm : LoadedModel
        From `kvbook.load_model`.
    methods : sequence of Method
        One or more. They share the reading of a prompt, by `kvbook.engine.panel.Panel`.
    prompts : sequence of sequence of int
        Token ids, of any lengths.
    new_tokens : int
        Most tokens of an answer.
    questions : sequence of sequence of int, optional
        One a prompt, at least a token each.
    first_line : bool
        Stop each answer behind its first line.
    rows : int
        About how many answers are written at the same time; those to one prompt always are.

    Returns
    -------
    list of list of Answer
        ``[methods][prompts]``. In float32 these are the answers that each method gives alone. In a
        shorter format a batch rounds in another way, and an answer may differ.

    Raises
    ------
    ParameterError
        A number below 1, no prompt or an empty one, something else than a loaded model and
        methods; before the model runs.
    """
    check_loaded(lm)
    methods = [as_method(method) for method in methods]
    for name, value in (("new_tokens", new_tokens), ("rows", rows)):
        if value < 1:
            raise ParameterError(f"{name}={value}: give at least 1")
    if not all(map(len, prompts)):
        raise ParameterError("a prompt is empty: give it at least one token")
    if questions is not None and (len(questions) != len(prompts) or not all(map(len, questions))):
        raise ParameterError(
            f"{len(prompts)} prompts and {len(questions)} questions: give every prompt a question "
            "of at least one token"
        )
    panel = Panel(methods)
    size = max(1, rows // len(panel))
    said = []
    for start in range(0, len(prompts), size):
        part = slice(start, start + size)
        asked = questions[part] if questions is not None else None
        said += _answer(lm, panel, prompts[part], asked, new_tokens, first_line)
    return [list(of) for of in zip(*said, strict=True)] if said else [[] for _ in methods]


def _answer(
    lm,
    panel: Panel,
    prompts: Sequence[Sequence[int]],
    questions: Sequence[Sequence[int]] | None,
    new_tokens: int,
    first_line: bool,
) -> list[list[Answer]]:
    """Some prompts, and what is asked after each, at the same time: answers by prompt and method."""
    last, before, options = prompts, 0, {}
    with panel.attach(lm.model) as run:
        if questions is not None:
            read = list(dict.fromkeys(map(tuple, prompts)))
            ids, mask = pad_left([prompt for prompt in read for _ in panel.methods])
            device = input_device(lm.model)
            lm.model(ids.to(device), attention_mask=mask.to(device), logits_to_keep=1)
            at = [len(panel) * read.index(tuple(prompt)) for prompt in prompts]
            run.restore(run.snapshot().pick([row + i for row in at for i in range(len(panel))]))
            last, before = questions, ids.shape[1]
            options = {"read": run.real, "past_key_values": run.cache}
        stop = [FirstLine(lm.tokenizer, before + max(map(len, last)))] if first_line else []
        words = generate_words(
            lm,
            [one for one in last for _ in panel.methods],
            new_tokens,
            stopping_criteria=StoppingCriteriaList(stop),
            **options,
        )
    kept = (row.prompt_bytes for row in run.rows)
    answers = [Answer(*each) for each in zip(words, kept, strict=True)]
    return [answers[start : start + len(panel)] for start in range(0, len(answers), len(panel))]


def check_when(question) -> None:
    """Refuse anything but `When`.

    Raises
    ------
    ParameterError
        With what may be given.
    """
    if question not in get_args(When):
        raise ParameterError(
            f"question={question!r}: give 'before' or 'after', when a method compresses"
        )


class FirstLine(StoppingCriteria):
    """Ends an answer after its first line that is not empty: what follows would not be read."""

    def __init__(self, tokenizer, start: int):
        self.tokenizer, self.start = tokenizer, start

    def __call__(self, input_ids, scores, **kwargs):
        """Which rows are done."""
        said = self.tokenizer.batch_decode(input_ids[:, self.start :], skip_special_tokens=True)
        done = ["\n" in words.lstrip("\n") for words in said]
        return torch.tensor(done, device=input_ids.device)
