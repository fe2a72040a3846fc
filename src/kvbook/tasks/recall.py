"""Recall over several conversations, what it cost, and which facts were told long ago."""

import re
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

from kvbook.lm.models import check_loaded
from kvbook.methods.base import as_method
from kvbook.tasks.conversations import Conversation, recall


def measure_recall(lm, method, conversations: Sequence[Conversation]) -> dict:
    """Ask for every fact of some conversations.

    Parameters
    ----------
    conversations : sequence of Conversation
        At least one.

    Returns
    -------
    dict
        Ready for a results file: ``facts``, each ``found`` or not and told so many tokens
        ``ago``; ``seconds`` a conversation, of all that are read together an equal share; and of
        the last one ``kv_bytes``, ``summaries`` and ``summary_seconds``.
    """
    check_loaded(lm)
    method = as_method(method)
    started = time.perf_counter()
    answers, runs = recall(lm, method, conversations)
    run = runs[-1]
    return {
        "facts": [{"found": one.found, "ago": one.ago} for told in answers for one in told],
        "kv_bytes": run.kv_bytes,
        "seconds": (time.perf_counter() - started) / len(conversations),
        "summaries": len(run.summaries),
        "summary_seconds": sum(one.seconds for one in run.summaries),
    }


def early(facts: Sequence[Mapping], label: str, least: int) -> list[bool]:
    """Whether each fact was found that was told more than a budget ago. The budget is that of the
    label, such as ``snapkv, budget 512``, but at least ``least`` tokens."""
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
