"""Put a method through laws, and shrink what breaks one."""

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from kvbook.engine.seen import Seen
from kvbook.errors import ParameterError, wanted
from kvbook.laws.law import Case, CounterExample, DoesNotApply, Law, Size, make_method
from kvbook.laws.laws import LAWS
from kvbook.laws.reading import make_tiny_model
from kvbook.methods.base import Method

BUDGET = 12
"""Entries, when nothing else is said: small, and enough for sinks and a window."""
LENGTH = 30
"""Tokens of a prompt, when the budget is a fraction."""


@dataclass(frozen=True)
class Row:
    """What one law says of a method.

    Attributes
    ----------
    law, sentence : str
        Its name, and what it says.
    verdict : {"pass", "fails", "does not apply"}
    reason : str
        Why it does not apply; else empty.
    counter_example : CounterExample or None
        The smallest that was found of a law that fails.
    """

    law: str
    sentence: str
    verdict: Literal["pass", "fails", "does not apply"]
    reason: str = ""
    counter_example: CounterExample | None = None

    def __str__(self) -> str:
        more = f": {self.reason}" if self.reason else ""
        more += f"\n{'':16}{self.counter_example}" if self.counter_example else ""
        return f"{self.verdict:16}{self.sentence}{more}"


@dataclass(frozen=True)
class Report:
    """What the laws say of a method.

    Attributes
    ----------
    subject : str
        What was put through them.
    rows : tuple of Row
        One a law, in their order.
    """

    subject: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether no law fails."""
        return all(row.verdict != "fails" for row in self.rows)

    def __getitem__(self, law: str) -> Row:
        """The row of a law, by its name."""
        return {row.law: row for row in self.rows}[law]

    def __str__(self) -> str:
        return "\n".join([self.subject, *map(str, self.rows)])


def check(method: Method | type[Method], budget: Size = BUDGET) -> Report:
    """Put a method, also one of your own, through the laws that every method of this book keeps.

    A tiny random model reads short prompts with it, on the CPU and in float32, which takes seconds.
    Every law is printed, with "pass", with the smallest counter-example that was found, or with the
    reason why it does not apply. An error in the method's code is a counter-example, too.

    Parameters
    ----------
    method : Method or subclass of Method
        A method, or a class that is made by ``budget=...``. A budget that it has is replaced by
        small ones; its other parameters stay.
    budget : int or float
        Entries, or a fraction of the prompt; prompts are a little longer than twice as many
        entries. Give more than the 12 where a parameter needs room, such as ``window=32``, or
        PyramidInfer's ``min_length=64``, below which nothing is cut.

    Returns
    -------
    Report
        ``.passed``, and a row a law.

    Raises
    ------
    ParameterError
        What is given is no method, or cannot be made with a budget.

    Examples
    --------
    >>> from kvbook.methods import SnapKV
    >>> check(SnapKV).passed  # doctest: +SKIP
    True
    """
    return run_laws(LAWS, method, budget, "laws")


def run_laws(laws: Sequence[Law], given, budget: Size, what: str) -> Report:
    """Try laws one after the other, and print what comes out of each as soon as it does."""
    check_given(given, budget)
    name = given.__name__ if isinstance(given, type) else str(given)
    title = f"{what} for {name}, on a tiny random model:"
    print(title)
    rows = []
    for law in laws:
        rows.append(try_law(law, given, make_tiny_model(), budget))
        print(rows[-1], flush=True)
    return Report(title, tuple(rows))


def check_given(given, budget: Size) -> None:
    """Refuse what is no method, or no budget, and what cannot be made.

    Raises
    ------
    ParameterError
        With what to give instead.
    """
    cls = given if isinstance(given, type) else type(given)
    if not issubclass(cls, Method) or cls is Method:
        raise wanted(
            "a method, or a class of one", given, "a class Mine(Method), or Mine(budget=12)"
        )
    count = isinstance(budget, int) and not isinstance(budget, bool) and budget >= 1
    if not count and not (isinstance(budget, float) and 0 < budget <= 1):
        raise ParameterError(
            f"budget={budget!r}: give entries, such as 12, or a fraction, such as 0.4"
        )
    make_method(given, budget)


def try_law(law: Law, given: Method | type[Method], model: nn.Module, budget: Size) -> Row:
    """What one law says."""
    length = 2 * budget + 6 if isinstance(budget, int) else LENGTH
    try:
        found = first_breach(law, given, model, length, budget)
    except DoesNotApply as reason:
        return Row(law.name, law.sentence, "does not apply", reason=str(reason))
    if found is None:
        return Row(law.name, law.sentence, "pass")
    found = shrink(law, given, model, length, budget, found)
    return Row(law.name, law.sentence, "fails", counter_example=found)


def first_breach(
    law: Law, given: Method | type[Method], model: nn.Module, length: int, budget: Size
) -> CounterExample | None:
    """Where a law fails first, of what it is tried on; None where it holds.

    Raises
    ------
    DoesNotApply
        The law says nothing about this method.
    """
    for tokens, size in law.tries(length, budget):
        case = Case(given, model, tokens, size)
        try:
            for found in law.breaches(case):
                return found
        except DoesNotApply:
            raise
        except Exception as error:  # whatever a student's code raises
            return of_error(case, error)
    return None


def shrink(
    law: Law,
    given: Method | type[Method],
    model: nn.Module,
    length: int,
    budget: Size,
    found: CounterExample,
) -> CounterExample:
    """The smallest counter-example: a shorter prompt is looked for, then a smaller budget, until
    neither is found. An error is replaced only by an error, and a wrong result by a wrong one."""

    def first(candidates: Iterator[tuple[int, Size]]) -> tuple[int, Size, CounterExample] | None:
        for tokens, size in candidates:
            try:
                again = first_breach(law, given, model, tokens, size)
            except DoesNotApply:
                continue
            if again and again.raised == found.raised:
                return tokens, size, again
        return None

    while True:
        smaller = first((tokens, budget) for tokens in lengths_to(length))
        if smaller is None and isinstance(budget, int):
            smaller = first((length, size) for size in lengths_to(budget))
        if smaller is None:
            return found
        length, budget, found = smaller


def lengths_to(end: int) -> Iterator[int]:
    """1, 2, 3, ...; from forty on in larger steps, so that a long prompt takes seconds, too."""
    at = 1
    while at < end:
        yield at
        at += max(1, at // 20)


def of_error(case: Case, error: Exception) -> CounterExample:
    """An error as a counter-example: its message, and where the method's code was."""
    layer, place = None, ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        seen = [one for one in frame.f_locals.values() if isinstance(one, Seen)]
        layer = getattr(frame.f_locals.get("module"), "layer_idx", layer)  # in the engine
        if seen:
            layer, place = seen[-1].layer, f" (`{frame.f_code.co_name}`, line {line})"
    words = (str(error).strip().splitlines() or [""])[0]
    text = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return case.broken("no error", text + place, layer=layer, raised=True)
