"""Candidates and their references: what cannot be scored."""

from collections.abc import Sequence

from kvbook.errors import ParameterError


def check_pairs(candidates: Sequence[str], references: Sequence[str]) -> None:
    """Refuse what cannot be scored.

    Raises
    ------
    ParameterError
        No pairs, unequal lengths, an empty reference, or texts in place of lists.
    """
    if isinstance(candidates, str) or isinstance(references, str):
        raise ParameterError("give lists of candidates and references, not one text")
    if len(candidates) != len(references):
        raise ParameterError(
            f"{len(candidates)} candidates and {len(references)} references: give one of each a pair"
        )
    if not candidates:
        raise ParameterError("there are no answers to score")
    for number, reference in enumerate(references):
        if not reference.strip():
            raise ParameterError(f"reference {number} is empty: nothing can resemble it")
