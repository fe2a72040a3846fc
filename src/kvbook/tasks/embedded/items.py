"""The items of all six tasks, each drawn by its module."""

import json
import random

from kvbook.tasks.embedded import completion, counting, passages, questions, reports, stories

KINDS = {
    "narrativeqa": stories,
    "2wikimqa": passages,
    "gov_report": reports,
    "trec": questions,
    "passage_count": counting,
    "lcc": completion,
}
"""By task: the module that makes its items."""


def build(seed: int = 0, count: int = 30) -> dict[str, list[dict]]:
    """The items of all six tasks, by task.

    Parameters
    ----------
    seed, count : int
        What they are drawn from, and how many of each.
    """
    return {task: kind.make(count, random.Random(f"{task} {seed}")) for task, kind in KINDS.items()}


def lines(rows: list[dict]) -> str:
    """The rows as they stand in a file: one JSON object a line."""
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
