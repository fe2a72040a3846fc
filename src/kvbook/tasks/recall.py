"""Recall over several conversations, what it cost, and which facts were told long ago."""

import re
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from kvbook.lm.models import check_loaded
from kvbook.methods.base import as_methods
from kvbook.tasks.conversations import Conversation, recall


def measure_recall(
    lm, methods: Mapping[str, Any], conversations: Sequence[Conversation]
) -> dict[str, dict]:
    """Ask for every fact of some conversations, with methods that read them together.

    Parameters
    ----------
    methods : mapping of str to Method
        By label. Methods whose times are to be compared are measured in calls of their own.
    conversations : sequence of Conversation
        At least one.

    Returns
    -------
    dict of str to dict
        By label, ready for a results file. ``facts``: for each whether it was ``found``, and how
        many tokens ``ago`` it was told. ``seconds``: the time of the whole call, divided by the
        number of methods and of conversations. Of the last conversation: ``kv_bytes``, the number
        of ``summaries``, and their ``summary_seconds``.
    """
    check_loaded(lm)
    methods = as_methods(methods)
    started = time.perf_counter()
    recalled = recall(lm, methods, conversations)
    share = (time.perf_counter() - started) / (len(methods) * len(conversations))
    return {
        label: {
            "facts": [{"found": one.found, "ago": one.ago} for told in answers for one in told],
            "kv_bytes": runs[-1].kv_bytes,
            "seconds": share,
            "summaries": len(runs[-1].summaries),
            "summary_seconds": sum(one.seconds for one in runs[-1].summaries),
        }
        for label, (answers, runs) in recalled.items()
    }


def early(facts: Sequence[Mapping], label: str, least: int) -> list[bool]:
    """For each fact that was told more than a budget ago: whether it was found. The budget is the
    one in the label, such as ``snapkv, budget 512``, but at least ``least`` tokens."""
    named = re.search(r"budget (\d+)", label)
    budget = max(least, int(named[1]) if named else 0)
    return [fact["found"] for fact in facts if fact["ago"] > budget]


def by_age(facts: Sequence[Mapping], edges: Sequence[int]) -> list[list[bool]]:
    """Whether facts were found, in bins of the tokens since they were told: more than an edge,
    up to the next."""
    return [
        [fact["found"] for fact in facts if low < fact["ago"] <= high]
        for low, high in pairwise(edges)
    ]
