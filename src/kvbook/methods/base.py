"""What all methods share: budgets, reductions, and the catalogue."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from kvbook.engine.attach import attach
from kvbook.engine.run import Run
from kvbook.errors import ParameterError, wanted
from kvbook.fields import Pooling, Reduction

STRICT = ConfigDict(strict=True, extra="forbid")

CATALOGUE: dict[str, type["Method"]] = {}
"""The methods that `create_method` knows, by name."""


@dataclass(frozen=True, config=STRICT)
class Method:
    """A KV-cache compression method: a frozen set of parameters, and the hooks that
    `kvbook.engine.attach` describes.

    A subclass gives a ``name`` and defines only the hooks that it needs. It holds no state of a
    run: what it has to remember goes into ``memory`` or ``shared`` of `kvbook.engine.seen.Seen`.
    ``class Mine(Method, listed=False)`` has a name, but `create_method` does not know it.
    """

    name: ClassVar[str] = ""

    def __init_subclass__(cls, listed: bool = True, **kwargs):
        super().__init_subclass__(**kwargs)
        if listed and cls.__dict__.get("name"):  # a subclass without a name of its own stays out
            CATALOGUE[cls.name] = cls

    def attach(self, model: nn.Module) -> AbstractContextManager[Run]:
        """``with method.attach(model) as run:`` — see `kvbook.engine.attach.attach`."""
        return attach(self, model)


def create_method(name: str, **parameters) -> Method:
    """Make a method by its name.

    Parameters
    ----------
    name : str
        One of `kvbook.methods.METHODS`, such as ``"snapkv"``, or the ``name`` of a subclass of
        `Method` of your own.
    **parameters
        The method's own, as its class documents them.

    Raises
    ------
    ParameterError
        An unknown name or parameter, a missing parameter, or a value out of range. The message says
        what is valid.

    Examples
    --------
    >>> create_method("streamingllm", budget=256)
    StreamingLLM(budget=256, sinks=4, rolling=True, positions='cache', chunk=None)
    """
    if name not in CATALOGUE:
        raise ParameterError(
            f"unknown method {name!r}; methods are: {', '.join(sorted(CATALOGUE))}"
        )
    cls = CATALOGUE[name]
    fields = {one.name: one for one in dataclasses.fields(cls)}
    unknown = sorted(set(parameters) - set(fields))
    if unknown:
        raise ParameterError(
            f"{name} has no parameter {', '.join(map(repr, unknown))}; it has: {', '.join(fields) or 'none'}"
        )
    missing = [
        n for n, one in fields.items() if one.default is dataclasses.MISSING and n not in parameters
    ]
    if missing:
        raise ParameterError(
            f"{name} needs {', '.join(map(repr, missing))}, e.g. budget=256 or budget=0.1"
        )
    try:
        return cls(**parameters)
    except ValidationError as error:
        problems = {str(one["loc"][0]): one["msg"] for one in error.errors() if one["loc"]}
        lines = [f"{field}={parameters.get(field)!r}: {text}" for field, text in problems.items()]
        raise ParameterError(f"{name}: " + ("; ".join(lines) or str(error))) from None


def as_method(given) -> Method:
    """The method that is given, or the method of a name that needs no parameters.

    Parameters
    ----------
    given : Method or str
        What a function of this book got as its ``method``.

    Raises
    ------
    ParameterError
        A class, None, something else, or a name that is not enough.

    Examples
    --------
    >>> as_method("fullkv")
    FullKV()
    """
    if isinstance(given, str):
        try:
            return create_method(given)
        except ParameterError as error:
            raise ParameterError(
                f"{error}; give a method instead of its name: "
                "create_method('snapkv', budget=256), for example"
            ) from None
    if isinstance(given, type) or not hasattr(given, "attach"):
        raise wanted("a method", given, "create_method('snapkv', budget=256), for example")
    return given


def as_methods(given, one: Callable = as_method) -> dict:
    """Several methods, by the names that their results get.

    Parameters
    ----------
    given : mapping of str to Method or str
        What a function of this book got as its ``methods``.
    one : callable
        Turns each value into a method, or refuses it.

    Raises
    ------
    ParameterError
        ``given`` is no mapping (but a list of names, for example), or ``one`` refuses a value.
    """
    if not isinstance(given, Mapping):
        raise wanted(
            "a mapping of names to methods",
            given,
            "{'snapkv': create_method('snapkv', budget=256)}, for example",
        )
    return {name: one(method) for name, method in given.items()}


def with_budget(name: str, budget: int | float, **parameters) -> Method:
    """`create_method` with a budget, for several methods in one loop. A method that has no budget,
    such as FullKV, is made without one.

    Examples
    --------
    >>> [with_budget(name, 256) for name in ("fullkv", "streamingllm")][0]
    FullKV()
    """
    has_none = name in CATALOGUE and "budget" not in CATALOGUE[name].__dataclass_fields__
    return create_method(name, **parameters, **({} if has_none else {"budget": budget}))


def resolve_budget(budget: int | float, tokens: int) -> int:
    """Entries that a layer may keep per KV head: ``budget``, or ``max(1, floor(budget * tokens))`` of a fraction."""
    return max(1, math.floor(budget * tokens)) if isinstance(budget, float) else budget


def resolve_window(window: int, budget: int) -> int:
    """The observation window; where it would fill the budget, it shrinks to
    ``max(1, budget // 2)``, so that there is room for chosen entries, too."""
    return window if budget > window else max(1, budget // 2)


def pool(scores: Tensor, kernel: int, how: Pooling) -> Tensor:
    """Scores ``[heads, entries]`` pooled over ``kernel`` neighbours; outside there are zeros."""
    pooling = F.max_pool1d if how == "max" else F.avg_pool1d
    return pooling(scores[None], kernel, stride=1, padding=kernel // 2)[0]


def reduce_group(scores: Tensor, kv_heads: int, how: Reduction) -> Tensor:
    """Scores of query heads ``[heads, entries]`` as scores of their KV heads ``[kv_heads, entries]``."""
    grouped = scores.view(kv_heads, -1, scores.shape[-1])
    return grouped.amax(1) if how == "max" else getattr(grouped, how)(1)


def top_indices(scores: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` highest scores of each row ``[rows, entries]``, ascending."""
    return scores.topk(count, dim=-1).indices.sort(dim=-1).values


def check_layer(method: "Method", field: str, model: nn.Module) -> None:
    """Refuse a parameter that names a layer that the model does not have."""
    layer, layers = getattr(method, field), model.config.num_hidden_layers
    if layer is not None and layer >= layers:
        raise ParameterError(
            f"{method.name}: {field}={layer}, but this model has layers 0 to {layers - 1}; "
            f"leave {field} out for the default"
        )


def last_indices(entries: int, count: int, rows: int, device: torch.device) -> Tensor:
    """The last ``count`` of ``entries`` indices, ``[rows, count]``."""
    return torch.arange(entries - count, entries, device=device).expand(rows, -1)
