"""What the chapters of the methods say alike: what was found, what was kept, and what it cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from IPython.display import HTML
from torch import Tensor

from kvbook.results import report_tasks
from kvbook.show.tables import rate_table, table
from kvbook.stats import Rate
from kvbook.tasks.needle import Needle
from kvbook.tasks.trial import Example, Trial


def cost_table(trials: Sequence[Trial], prompt_tokens: int, new_tokens: int = 12) -> HTML:
    """What methods cost on one prompt, a row a trial.

    Parameters
    ----------
    trials : sequence of Trial
        Of the same prompt.
    prompt_tokens, new_tokens : int
        Lengths of the prompt and of the answers, for the caption.
    """
    return table(
        [trial.cost_row() for trial in trials],
        "measured",
        f"{prompt_tokens} tokens of prompt, {new_tokens} new ones; GFLOP are computed on paper; "
        "one run each, so the times are rough",
    )


def found_table(
    rates: Mapping[tuple[str, int | float | None], Rate],
    needles: Sequence[Needle],
    note: str = "; bootstrap over prompts, exact where all or none",
) -> HTML:
    """Needles found by method and budget, as `kvbook.tasks.budgets.ask_budgets` has them."""
    return rate_table(
        {
            name if budget is None else f"{name}, budget {budget}": rate
            for (name, budget), rate in rates.items()
        },
        f"{len(needles)} needles of about {needles[0].tokens} tokens{note}",
    )


def answer_table(
    example: Example, held: Mapping[str, Sequence[Tensor]], unit: str = "", caption: str = ""
) -> HTML | None:
    """How many heads, or layers, hold each token of the answer; nothing for a prompt without one.

    Parameters
    ----------
    example : Example
        The prompt.
    held : mapping
        By column: per layer, the positions that it holds, as ``run.kept_positions``
        ``[batch, heads, kept]`` or ``run.layer_inputs`` ``[batch, read]``.
    unit : str
        What is counted, such as ``"heads"``.
    """
    if not example.gold:
        return None
    sets = {
        column: [set(row.tolist()) for one in layers for row in torch.atleast_2d(one[0])]
        for column, layers in held.items()
    }
    rows = [
        {"token": repr(example.tokens[place]), "position": place}
        | {
            column: f"{sum(place in one for one in of)} of {len(of)} {unit}".rstrip()
            for column, of in sets.items()
        }
        for place in example.gold
    ]
    return table(rows, "measured", caption)


def report_table(data: Path, methods: Sequence[str]) -> HTML:
    """The report's scores of these methods; ``data`` is the folder of the book's data."""
    return table(report_tasks(data, methods), "report", "figure 1, left: LongBench tasks")
