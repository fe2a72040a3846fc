"""What the engine knows: of one prompt (`PromptState`), and of one call of the model (`Forward`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import Cache

from kvbook.engine.cache import KVCache, KVLayer
from kvbook.engine.clock import Mark, between


@dataclass
class Forward:
    """One call of the model on its way through the layers; nothing of it outlives the call.

    Attributes
    ----------
    aside : list of (Mark, Mark)
        From when to when something else was done meanwhile (`kvbook.engine.run.Run.aside`).
    inputs : Tensor [batch, new] or [batch, new, hidden]
        The piece that the layers read now: token ids, or embeddings.
    pads : list of int
        Padding on the left of each row of the piece.
    position_ids : LongTensor [batch, new]
        For RoPE; 0 for padding.
    embeddings : tuple of Tensor or None
        RoPE's cosines and sines of what the next layer reads.
    passed_on : list of (LongTensor or None) or None
        By row, what the method lets go on to the next layer.
    first_pass : FirstPass or None
        The first pass over the prompt, while it is under way.
    """

    aside: list[tuple[Mark, Mark]] = field(default_factory=list)
    inputs: Tensor = field(default_factory=lambda: torch.empty(0))
    pads: list[int] = field(default_factory=list)
    position_ids: Tensor | None = None
    embeddings: tuple[Tensor, ...] | None = None
    passed_on: list[Tensor | None] | None = None
    first_pass: Any = None


@dataclass(frozen=True)
class Incoming:
    """What a checked call of the stack brings.

    Attributes
    ----------
    columns : int
        New columns, padding included.
    real : BoolTensor [batch, columns] or None
        Which of them are tokens; None when all are.
    lengths : list of int
        New tokens, by row.
    hidden : list of int
        By row, how many of the last tokens that were read before have to be forgotten, because the
        mask hides them; empty: none.
    fresh : bool
        A prompt begins.
    given : transformers.Cache or None
        The caller's cache.
    """

    columns: int
    real: Tensor | None
    lengths: list[int]
    hidden: list[int]
    fresh: bool
    given: Cache | None


@dataclass
class PromptState:
    """Everything that a run knows of one prompt and of what was read after it.

    Plain data: a copy of it is a snapshot, and a chat is saved by writing its fields.

    Attributes
    ----------
    cache : KVCache or None
        The entries; None before the first prompt.
    given : transformers.Cache or None
        The caller's own cache, if it gave an empty one: it holds the same layers.
    phase : {"prompt", "turn", "decode"}
        What the latest input was: the prompt, a later input of several tokens, or one decoded
        token.
    prompt_lengths : list of int
        Tokens of the (first) prompt, by row.
    input_lengths : list of int
        Tokens given so far, by row: the prompt and the later turns, without what was generated.
    read_lengths : list of int
        All tokens read so far, by row.
    read : LongTensor [batch] or None
        The same as a tensor on the device of the inputs, so that no decoded token waits for a copy
        from the host; None: not made yet.
    real : BoolTensor [batch, columns] or None
        Which of all columns read so far are tokens; None when all are.
    interrupted : bool
        A call ended in the middle of the layers, which no longer hold the same tokens: nothing
        goes on from here.
    chosen : LongTensor [batch, read] or None
        The prompt positions of the tokens that a first pass chose; -1 on the left of a shorter
        row. None: there was no first pass.
    memory : dict
        By (layer, row), what the method remembers of them: `Seen.memory`.
    shared : dict
        What the method remembers of the whole run: `Seen.shared`.
    kept_positions, layer_inputs, filter_layers, notes, kv_bytes_peak, prompt_bytes, prefill_seconds, decode_seconds, decode_tokens
        The record: see `kvbook.engine.run.Run`.
    unread : list of (phase, Mark, Mark, list)
        Calls whose time is not in the record yet: `read_clock`.
    layer_bytes : list of int
        Bytes of keys and values in each layer now.
    forward : Forward or None
        The call of the model that is under way.
    """

    cache: KVCache | None = None
    given: Cache | None = None
    phase: Literal["prompt", "turn", "decode"] = "prompt"
    prompt_lengths: list[int] = field(default_factory=list)
    input_lengths: list[int] = field(default_factory=list)
    read_lengths: list[int] = field(default_factory=list)
    read: Tensor | None = None
    real: Tensor | None = None
    interrupted: bool = False
    chosen: Tensor | None = None
    memory: dict[tuple[int, int], dict] = field(default_factory=dict)
    shared: dict = field(default_factory=dict)
    kept_positions: list[Tensor] = field(default_factory=list)
    layer_inputs: list[Tensor] = field(default_factory=list)
    filter_layers: int = 0
    notes: list[str] = field(default_factory=list)
    kv_bytes_peak: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    decode_tokens: int = 0
    unread: list[tuple] = field(default_factory=list)
    layer_bytes: list[int] = field(default_factory=list)
    prompt_bytes: int = 0
    forward: Forward | None = None

    @classmethod
    def of_prompt(
        cls,
        lengths: list[int],
        layers: int,
        given: Cache | None = None,
        make_layer: Callable[[], KVLayer] = KVLayer,
    ) -> "PromptState":
        """The state before a prompt of so many tokens a row is read.

        Parameters
        ----------
        given : transformers.Cache, optional
            An empty cache of the caller's: it fills as the caller expects.
        make_layer : callable
            What holds the entries of a layer.
        """
        cache = KVCache(layers, make_layer)
        if given is not None:
            given.layers = cache.layers
        return cls(
            cache=cache,
            given=given,
            prompt_lengths=list(lengths),
            input_lengths=list(lengths),
            read_lengths=[0] * len(lengths),
            layer_bytes=[0] * layers,
        )

    def go_on(self, lengths: list[int], columns: int) -> None:
        """A later input comes, of so many tokens a row and so many columns."""
        self.phase = "decode" if columns == 1 else "turn"
        if self.phase == "turn":
            self.input_lengths = [
                given + new for given, new in zip(self.input_lengths, lengths, strict=True)
            ]

    def read_on(self, device: torch.device) -> Tensor:
        """`read` on a device."""
        if self.read is None or self.read.device != device:
            self.read = torch.tensor(self.read_lengths, device=device)
        return self.read

    def add_columns(self, real: Tensor | None, columns: int) -> None:
        """Note which of the columns that come now are tokens; None: all."""
        if real is None and self.real is None:
            return
        if real is None:
            real = self.real.new_ones(len(self.read_lengths), columns)
        self.real = torch.cat((self.real_so_far(real.device), real), dim=1)

    def real_so_far(self, device: torch.device) -> Tensor:
        """`real` on a device, and also where all columns are tokens."""
        if self.real is not None:
            return self.real.to(device)
        shape = len(self.read_lengths), self.cache.get_seq_length()
        return torch.ones(shape, dtype=torch.bool, device=device)

    def remembered(self, layer: int, row: int = 0) -> dict:
        """What the method remembers of a layer and a sequence; empty at first."""
        return self.memory.setdefault((layer, row), {})

    def count_call(self, first: Mark, last: Mark, aside: Sequence[tuple[Mark, Mark]]) -> None:
        """Note when a call of the model began and ended, and what was done aside meanwhile."""
        self.decode_tokens += self.phase == "decode"
        self.unread.append((self.phase, first, last, list(aside)))
        if isinstance(first, float):  # nothing has to be waited for
            self.read_clock()

    def read_clock(self) -> None:
        """Add the times of all calls so far to `prefill_seconds` and `decode_seconds`."""
        for phase, first, last, aside in self.unread:
            seconds = between(first, last) - sum(between(*one) for one in aside)
            if phase == "decode":
                self.decode_seconds += seconds
            else:
                self.prefill_seconds += seconds
        self.unread = []

    def count_bytes(self, layer: int) -> None:
        """Note what a layer holds now, for the peak."""
        self.layer_bytes[layer] = self.cache.layers[layer].nbytes
        self.kv_bytes_peak = max(self.kv_bytes_peak, sum(self.layer_bytes))

    def note_inputs(self, layer: int) -> None:
        """Note what a layer reads of the prompt."""
        read = self.in_prompt(self.cache.incoming[:, None])[:, 0]
        if layer < len(self.layer_inputs):  # a later chunk
            self.layer_inputs[layer] = torch.cat((self.layer_inputs[layer], read), dim=1)
        else:
            self.layer_inputs.append(read)

    def in_prompt(self, positions: Tensor) -> Tensor:
        """Positions of the cache ``[batch, heads, entries]`` as positions in the prompt."""
        if self.chosen is None:
            return positions
        missing = (self.chosen < 0).sum(1)[:, None, None]
        index = (positions + missing).clamp(min=0)
        chosen = self.chosen[:, None].expand(-1, positions.shape[1], -1).gather(2, index)
        return chosen.masked_fill(positions < 0, -1)
