"""What a parameter may be, for methods, chapters and trainings alike."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Budget = Count | Annotated[float, Field(gt=0, le=1)]
"""An int is a number of tokens, a float in (0, 1] a fraction of the prompt."""


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("must be odd, so that pooling is centred")
    return kernel


Kernel = Annotated[int, Field(ge=1), AfterValidator(_odd)]
"""Positions that a pooling joins: odd, so that its centre is the position itself."""

Pooling = Literal["max", "avg"]
Reduction = Literal["mean", "max", "sum"]
"""How a group of query heads becomes one KV head."""
