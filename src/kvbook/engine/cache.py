"""A transformers cache that really drops entries, and knows the position of those it keeps."""

from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from kvbook.engine.seen import Recent

NOTHING = 0, 0, -1
"""What padding holds of keys, values and positions."""


def spare(entries: int) -> int:
    """Places that are free behind so many entries when they move to a room of their own: an
    eighth, so that appending one token after the other seldom copies all."""
    return max(16, entries // 8)


class KVLayer(CacheLayerMixin):
    """One layer's entries.

    They stand in a room with free places behind them: to append writes there, and to drop moves
    what stands before the dropped ones up to their place, in the room; what is held begins later
    then. Rows of a batch may hold different numbers of entries: each row's padding is on its left.

    Attributes
    ----------
    keys, values : Tensor [batch, kv_heads, entries, head_dim]
        Views of what is held.
    pads : list of int
        Padding entries on the left of each row.
    """

    is_croppable = False

    def __init__(self):
        super().__init__()
        self.pads: list[int] = []
        self.columns = 0
        self._room: tuple[Tensor, ...] = ()  # keys, values and positions, with the free places
        self._begin = 0
        self._shared = False

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """There is something to hold now; the prompt's keys and values are taken as they are, with
        each head's in one piece: attention reads them many times."""
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Append entries, of the given positions ``[batch, new]``, and return all keys and values."""
        parts = key_states, value_states, positions[:, None]
        held, new = self.entries, key_states.shape[2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room = (key_states.contiguous(), value_states.contiguous(), parts[2].clone())
            self._look(0, new)
            return self.keys, self.values
        if self._begin + held + new > self._room[0].shape[2]:
            self._move((self.keys, self.values, self.positions), new)
        for room, part in zip(self._room, parts, strict=True):
            room.narrow(2, self._begin + held, new).copy_(part)
        self._look(self._begin, held + new)
        return self.keys, self.values

    def keep(self, kept: Sequence[Tensor | Recent | None]) -> None:
        """Keep only these entries of each row. The memory of the others is free when they were
        many; the places of a few are used again.

        Parameters
        ----------
        kept : sequence of (LongTensor [kv_heads or 1, kept], Recent or None)
            By row: ascending indices that count from its first token, or all that is recent and
            some of what is before; None is all.
        """
        held = [self.entries - pad for pad in self.pads]
        rows = [_as_recent(*pair) for pair in zip(kept, held, strict=True)]
        counts = [one.chosen + n - one.start for one, n in zip(rows, held, strict=True)]
        width, old, begin = max(counts), self._room, self._begin
        end = begin + self.entries
        sets = [len(one.before) for one in rows if isinstance(one.before, Tensor)]
        heads = max([old[2].shape[1], *sets])
        wide = old[0].shape[2] > width + 2 * spare(width)
        moves = self._shared or wide or heads > old[2].shape[1]
        if moves:
            self._make_room(old, width + spare(width), heads)
            end, device = width, self.keys.device
            rows = [Recent(n, one.indices(n, device)) for one, n in zip(rows, held, strict=True)]
        for row, one in enumerate(rows):
            first, to = begin + self.pads[row], end - counts[row]
            if one.chosen:
                parts = [room[row] for room in old]
                for room, part in zip(self._room, _take(parts, first, one.before), strict=True):
                    room[row].narrow(1, to, one.chosen).copy_(part)
            if counts[row] < width:  # it has padding
                for room, nothing in zip(self._room, NOTHING, strict=True):
                    room[row, :, 0 if moves else first : to] = nothing
        self.pads = [width - count for count in counts]
        self._look(end - width, width)

    def assign(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Hold exactly these entries of one sequence; shapes as of the attributes."""
        self._room, self.pads, self._shared = (keys, values, positions), [0], False
        self._look(0, keys.shape[2])

    def share(self) -> None:
        """Another layer holds the same tensors: copy them before anything is changed in them."""
        self._shared = True

    def own(self) -> None:
        """Hold entries that no other layer looks at, so that they may be changed."""
        if self._shared:
            self._move((self.keys, self.values, self.positions), 0)

    def __deepcopy__(self, memo: dict) -> "KVLayer":
        """A copy that looks at the same entries until one of the two changes them. Only this one
        may write to the free places behind them."""
        twin = copy(self)
        twin.pads = list(self.pads)
        if self.is_initialized:
            self.share()
            twin.share()
            twin._room = self.keys, self.values, self.positions
            twin._look(0, self.entries)
        return twin

    def _make_room(self, like: Sequence[Tensor], places: int, heads: int) -> None:
        """New and empty; ``heads`` are those of the positions."""
        keys, values, positions = like
        self._room = (
            *(one.new_empty(*one.shape[:2], places, one.shape[3]) for one in (keys, values)),
            positions.new_empty(len(positions), heads, places),
        )
        self._shared = False

    def _move(self, parts: tuple[Tensor, ...], new: int) -> None:
        """Copy these keys, values and positions to a room that takes ``new`` more."""
        entries = parts[0].shape[2]
        self._make_room(parts, entries + new + spare(entries + new), parts[2].shape[1])
        for room, part in zip(self._room, parts, strict=True):
            room.narrow(2, 0, entries).copy_(part)
        self._look(0, entries)

    def _look(self, begin: int, entries: int) -> None:
        """What is held stands at these places of the room."""
        self._begin = begin
        keys, values, _ = self._room
        self.keys, self.values = keys.narrow(2, begin, entries), values.narrow(2, begin, entries)

    @property
    def positions(self) -> Tensor | None:
        """LongTensor ``[batch, kv_heads or 1, entries]``: the position in its prompt of every
        entry, -1 for padding; None before there are any."""
        return self._room[2].narrow(2, self._begin, self.entries) if self._room else None

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
            self.pads = [self.pads[row] for row in rows.tolist()]
            self._room = tuple(room[rows] for room in self._room)
            self._shared = False
            self._look(self._begin, self.entries)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Rows follow their beams."""
        self._select_rows(beam_idx.to(self.keys.device))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows of the batch."""
        self._select_rows(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        self._select_rows(torch.arange(self.keys.shape[0]).repeat_interleave(repeats))


def _as_recent(kept: Tensor | Recent | None, held: int) -> Recent:
    """What stays of a row that holds so many entries."""
    if kept is None:
        return Recent(0, 0)
    return Recent(held, kept) if isinstance(kept, Tensor) else kept


def _take(parts: Sequence[Tensor], first: int, chosen: int | Tensor) -> list[Tensor]:
    """A copy of what stands in parts ``[heads or 1, places, ...]`` at ``chosen`` places behind
    ``first``: the next so many, or those of indices ``[heads or 1, kept]``.

    A set a head is taken as rows of one flat table: several times faster than ``gather``.
    """
    if not isinstance(chosen, Tensor):
        return [part.narrow(1, first, chosen).clone() for part in parts]
    heads, kept = chosen.shape
    if heads == 1:
        index = chosen[0] + first
        return [part.index_select(1, index) for part in parts]
    places = parts[0].shape[1]
    starts = torch.arange(first, first + heads * places, places, device=chosen.device)
    flat = (chosen + starts[:, None]).flatten()
    tables = [part.expand(heads, *part.shape[1:]).flatten(0, 1) for part in parts]
    return [table.index_select(0, flat).view(heads, kept, *table.shape[1:]) for table in tables]


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
