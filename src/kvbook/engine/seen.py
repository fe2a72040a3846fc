"""What a method sees of one layer and one sequence, and what it may answer."""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Recent:
    """An answer in place of indices: all entries from ``start`` on stay, and some of those before.
    The layer then moves only these, and leaves the recent ones where they are.

    Attributes
    ----------
    start : int
        From this entry on all stay.
    before : int or LongTensor [kv_heads or 1, kept]
        Which entries before ``start`` stay: a number of them from the first on, or ascending
        indices.
    """

    start: int
    before: int | Tensor

    @property
    def chosen(self) -> int:
        """How many stay of those before."""
        return self.before.shape[1] if isinstance(self.before, Tensor) else self.before

    def indices(self, entries: int, device: torch.device | None = None) -> Tensor:
        """All that stays of so many entries, ``[kv_heads or 1, kept]``."""
        before, index = self.before, torch.arange(entries, device=device)[None]
        if not isinstance(before, Tensor):
            before = index[:, :before]
        recent = index[:, self.start :].expand(len(before), -1)
        return torch.cat((before, recent), dim=1)


@dataclass
class Seen:
    """What one layer shows a method of one sequence, after attention and before anything is
    dropped.

    Attributes
    ----------
    layer, layers : int
        This layer, from 0, and how many there are.
    prompt_length : int
        Tokens of the (first) prompt: what a fractional budget is a fraction of.
    input_length : int
        Tokens given so far: the prompt and the later turns, without what was generated.
    tokens_seen : int
        All tokens that the model has read by now, the newest inputs included; after a first pass,
        without those that it did not choose. A layer behind a ``pass_on`` has read fewer.
    queries : Tensor [heads, new, head_dim]
        Of the newest inputs, after RoPE.
    keys : Tensor [kv_heads, entries, head_dim]
        Of everything held, after RoPE; a view that may be written to.
    positions : LongTensor [kv_heads or 1, entries]
        The position of every entry among the tokens that were read, from 0: `KVLayer.positions`.
    scaling : float
        The factor on query-key products.
    inv_freq : Tensor [head_dim // 2]
        The model's RoPE frequencies.
    column_sums : Tensor [heads, entries] or None
        float32: attention received from the newest inputs; when the method asks for it.
    values : Tensor [kv_heads, entries, head_dim] or None
        Like ``keys``; a first pass has none.
    memory : dict
        What the method wants to remember of this layer and sequence; empty at the start of
        every prompt.
    shared : dict
        The same for all layers of the run; empty at the start of every prompt.
    notes : list of str
        The run's notes: a place to tell the user something.
    """

    layer: int
    layers: int
    prompt_length: int
    input_length: int
    tokens_seen: int
    queries: Tensor
    keys: Tensor
    positions: Tensor
    scaling: float
    inv_freq: Tensor
    column_sums: Tensor | None = None
    values: Tensor | None = None
    memory: dict = field(default_factory=dict)
    shared: dict = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """Entries the layer holds for this sequence."""
        return self.keys.shape[1]
