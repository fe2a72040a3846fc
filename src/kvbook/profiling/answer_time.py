"""How long an answer takes by its length: the prefill that was measured, and one measured token after
the other."""

from collections.abc import Iterable
from math import floor, inf

from kvbook.profiling.timing import Measurement
from kvbook.stats import Spread


def by_context(measurements: Iterable[Measurement]) -> dict[int, dict[str, Measurement]]:
    """Measurements by their context length, and there by method."""
    found: dict[int, dict[str, Measurement]] = {}
    for one in measurements:
        found.setdefault(one.context_length, {})[one.method] = one
    return found


def answer_seconds(one: Measurement, tokens: int) -> list[float]:
    """Seconds of an answer, a value for each repeat: the prefill, which gives the first token, and
    ``tokens - 1`` decoded tokens.

    Every decoded token counts as long as those that were measured. In truth the later ones are a
    little slower where the cache grows with the answer.
    """
    repeats = zip(one.prefill, one.decode, strict=True)
    return [prefill + (tokens - 1) * token for prefill, token in repeats]


def saved_seconds(one: Measurement, full: Measurement, tokens: int) -> Spread:
    """Seconds that an answer of so many tokens takes less than with ``full``, of the same session:
    repeat by repeat, of the repeats that both have."""
    repeats = zip(answer_seconds(one, tokens), answer_seconds(full, tokens), strict=False)
    return Spread.of(theirs - mine for mine, theirs in repeats)


def ahead_from(one: Measurement, full: Measurement) -> Spread:
    """The fewest tokens of an answer that is quicker than with ``full``, repeat by repeat; infinite
    where no length is."""
    repeats = zip(one.prefill, one.decode, full.prefill, full.decode, strict=False)
    return Spread.of(
        _fewest(prefill - full_prefill, full_token - token)
        for prefill, token, full_prefill, full_token in repeats
    )


def _fewest(behind: float, gained: float) -> float:
    """Of a prefill that is so many seconds behind, and tokens that each gain so many."""
    if behind < 0:
        return 1.0
    return 2.0 + floor(behind / gained) if gained > 0 else inf
