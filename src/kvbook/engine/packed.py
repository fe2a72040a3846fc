"""A layer of the cache whose entries are held in a few bits a number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kvbook.engine.cache import KVLayer
from kvbook.engine.quantize import Codes, quantize
from kvbook.engine.seen import Recent


@dataclass(frozen=True)
class Block:
    """Entries that were packed together, a whole number of groups.

    Attributes
    ----------
    keys : Codes [1, kv_heads, head_dim, entries]
        In groups of entries, each channel for itself: a key's channels have very different sizes,
        and those of one channel are alike (Liu et al., 2024, KIVI, section 3).
    values : Codes [1, kv_heads, entries, head_dim]
        In groups of channels, each entry for itself.
    positions : LongTensor [1, kv_heads or 1, entries]
        As of `KVLayer`.
    """

    keys: Codes
    values: Codes
    positions: Tensor


class PackedLayer(KVLayer):
    """A `KVLayer` of one sequence that packs its entries as soon as a group of them is full.

    While the layer attends, all entries stand unpacked in its room; then `settle` packs what fills
    groups, and only the newest, fewer than a group, stay as they are.

    Parameters
    ----------
    bits : int
        Bits of a packed number: 2, 4 or 8.
    group : int
        Entries that form a group, in each channel of the keys. In the values, channels of one entry
        form a group: as many as the greatest common divisor of ``group`` and ``head_dim``.
    """

    def __init__(self, bits: int, group: int):
        super().__init__()
        self.bits, self.group = bits, group
        self.blocks: tuple[Block, ...] = ()
        self._whole = True  # all stands in the room

    def update(
        self, key_states: Tensor, value_states: Tensor, *, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Append entries, and return all keys and values, unpacked."""
        self.unpack()
        return super().update(key_states, value_states, positions=positions)

    def settle(self) -> None:
        """Pack what fills groups and is not packed yet."""
        if not self._whole:
            return
        done, full = self._packed, self.entries // self.group * self.group
        keys, values, positions = self.keys, self.values, self.positions
        if full > done:
            part = values[:, :, done:full]
            block = Block(
                quantize(keys[:, :, done:full].mT, self.bits, self.group),
                quantize(part, self.bits, math.gcd(self.group, part.shape[-1])),
                positions[:, :, done:full].clone(),
            )
            self.blocks = (*self.blocks, block)
        self._hold(keys[:, :, full:], values[:, :, full:], positions[:, :, full:])
        self._whole = False

    def keep(self, kept: Sequence[Tensor | Recent | None]) -> None:
        """As of `KVLayer`; groups are formed anew of what stays."""
        self.unpack()
        self.blocks = ()
        super().keep(kept)

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self.blocks, self._whole = (), True

    def unpack(self) -> None:
        """Let everything stand in the room."""
        if not self._whole and self.blocks:
            keys = [block.keys.restore().mT for block in self.blocks]
            values = [block.values.restore() for block in self.blocks]
            self._hold(
                torch.cat((*keys, self.keys), dim=2),
                torch.cat((*values, self.values), dim=2),
                self.positions,
            )
        self._whole = True

    @property
    def _packed(self) -> int:
        """Entries that are packed."""
        return sum(block.positions.shape[2] for block in self.blocks)

    @property
    def entries(self) -> int:
        """Entries held now, packed or not."""
        return self._count + (0 if self._whole else self._packed)

    @property
    def positions(self) -> Tensor | None:
        """As of `KVLayer`."""
        rest = super().positions
        if self._whole or not self.blocks:
            return rest
        return torch.cat((*(block.positions for block in self.blocks), rest), dim=2)

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values held now. While a layer attends, the packed entries and
        their unpacked copy both count."""
        packed = sum(block.keys.nbytes + block.values.nbytes for block in self.blocks)
        return super().nbytes + packed
