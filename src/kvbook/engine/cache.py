"""A transformers cache that really drops entries, and knows the position of those it keeps."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


def gather_rows(tensor: Tensor, indices: Tensor) -> Tensor:
    """``tensor [batch, heads, entries, d]`` at ``indices [batch, heads or 1, kept]``; -1 takes entry 0."""
    batch, heads, _, dim = tensor.shape
    if indices.shape[:2] == (1, 1):  # one set for all heads: the same, and quicker
        return tensor.index_select(2, indices[0, 0].clamp(min=0))
    indices = indices.clamp(min=0)[..., None].expand(batch, heads, -1, dim)
    return tensor.gather(2, indices)


class KVLayer(CacheLayerMixin):
    """One layer's entries.

    Rows of a batch may hold different numbers of entries: each row's padding is on its left.

    Attributes
    ----------
    keys, values : Tensor [batch, kv_heads, entries, head_dim]
        Views of what is held.
    positions : LongTensor [batch, kv_heads or 1, entries]
        The position in its prompt of every entry; -1 for padding.
    pads : list of int
        Padding entries on the left of each row.
    """

    is_croppable = False

    def __init__(self):
        super().__init__()
        self.positions: Tensor | None = None
        self.pads: list[int] = []
        self.columns = 0
        self._room: tuple[Tensor, Tensor] | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take the prompt's keys and values, each head's in one piece: attention reads them many
        times."""
        self.keys, self.values = key_states.contiguous(), value_states.contiguous()
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Append entries, of the given positions ``[batch, new]``, and return all keys and values."""
        positions = positions[:, None]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.positions = positions
            return self.keys, self.values
        self._append(key_states, value_states)
        heads = self.positions.shape[1]
        self.positions = torch.cat((self.positions, positions.expand(-1, heads, -1)), dim=-1)
        return self.keys, self.values

    def _append(self, key_states: Tensor, value_states: Tensor) -> None:
        """Write behind the last entry; when there is no room, move once to a buffer with an
        eighth more.

        Growing by concatenation would copy the whole cache for every token.
        """
        held, new = self.keys.shape[2], key_states.shape[2]
        if self._room is None or self._room[0].shape[2] < held + new:
            batch, heads, _, dim = self.keys.shape
            size = held + new + max(16, (held + new) // 8)
            room = tuple(self.keys.new_empty(batch, heads, size, dim) for _ in range(2))
            room[0][:, :, :held] = self.keys
            room[1][:, :, :held] = self.values
            self._room = room
        keys, values = self._room
        keys[:, :, held : held + new] = key_states
        values[:, :, held : held + new] = value_states
        self.keys, self.values = keys[:, :, : held + new], values[:, :, : held + new]

    def keep(self, indices: Tensor, pads: Sequence[int]) -> None:
        """Keep only these entries; the memory of the others is free as soon as nobody else
        holds it.

        Parameters
        ----------
        indices : LongTensor [batch, kv_heads or 1, kept]
            Ascending; -1 on the left of a row that keeps fewer.
        pads : sequence of int
            How many -1 each row has.
        """
        self.keys, self.values = gather_rows(self.keys, indices), gather_rows(self.values, indices)
        heads = max(self.positions.shape[1], indices.shape[1])
        positions = gather_rows(self.positions.expand(-1, heads, -1)[..., None], indices)[..., 0]
        self.positions = positions.masked_fill(indices < 0, -1)
        self.pads = list(pads)
        self._room = None

    def assign(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Hold exactly these entries of one sequence; shapes as of the attributes."""
        self.keys, self.values, self.positions = keys, values, positions
        self.pads, self._room = [0], None

    @property
    def entries(self) -> int:
        """Entries held now, padding of the batch included."""
        return self.keys.shape[2] if self.is_initialized else 0

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values held now."""
        return self.keys.nbytes + self.values.nbytes if self.is_initialized else 0

    def get_seq_length(self) -> int:
        """The logical length: all tokens that were read, whatever is left of them."""
        return self.columns

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """The physical length, and no offset."""
        return self.entries + query_length, 0

    def get_max_length(self) -> int:
        """-1: a method bounds the layer, the layer itself has no limit."""
        return -1

    def reset(self) -> None:
        """Forget everything."""
        KVLayer.__init__(self)

    def _select_rows(self, rows: Tensor) -> None:
        if self.is_initialized:
            self.keys, self.values = self.keys[rows], self.values[rows]
            self.positions, self._room = self.positions[rows], None
            self.pads = [self.pads[row] for row in rows.tolist()]

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Rows follow their beams."""
        self._select_rows(beam_idx.to(self.keys.device))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows of the batch."""
        self._select_rows(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        self._select_rows(torch.arange(self.keys.shape[0]).repeat_interleave(repeats))


class KVCache(Cache):
    """The layers of one prompt and its continuation.

    Attributes
    ----------
    incoming : LongTensor [batch, new]
        Positions of the inputs that the next layer reads (-1: padding); set by the run.
    """

    def __init__(self, layers: int):
        super().__init__(layers=[KVLayer() for _ in range(layers)])
        self.incoming: Tensor | None = None
        self.open = True

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args, **kwargs):
        """Append to a layer; called by the model's own attention."""
        if not self.open:
            raise RuntimeError(
                "this cache belongs to a `with method.attach(model)` block that has ended; "
                "start the conversation anew, or do all turns inside one block"
            )
        return self.layers[layer_idx].update(key_states, value_states, positions=self.incoming)

    def advance(self, columns: int) -> None:
        """Note that the model has read ``columns`` more tokens."""
        for layer in self.layers:
            layer.columns += columns

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values held now."""
        return sum(layer.nbytes for layer in self.layers)
