"""A transformers cache that really drops entries, and knows the position of those it keeps."""

from collections.abc import Callable, Sequence
from copy import copy

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from kvbook.engine.seen import Recent


def spare(entries: int) -> int:
    """Free places behind so many entries when they are copied to a new room: an eighth of them, and
    at least 16. So appending one token after the other seldom copies all entries."""
    return max(16, entries // 8)


class KVLayer(CacheLayerMixin):
    """One layer's entries.

    They stand in a room: a tensor that has free places behind them. A new entry is written into
    the first free place. Where an entry is dropped, those before it move one place towards the end,
    and a place at the start of the room becomes unused. Keys and values are parts of one tensor, so
    that both move at once. Rows of a batch may hold different numbers of entries: each row's
    padding is on its left.

    Attributes
    ----------
    keys, values : Tensor [batch, kv_heads, entries, head_dim]
        Views of what is held.
    pads : list of int
        Padding entries on the left of each row.
    columns : int
        Tokens that a row has read so far, padding included, whatever is left of them.
    """

    is_croppable = False

    def __init__(self):
        super().__init__()
        self.pads: list[int] = []
        self.columns = 0
        # [batch, 2, kv_heads, places, head_dim] of keys and values; [batch, heads or 1, places]
        self._room: tuple[Tensor, ...] = ()
        self._begin = self._count = 0  # of the room: where what it holds begins, and how many
        self._shared = False

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to prepare: `update` takes what comes first as it is."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Append entries, of the given positions ``[batch, new]``, and return all keys and values."""
        if not self.is_initialized:
            self._hold(key_states, value_states, positions[:, None])
            return self.keys, self.values
        held, new = self._count, key_states.shape[2]
        if self._begin + held + new > self.places:
            self._move(new)
        at = self._begin + held
        pair, places = self._room
        pair[:, 0].narrow(2, at, new).copy_(key_states)
        pair[:, 1].narrow(2, at, new).copy_(value_states)
        places.narrow(2, at, new).copy_(positions[:, None])
        self._look(self._begin, held + new)
        return self.keys, self.values

    def keep(self, kept: Sequence[Tensor | Recent | None]) -> None:
        """Keep only these entries of each row. If many are dropped, the kept ones are copied to a
        smaller room, and the memory of the old one is free. If few are dropped, the room stays.

        Parameters
        ----------
        kept : sequence of (LongTensor [kv_heads or 1, kept], Recent or None)
            By row: ascending indices that count from its first token, or all that is recent and
            some of what is before; None is all.
        """
        held = [self._count - pad for pad in self.pads]
        rows = [_as_recent(*pair) for pair in zip(kept, held, strict=True)]
        counts = [one.chosen + n - one.start for one, n in zip(rows, held, strict=True)]
        width, old, begin = max(counts), self._room, self._begin
        end = begin + self._count
        sets = [len(one.before) for one in rows if isinstance(one.before, Tensor)]
        heads = max([old[1].shape[1], *sets])
        wide = self.places > width + 2 * spare(width)
        moves = self._shared or wide or heads > old[1].shape[1]
        if moves:
            self._make_room(width + spare(width), heads)
            end, device = width, self.keys.device
            rows = [Recent(n, one.indices(n, device)) for one, n in zip(rows, held, strict=True)]
        for row, one in enumerate(rows):
            first, to = begin + self.pads[row], end - counts[row]
            pair, places = _words(self._room[0][row]), self._room[1][row]
            if one.chosen:
                entries, at = _take(_words(old[0][row]), old[1][row], first, one.before)
                pair.narrow(2, to, one.chosen).copy_(entries)
                places.narrow(1, to, one.chosen).copy_(at)
            if counts[row] < width:  # it has padding: finite, at no position
                pair[:, :, 0 if moves else first : to] = 0
                places[:, 0 if moves else first : to] = -1
        self.pads = [width - count for count in counts]
        self._look(end - width, width)

    def settle(self) -> None:
        """After a layer has attended, and its method has chosen: entries stay as they are here;
        `kvbook.engine.packed.PackedLayer` packs them."""

    def assign(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Hold exactly these entries of one sequence; shapes as of the attributes."""
        self.pads = [0]
        self._hold(keys, values, positions)

    def mirror(self, other: "KVLayer") -> None:
        """Hold the same tensors as another layer, until one of the two changes something in them.
        Only the other may write to the free places behind them."""
        self.is_initialized, self.pads = True, list(other.pads)
        self._room, self._shared, other._shared = other._held(), True, True
        self._look(0, other._count)

    def own(self) -> None:
        """Hold entries that no other layer looks at, so that they may be changed."""
        if self._shared:
            self._move(0)

    def __deepcopy__(self, memo: dict) -> "KVLayer":
        """A copy that looks at the same entries until one of the two changes them."""
        twin = copy(self)
        if self.is_initialized:
            twin.mirror(self)
        return twin

    def _hold(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Copy these, and nothing else, to a room without free places; each head's keys come in
        one piece, since attention reads them many times."""
        self.is_initialized = True
        self._room, self._shared = (torch.stack((keys, values), dim=1), positions.clone()), False
        self._look(0, keys.shape[2])

    def _make_room(self, places: int, heads: int) -> None:
        """New and empty; ``heads`` are those of the positions."""
        pair, positions = self._room
        self._room = (
            pair.new_empty(*pair.shape[:3], places, pair.shape[4]),
            positions.new_empty(len(positions), heads, places),
        )
        self._shared = False

    def _move(self, new: int) -> None:
        """Copy all to a room that takes ``new`` more."""
        old, entries = self._held(), self._count
        self._make_room(entries + new + spare(entries + new), old[1].shape[1])
        self._look(0, entries)
        for part, before in zip(self._held(), old, strict=True):
            part.copy_(before)

    def _held(self) -> tuple[Tensor, Tensor]:
        """What of the room is held: keys and values, and positions."""
        at, entries = self._begin, self._count
        return self._room[0].narrow(3, at, entries), self._room[1].narrow(2, at, entries)

    def _look(self, begin: int, entries: int) -> None:
        """What is held stands at these places of the room."""
        self._begin, self._count = begin, entries
        pair = self._room[0].narrow(3, begin, entries)
        self.keys, self.values = pair[:, 0], pair[:, 1]

    @property
    def places(self) -> int:
        """Places of the room: used ones and free ones."""
        return self._room[0].shape[3]

    @property
    def positions(self) -> Tensor | None:
        """LongTensor ``[batch, kv_heads or 1, entries]``: the position of every entry among the
        tokens that its row has read, from 0 (after a first pass: among the chosen ones); -1 for
        padding. None before there are any."""
        return self._held()[1] if self._room else None

    @property
    def entries(self) -> int:
        """Entries held now, padding of the batch included."""
        return self._count

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
            self._look(self._begin, self._count)

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


def _words(pair: Tensor) -> Tensor:
    """The same memory as words of 8 bytes, to copy it. The entries that one decoded token moves are
    so many numbers that torch would start a second thread, which takes longer than the copy; as
    words they are fewer."""
    size = pair.shape[-1] * pair.element_size()
    return pair.view(torch.int64) if size % 8 == 0 else pair


def _take(
    pair: Tensor, positions: Tensor, first: int, chosen: int | Tensor
) -> tuple[Tensor, Tensor]:
    """A copy of some of the keys and values ``[2, heads, places, head_dim]`` and of their positions
    ``[heads or 1, places]``. ``chosen`` is a number of places from ``first`` on, or indices
    ``[heads or 1, kept]`` that count from ``first``.

    If every head has its own indices, they are taken as rows of one flat table: several times
    faster than ``gather``.
    """
    if not isinstance(chosen, Tensor):
        return pair.narrow(2, first, chosen).clone(), positions.narrow(1, first, chosen).clone()
    heads, kept = chosen.shape
    if heads == 1:
        index = chosen[0] + first
        return pair.index_select(2, index), positions.index_select(1, index)
    places = pair.shape[2]
    starts = torch.arange(first, first + 2 * heads * places, places, device=chosen.device)
    flat = (starts.view(2, heads, 1) + chosen).flatten()
    entries = pair.flatten(0, 2).index_select(0, flat).view(2, heads, kept, -1)
    table = positions.expand(heads, -1).flatten()
    return entries, table.index_select(0, flat[: heads * kept]).view(heads, kept)


class KVCache(Cache):
    """The layers of one prompt and its continuation.

    Attributes
    ----------
    incoming : LongTensor [batch, new]
        Positions of the inputs that the next layer reads (-1: padding); set by the engine.
    open : bool
        False after the ``with`` block of the attach has ended.
    """

    _is_user_defined = True  # so generate never reads one token too many, to take it back later

    def __init__(self, layers: int, make_layer: Callable[[], KVLayer] = KVLayer):
        super().__init__(layers=[make_layer() for _ in range(layers)])
        self.incoming: Tensor | None = None
        self.open = True

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args, **kwargs):
        """Append to a layer; called by the model's own attention.

        Raises
        ------
        RuntimeError
            The cache is no longer open.
        """
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
