"""What a parameter may be, for methods, chapters and trainings alike."""

from typing import Annotated

from pydantic import AfterValidator, Field

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Budget = Count | Annotated[float, Field(gt=0, le=1)]
"""An int is a number of tokens, a float in (0, 1] a fraction of the prompt."""


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("must be odd, so that pooling is centred")
    return kernel


Kernel = Annotated[int, Field(ge=1), AfterValidator(_odd)]
"""Width of a pooling."""
