"""One prompt through several methods: one reading for all that only choose what stays, a reading
each for the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvbook.engine.panel import Panel
from kvbook.engine.refuse_panel import reads_its_own_way
from kvbook.lm.generation import generate_words
from kvbook.lm.models import check_loaded
from kvbook.methods import Method
from kvbook.methods.base import as_method
from kvbook.tasks.trial import Example, Trial, as_trial, try_method


@dataclass(frozen=True)
class Compared:
    """What one of several methods did with a prompt.

    Attributes
    ----------
    trial : Trial
        What it said, and the record.
    readers : int
        How many methods the times of the record are of: those of one reading share them, and 1 has
        read alone.
    """

    trial: Trial
    readers: int


def try_side_by_side(
    lm,
    methods: Sequence[Method],
    example: Example,
    new_tokens: int = 16,
    advance: Callable[[int], object] = lambda count: None,
) -> list[Compared]:
    """Generate greedily after an example's prompt, with every method.

    Parameters
    ----------
    lm : LoadedModel
        From `kvbook.load_model`.
    methods : sequence of Method
        Those that leave the reading as it is share one (`kvbook.engine.panel.Panel`). A method that
        changes it reads alone, so that its times are its own.
    example : Example
        The prompt.
    new_tokens : int
        Most tokens of an answer.
    advance : callable
        Is told how many methods are done, whenever some are.

    Returns
    -------
    list of Compared
        In the order of the methods.
    """
    check_loaded(lm)
    methods = [as_method(method) for method in methods]
    together = [i for i, method in enumerate(methods) if not reads_its_own_way(method)]
    done: dict[int, Compared] = {}
    if together:
        panel = Panel([methods[i] for i in together])
        prompts = example.inputs.input_ids.tolist() * len(panel)
        with panel.attach(lm.model) as run:
            texts = generate_words(lm, prompts, new_tokens)
        for i, row, text in zip(together, run.rows, texts, strict=True):
            done[i] = Compared(as_trial(row, text, example), len(panel))
        advance(len(panel))
    for i, method in enumerate(methods):
        if i not in done:
            done[i] = Compared(try_method(lm, method, example, new_tokens), 1)
            advance(1)
    return [done[i] for i in range(len(methods))]
