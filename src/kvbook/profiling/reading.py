"""What reading a conversation costs on paper: all again at every turn, with summaries, or never
twice."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from kvbook.lm.costs import ModelShape, causal_pairs, layer_flops


def reading_work(
    config,
    lengths: Sequence[int],
    budget: int = 1024,
    segment: int = 256,
    summary_tokens: int = 128,
    sinks: int = 4,
    request: int = 40,
) -> dict[str, list[float]]:
    """Floating-point operations of reading, up to every turn of a conversation, in three ways.

    In each way, attention counts with every entry of the cache that a token sees.

    Parameters
    ----------
    config
        A transformers configuration.
    lengths : sequence of int
        Tokens of the conversation after every turn; a turn is read at once.
    budget, segment, summary_tokens, sinks : int
        SummaryKV's: whenever so many tokens more are evicted, it reads them again with the
        summary before, and then the new summary after the sinks.
    request : int
        Tokens of the question that the summary is asked by.

    Returns
    -------
    dict
        Three sums, a number a turn: ``again`` (the whole conversation is read again at every turn),
        ``summarised`` (by SummaryKV) and ``kept`` (the whole cache is kept, and only the new turn
        is read).
    """
    shape = ModelShape.of(config)

    def read(tokens: int, held: int = 0) -> float:
        layer = layer_flops(shape, tokens, causal_pairs(tokens, held + tokens))
        return shape.layers * sum(layer.values()) + 2 * shape.hidden * shape.vocabulary

    def segments(length: int) -> int:
        return max(0, length - budget) // segment

    turns = list(pairwise([0, *lengths]))
    one_summary = read(summary_tokens + segment + request) + read(summary_tokens, sinks)
    return {
        "again": list(accumulate(read(after) for _, after in turns)),
        "summarised": list(
            accumulate(
                read(after - before, min(before, budget))
                + (segments(after) - segments(before)) * one_summary
                for before, after in turns
            )
        ),
        "kept": list(accumulate(read(after - before, before) for before, after in turns)),
    }
