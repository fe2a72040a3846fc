"""Numbers and caches in a few bits, one number after the other in float64: independent of the engine.

Nothing here calls `kvbook` but its other naive arithmetic.
"""

import math
import struct

import torch

from kvbook.laws.naive import Naive, rope


def half(number):
    """The number of float16 that is next to it."""
    return struct.unpack("e", struct.pack("e", number))[0]


def rounded(numbers, bits):
    """One group: each number as the nearest of ``2**bits`` values from the smallest one on."""
    most = 2**bits - 1
    low = half(min(numbers))
    step = half((max(numbers) - low) / most)
    if step <= 0:  # all are alike
        return [low for _ in numbers]
    return [low + step * min(max(round((one - low) / step), 0), most) for one in numbers]


def rounded_in_groups(numbers, bits, group):
    """A list, by groups of neighbours."""
    starts = range(0, len(numbers), group)
    return [one for at in starts for one in rounded(numbers[at : at + group], bits)]


class NaiveQuantized(Naive):
    """What `Naive` keeps, rounded as soon as ``group`` entries are there; each of them once."""

    def __init__(self, model, policy=None, *, bits, group):
        super().__init__(model, policy)
        self.bits, self.group = bits, group
        self.done = {}

    def forward(self, tokens, drop, pass_on=None):
        logits = super().forward(tokens, drop, pass_on)
        for layer, heads in enumerate(self.layers):
            full = len(heads[0]) // self.group * self.group
            for start in range(self.done.get(layer, 0), full, self.group):
                for head in heads:
                    head[start : start + self.group] = self.packed(head[start : start + self.group])
            self.done[layer] = full
        return logits

    def packed(self, entries):
        """A group of entries: keys, after RoPE, by channel, and values by entry."""
        keys = [rope(key, position, self.inv_freq).tolist() for position, key, _ in entries]
        channels = [rounded(list(channel), self.bits) for channel in zip(*keys, strict=True)]
        keys = torch.tensor(channels, dtype=torch.float64).T
        part = math.gcd(self.group, keys.shape[1])
        values = [rounded_in_groups(value.tolist(), self.bits, part) for _, _, value in entries]
        return [
            (
                position,
                rope(key, -position, self.inv_freq),
                torch.tensor(value, dtype=torch.float64),
            )
            for (position, _, _), key, value in zip(entries, keys, values, strict=True)
        ]
