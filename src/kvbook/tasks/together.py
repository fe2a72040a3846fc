"""Several methods asked the same prompts: each prompt is read once, all answers are one batch."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from kvbook.engine.panel import Panel
from kvbook.engine.run import Run
from kvbook.errors import ParameterError
from kvbook.lm.generation import generate_words
from kvbook.lm.models import check_loaded
from kvbook.methods.base import as_method

Label = TypeVar("Label", bound=Hashable)
"""What names one of several methods: a name, a name and a budget, ..."""
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
    first_line: bool = False,
    rows: int = ROWS,
) -> list[list[Answer]]:
    """Greedy answers of every method to every prompt.

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
    first_line : bool
        Stop each answer behind its first line.
    rows : int
        About how many answers are written at the same time; those to one prompt always are.

    Returns
    -------
    list of list of Answer
        ``[methods][prompts]``: what each method says alone (in float32; a batch rounds in another
        order).

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
    panel, answers = Panel(methods), [list[Answer]() for _ in methods]
    size = max(1, rows // len(panel))
    for start in range(0, len(prompts), size):
        part = prompts[start : start + size]
        asked = [prompt for prompt in part for _ in methods]
        stop = [FirstLine(lm.tokenizer, max(map(len, part)))] if first_line else []
        with panel.attach(lm.model) as run:
            words = generate_words(
                lm, asked, new_tokens, stopping_criteria=StoppingCriteriaList(stop)
            )
        for place, (said, row) in enumerate(zip(words, run.rows, strict=True)):
            answers[place % len(panel)].append(Answer(said, kept_bytes(row)))
    return answers


def kept_bytes(run: Run) -> int:
    """Bytes of the keys and values that the prefill left of a prompt."""
    keys = run.cache.layers[0].keys
    entry = 2 * keys.shape[-1] * keys.element_size()
    return entry * sum(int((kept >= 0).sum()) for kept in run.kept_positions)


class FirstLine(StoppingCriteria):
    """Ends an answer after its first line that is not empty: what follows would not be read."""

    def __init__(self, tokenizer, start: int):
        self.tokenizer, self.start = tokenizer, start

    def __call__(self, input_ids, scores, **kwargs):
        """Which rows are done."""
        said = self.tokenizer.batch_decode(input_ids[:, self.start :], skip_special_tokens=True)
        done = ["\n" in words.lstrip("\n") for words in said]
        return torch.tensor(done, device=input_ids.device)
