"""What reading a conversation costs on paper: all again at every turn, with summaries, or never
twice."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from kvbook.lm.costs import prefill_flops


def reading_work(
    config,
    lengths: Sequence[int],
    budget: int = 1024,
    segment: int = 256,
    summary_tokens: int = 128,
    request: int = 40,
) -> dict[str, list[float]]:
    """Floating-point operations of reading, up to every turn of a conversation.

    Attention to the entries of the cache is left out of all three.

    Parameters
    ----------
    config
        Of transformers.
    lengths : sequence of int
        Tokens of the conversation after every turn.
    budget, segment, summary_tokens : int
        SummaryKV's: whenever so many tokens more are evicted, it reads them again with the
        summary before, and then the new summary.
    request : int
        Tokens of the question that the summary is asked by.

    Returns
    -------
    dict
        ``again``, ``summarised`` and ``kept``: a number a turn.
    """

    def read(tokens: int) -> float:
        return prefill_flops(config, [tokens] * config.num_hidden_layers)

    def segments(length: int) -> int:
        return max(0, length - budget) // segment

    turns = list(pairwise([0, *lengths]))
    one_summary = read(summary_tokens + segment + request) + read(summary_tokens)
    return {
        "again": list(accumulate(read(after) for _, after in turns)),
        "summarised": list(
            accumulate(
                read(after - before) + (segments(after) - segments(before)) * one_summary
                for before, after in turns
            )
        ),
        "kept": list(accumulate(read(after - before) for before, after in turns)),
    }
