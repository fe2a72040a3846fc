"""Numbers in a few bits each, group by group: the smallest of a group, and steps from there."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Codes:
    """Numbers ``[..., n]`` as codes of ``bits`` bits, in groups along the last axis.

    Attributes
    ----------
    packed : Tensor [..., groups, group * bits / 8]
        uint8: ``8 / bits`` codes a byte, the first in the lowest bits.
    low, step : Tensor [..., groups, 1]
        float16: the smallest number of each group, and the step from one code to the next.
    bits : int
        2, 4 or 8.
    dtype : torch.dtype
        Of the numbers.
    """

    packed: Tensor
    low: Tensor
    step: Tensor
    bits: int
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the codes, and of the smallest numbers and steps."""
        return self.packed.nbytes + self.low.nbytes + self.step.nbytes

    def restore(self) -> Tensor:
        """The numbers ``[..., n]``. Each is within half a step of what it was. Two roundings add to
        this error: that of the group's smallest number to float16, and that of the result to
        ``dtype``."""
        shifts = torch.arange(0, 8, self.bits, device=self.packed.device)
        codes = (self.packed[..., None].int() >> shifts) & (2**self.bits - 1)
        numbers = codes.flatten(-2).float() * self.step.float() + self.low.float()
        return numbers.flatten(-2).to(self.dtype)


def quantize(numbers: Tensor, bits: int, group: int) -> Codes:
    """Round every number to one of ``2**bits`` values, evenly spaced between the smallest and the
    largest number of its group.

    Parameters
    ----------
    numbers : Tensor [..., n]
        ``group`` divides ``n``; no number is beyond what float16 holds, 65,504.
    bits : int
        2, 4 or 8.
    group : int
        Numbers side by side on the last axis that share a smallest number and a step. In a smaller
        group the steps are finer; but each group costs two float16 numbers, 4 bytes.
    """
    groups = numbers.float().unflatten(-1, (-1, group))
    low, high = groups.amin(-1, keepdim=True).half(), groups.amax(-1, keepdim=True)
    step = ((high - low.float()) / (2**bits - 1)).half()
    codes = ((groups - low.float()) / step.float().clamp(min=1e-8)).round().clamp(0, 2**bits - 1)
    shifts = torch.arange(0, 8, bits, device=numbers.device)
    places = codes.int().unflatten(-1, (-1, len(shifts))) << shifts
    return Codes(places.sum(-1).to(torch.uint8), low, step, bits, numbers.dtype)
