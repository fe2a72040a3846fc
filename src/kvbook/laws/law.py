"""What a law is: a sentence, the prompts and budgets that it is tried on, and where it fails."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from kvbook.errors import ParameterError
from kvbook.laws.reading import prompt_of
from kvbook.methods.base import Method, resolve_budget

Size = int | float
"""A budget: a number of entries, or a fraction of the prompt."""


class DoesNotApply(Exception):
    """A law says nothing about a method; the message is the reason."""


@dataclass(frozen=True)
class CounterExample:
    """Where a method breaks a law.

    Attributes
    ----------
    length : int
        Tokens of the prompt.
    budget : int, float or None
        The method's; None: it has none.
    expected, found : str
        What the law says, and what was there instead.
    when : str
        Such as ``"after 2 more inputs"``; empty: after the prompt.
    layer, head, position : int or None
        Where, from 0: the layer, the KV head, and the position in the prompt; None: everywhere, or
        not known.
    raised : bool
        An error ended the run.
    """

    length: int
    budget: Size | None
    expected: str
    found: str
    when: str = ""
    layer: int | None = None
    head: int | None = None
    position: int | None = None
    raised: bool = False

    def __str__(self) -> str:
        prompt = f"a prompt of {self.length} token{'s' * (self.length != 1)}"
        places = {"budget": self.budget, "layer": self.layer, "head": self.head}
        places["position"] = self.position
        known = [f"{name} {value}" for name, value in places.items() if value is not None]
        where = ", ".join([prompt, *known, *([self.when] if self.when else [])])
        return f"{where}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Case:
    """One prompt and one budget that a law is tried on.

    Attributes
    ----------
    given : Method or subclass of Method
        What is put through the laws; its budget is replaced by the case's.
    model : nn.Module
        A tiny one.
    length : int
        Tokens of the prompt.
    budget : int or float
        Entries, or a fraction of the prompt.
    """

    given: Method | type[Method]
    model: nn.Module
    length: int
    budget: Size

    @cached_property
    def method(self) -> Method:
        """The method with this budget; as it is, if it has none."""
        return make_method(self.given, self.budget)

    @cached_property
    def ids(self) -> Tensor:
        """The prompt, ``[1, length]``."""
        return prompt_of(self.length, self.model)

    @property
    def entries(self) -> int:
        """What the budget is, for this prompt."""
        return resolve_budget(self.budget, self.length)

    def broken(self, expected: str, found: str, **where) -> CounterExample:
        """A counter-example of this case; ``where`` are the other attributes of one."""
        budget = self.budget if has_budget(self.given) else None
        return CounterExample(self.length, budget, expected, found, **where)


@dataclass(frozen=True)
class Law:
    """One law.

    Attributes
    ----------
    name, sentence : str
        What it is called, and what it says.
    breaches : callable
        ``(case) -> iterator of CounterExample``, empty where the law holds. It raises
        `DoesNotApply` for a method that the law says nothing about.
    tries : callable
        ``(length, budget) -> [(length, budget), ...]``: what it is tried on, made from the two
        numbers of a check.
    """

    name: str
    sentence: str
    breaches: Callable[[Case], Iterator[CounterExample]]
    tries: Callable[[int, Size], list[tuple[int, Size]]]


def has_budget(given: Method | type[Method]) -> bool:
    """Whether a method, or a class of one, has a budget; one that was made with None has not."""
    known = "budget" in {one.name for one in dataclasses.fields(given)}
    return known and (isinstance(given, type) or getattr(given, "budget", None) is not None)


def make_method(given: Method | type[Method], budget: Size) -> Method:
    """The given method, or one made from the given class, with this budget.

    Raises
    ------
    ParameterError
        It cannot be made.
    """
    size = {"budget": budget} if has_budget(given) else {}
    try:
        return given(**size) if isinstance(given, type) else dataclasses.replace(given, **size)
    except (TypeError, ValueError) as error:
        name = given.__name__ if isinstance(given, type) else type(given).__name__
        if isinstance(error, ValidationError):
            why = "; ".join(
                ": ".join([*map(str, one["loc"][:1]), one["msg"]]) for one in error.errors()
            )
        else:
            why = str(error)
        words = ", ".join(f"{key}={value!r}" for key, value in size.items())
        raise ParameterError(
            f"{name}({words}) cannot be made ({why}); give a method that is made already, such as "
            f"{name}(budget=12, ...)"
        ) from None


def same(one: Tensor, other: Tensor) -> bool:
    """Whether logits agree but for the rounding of float32: to 2e-4, and to 1e-5 of their size."""
    return torch.allclose(one, other, atol=2e-4)
