"""Wire a method into a model's forward, and take it out again.

``attach`` uses three public places of transformers and PyTorch, and nothing else: an
attention function of our own under a name in ``config._attn_implementation`` (it sees
queries and keys after RoPE, so nothing is computed twice), forward hooks, and a `Cache`
subclass. All are removed when the ``with`` block ends.

A method is any object that defines one or more of these; each sees one sequence of one
layer (`Seen`), without
padding, so that a row of a batch gives what it gives alone:

``keep(seen) -> LongTensor | None``
    After a layer has read (a chunk of) the prompt: ascending indices ``[kv_heads or 1,
    kept]`` into its entries.
``evict(seen) -> LongTensor | None``
    The same after every later input: a decoded token, or the next turn of a chat.
``pass_on(seen) -> LongTensor | None``
    Ascending indices ``[kept]`` of the prompt's inputs that go on to the next layer, the
    last one included.
``first_pass(layers, prompt_length) -> int | None``, ``choose(seen) -> LongTensor``
    A first pass over the prompt, up to the queries and keys of this layer and without a
    cache; then the indices ``[kept]`` of the prompt's tokens that the model reads, the last
    one included. ``None``: no first pass is needed.
``chunk : int | None``
    Read the prompt this many tokens at a time.
``column_sums : bool``
    Also measure how much attention every entry received (``seen.column_sums``).

``after_forward(run)``
    After an input (or a chunk of it) has gone through all layers. The run then knows the
    token ids that were read; one sequence at a time.

``None`` from a hook means "all".
"""

import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, Cache
from transformers.generation import GenerationMode

from kvbook.engine.attention import attend, attend_and_sum
from kvbook.engine.cache import KVCache, KVLayer
from kvbook.errors import UnsupportedError

ARCHITECTURES = ("llama", "qwen2", "qwen3", "mistral")
"""Model types whose attention the engine knows: RoPE in the half-split layout, grouped KV heads."""

_attached: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()


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
        All tokens that the layer has read by now.
    queries : Tensor [heads, new, head_dim]
        Of the newest inputs, after RoPE.
    keys : Tensor [kv_heads, entries, head_dim]
        Of everything held, after RoPE; a view that may be written to.
    positions : LongTensor [kv_heads or 1, entries]
        The prompt position of every entry.
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


class Run:
    """The record of what happens under one ``attach``; it describes the latest prompt.

    Attributes
    ----------
    kept_positions : list of LongTensor [batch, kv_heads, kept]
        Per layer, the prompt positions that the prefill left; -1 on the left of a row of a
        batch that keeps fewer.
    layer_inputs : list of LongTensor [batch, read]
        Per layer, the prompt positions that it read in the prefill; -1 for padding.
    filter_layers : int
        Layers that a first pass took the whole prompt through, before the prefill.
    notes : list of str
        What the method wants to tell, such as a parameter that it had to change.
    kv_bytes_peak : int
        Most bytes of keys and values at any moment of the run.
    prefill_seconds, decode_seconds : float
        Time in the model's forward for inputs of several tokens, and for single decoded tokens.
    decode_tokens : int
        Tokens decoded, per sequence. The first token of an answer comes from the prefill
        and is not counted.
    ids : list of int
        The tokens read so far, of a method with ``after_forward``.
    shared : dict
        What such a method remembers of the sequence.
    summaries : list
        Of SummaryKV: every `kvbook.methods.summarykv.Summary`, in order.
    cache : KVCache or None
        What holds the entries: pass it as ``past_key_values`` to continue with the next
        turn of a chat.
    """

    def __init__(self, method, model: nn.Module):
        self.method = method
        self.model = model
        self._base = model.base_model
        self._layers = self._base.layers
        self._kv_heads = model.config.num_key_value_heads
        self._inner = False
        self._grad = True
        self._aside_seconds = 0.0
        self.cache: KVCache | None = None
        self._given: Cache | None = None
        self._clear()

    def _clear(self) -> None:
        self.kept_positions: list[Tensor] = []
        self.layer_inputs: list[Tensor] = []
        self.filter_layers = 0
        self.notes: list[str] = []
        self.kv_bytes_peak = 0
        self.prefill_seconds = self.decode_seconds = 0.0
        self.decode_tokens = 0
        self._bytes = [0] * len(self._layers)
        self._memory: dict[tuple[int, int], dict] = {}
        self._origin: Tensor | None = None
        self._phase = "prompt"
        self._prompt: list[int] = []
        self._input: list[int] = []
        self._read: list[int] = []
        self.shared: dict = {}
        self.ids: list[int] = []
        self.summaries: list = []

    @property
    def kv_lengths(self) -> list[int]:
        """Entries that each layer holds now, per KV head (in a batch: of its fullest row)."""
        return (
            [layer.entries for layer in self.cache.layers]
            if self.cache
            else [0] * len(self._layers)
        )

    @property
    def tokens_seen(self) -> int:
        """Tokens that the first row has read so far."""
        return self._read[0]

    @property
    def inv_freq(self) -> Tensor:
        """The model's RoPE frequencies, ``[head_dim // 2]``."""
        return self._base.rotary_emb.inv_freq

    @property
    def kv_bytes(self) -> int:
        """Bytes of the keys and values held now, from the real tensors."""
        return self.cache.nbytes if self.cache else 0

    # ---- the whole model: time, and no gradients -------------------------------------------------------------

    def _before_model(self, model, args, kwargs):
        self._grad = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        self._started, self._aside_seconds = self._now(), 0.0

    def _after_model(self, model, args, output):
        torch.set_grad_enabled(self._grad)
        seconds = self._now() - self._started - self._aside_seconds
        if self._phase == "decode":
            self.decode_seconds += seconds
            self.decode_tokens += 1
        else:
            self.prefill_seconds += seconds

    def _now(self) -> float:
        if self._base.device.type == "cuda":
            torch.cuda.synchronize(self._base.device)
        return time.perf_counter()

    # ---- the stack of layers: which tokens it reads, at which positions ----------------------------------------

    def _before_base(self, base, args, kwargs):
        if self._inner:  # a chunk that we asked for ourselves
            return None
        kwargs = dict(
            kwargs, **dict(zip(("input_ids", "attention_mask", "position_ids"), args, strict=False))
        )
        name = "input_ids" if kwargs.get("input_ids") is not None else "inputs_embeds"
        inputs = kwargs[name]
        batch, columns = inputs.shape[:2]
        self._refuse_call(kwargs)
        cache = kwargs.get("past_key_values")
        if cache is not None and not isinstance(cache, Cache):
            raise UnsupportedError(
                f"past_key_values is a {type(cache).__name__}: give `run.cache`, another Cache of "
                "transformers that is empty, or none"
            )
        fresh = cache is None or cache.get_seq_length() == 0
        if not fresh and cache is not self.cache and cache is not self._given:
            raise UnsupportedError(
                "this past_key_values was not made by the latest prompt under this attach; "
                "pass `run.cache`, or none to start anew"
            )
        real = self._real_columns(kwargs.get("attention_mask"), batch, columns)
        lengths = [columns] * batch if real is None else real.sum(1).tolist()
        if hasattr(self.method, "after_forward") and (batch > 1 or name != "input_ids"):
            raise UnsupportedError(
                f"{self.method.name} looks back at the words of one conversation: give it one "
                f"sequence of input_ids at a time, not {batch}"
                + (" of inputs_embeds" if name != "input_ids" else "")
            )
        if fresh:
            if min(lengths) == 0:
                raise UnsupportedError(
                    "a prompt of the batch is empty: give every row at least one token"
                )
            self._begin(lengths, cache)
            self._check_positions(kwargs.get("position_ids"), real)
        else:
            self._phase = "decode" if columns == 1 else "turn"
            if self._phase == "turn":
                self._input = [given + new for given, new in zip(self._input, lengths, strict=True)]
        self._columns = columns
        if fresh and hasattr(self.method, "first_pass"):
            inputs, real = self._first_pass(inputs, real)
        kwargs.update(past_key_values=self.cache, attention_mask=None, use_cache=True)
        *chunks, last = self._passes(inputs, real)
        self._inner = True
        try:
            for part, part_real in chunks:
                self._prepare(part, part_real)
                base(**kwargs | {name: part, "position_ids": self._position_ids})
                self._look_back(part)
        finally:
            self._inner = False
        self._prepare(*last)
        self._last = last[0]
        return (), kwargs | {name: last[0], "position_ids": self._position_ids}

    def _after_base(self, base, args, output):
        if self._inner or output is None:  # a chunk, or the forward raised
            return
        self.cache.advance(self._columns)
        self._look_back(self._last)
        if self._phase == "prompt":
            self.kept_positions = [
                self._original(layer.positions).expand(-1, self._kv_heads, -1).clone()
                for layer in self.cache.layers
            ]

    def _look_back(self, inputs: Tensor) -> None:
        """Let the method act on what all layers have read."""
        if hasattr(self.method, "after_forward"):
            self.ids += inputs[0].tolist()
            self.method.after_forward(self)

    @contextmanager
    def aside(self, method=None) -> Iterator[None]:
        """Within it the model runs with another method (none given: everything is kept) and no
        state of this run; the run then goes on as if nothing had happened. Its time is not
        the prefill's or the decode's; its memory counts for the peak."""
        before, started = dict(vars(self)), self._now()
        self._clear()
        self.method, self.cache, self._inner = method or _Everything, None, False
        try:
            yield
        finally:
            peak = self.kv_bytes_peak
            vars(self).clear()
            vars(self).update(before)
            self.kv_bytes_peak = max(self.kv_bytes_peak, self.kv_bytes + peak)
            self._aside_seconds += self._now() - started

    def read_aside(self, ids: list[int], before: list[tuple[Tensor, Tensor]]) -> list[KVLayer]:
        """The layers' entries of ``ids``, read directly after given entries.

        Parameters
        ----------
        ids : list of int
            At least one token.
        before : list of (Tensor, Tensor)
            Per layer keys and values ``[1, kv_heads, entries, head_dim]`` of the entries that
            come before, at positions 0, 1, ...; may have none.
        """
        device = self._base.device
        with self.aside():
            held = before[0][0].shape[2]
            if held:
                self._begin([held], None)
                self._read = [held]
                positions = torch.arange(held, device=device)[None]
                for layer, (keys, values) in zip(self.cache.layers, before, strict=True):
                    layer.update(keys, values, positions=positions)
                    layer.pads, layer.columns = [0], held
            self._base(input_ids=torch.tensor([ids], device=device), past_key_values=self.cache)
            made = self.cache.layers
            for layer in made:
                layer.keep(torch.arange(held, layer.entries, device=device)[None, None], [0])
        return made

    def snapshot(self) -> dict:
        """A copy of everything that this run holds, for `restore`."""
        return deepcopy({name: one for name, one in vars(self).items() if name not in _FIXED})

    def restore(self, snapshot: dict) -> None:
        """Go back to a `snapshot`; go on with ``past_key_values=run.cache``, which is a new one."""
        vars(self).update(deepcopy(snapshot))

    def memory(self, layer: int, row: int = 0) -> dict:
        """What the method remembers of a layer and a sequence: `Seen.memory`."""
        return self._memory.setdefault((layer, row), {})

    def _begin(self, lengths: list[int], given) -> None:
        self._clear()
        self.cache = KVCache(len(self._layers))
        self._given = given
        if given is not None:  # an empty cache of the caller's: it fills as the caller expects
            given.layers = self.cache.layers
        self._prompt = list(lengths)
        self._input = list(lengths)
        self._read = [0] * len(lengths)

    def _refuse_call(self, kwargs: dict) -> None:
        if kwargs.get("use_cache") is False:
            raise UnsupportedError(
                "use_cache=False: a method lives in the KV cache; leave use_cache at its default"
            )
        if kwargs.get("output_attentions"):
            raise UnsupportedError(
                "output_attentions=True: the attention matrix is never built whole under attach"
            )
        mask = kwargs.get("attention_mask")
        if mask is not None and (not isinstance(mask, Tensor) or mask.ndim != 2):
            raise UnsupportedError(
                "attention_mask must be [batch, tokens] with 1 for tokens and 0 for padding"
            )

    def _real_columns(self, mask: Tensor | None, batch: int, columns: int) -> Tensor | None:
        """Which of the new columns are tokens ``[batch, columns]``; None when all are."""
        if mask is None:
            return None
        real = mask[:, -columns:].bool()
        if real.shape != (batch, columns):
            raise UnsupportedError(
                f"attention_mask {tuple(mask.shape)} does not cover the {columns} new tokens"
            )
        if real.all():
            return None
        if (real[:, 1:] < real[:, :-1]).any():
            raise UnsupportedError(
                "padding must be on the left: set tokenizer.padding_side = 'left'"
            )
        return real

    def _check_positions(self, given: Tensor | None, real: Tensor | None) -> None:
        """Positions belong to the engine; a prompt with positions of its own would be read wrongly."""
        if given is None:
            return
        gaps = given[..., 1:] - given[..., :-1] != 1
        if (gaps if real is None else gaps & real[:, :-1]).any():
            raise UnsupportedError(
                "position_ids of your own are not supported under attach: leave them out"
            )

    def _first_pass(self, inputs: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Run the shallow layers once without a cache, and keep the tokens that the method chooses."""
        count = len(self._layers)
        at = [self.method.first_pass(count, tokens) for tokens in self._prompt]
        if all(layer is None for layer in at):
            return inputs, real
        last = max(layer for layer in at if layer is not None)
        self._phase = "scan"
        self._prepare(inputs, real)
        hidden = self._base.embed_tokens(inputs) if inputs.ndim == 2 else inputs
        embeddings = self._base.rotary_emb(hidden, self._position_ids)
        self._chosen: list[Tensor] = []
        self._scan_last = last
        try:
            for layer in self._layers[: last + 1]:
                hidden = layer(hidden, position_embeddings=embeddings)
        except _Chosen:  # the rest of the layer is not needed
            pass
        self.filter_layers = last + 1
        self._phase = "prompt"
        self._read = [0] * len(self._prompt)
        columns, missing = _stack_left([chosen[None] for chosen in self._chosen])
        columns = columns[:, 0]
        starts = torch.tensor(self._new_pads, device=inputs.device)[:, None]
        self._origin = columns
        index = (columns + starts).clamp(min=0)
        chosen = inputs.gather(
            1, index if inputs.ndim == 2 else index[..., None].expand(-1, -1, inputs.shape[-1])
        )
        return chosen, None if not any(missing) else columns >= 0

    def _passes(self, inputs: Tensor, real: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
        """The input in one piece, or in the method's chunks, each row's counted from its own first token."""
        chunk = getattr(self.method, "chunk", None)
        batch, columns = inputs.shape[:2]
        lengths = torch.tensor([columns] * batch) if real is None else real.sum(1).cpu()
        if chunk is None or int(lengths.max()) <= chunk:
            return [(inputs, real)]
        pieces = -(-lengths // chunk)
        passes = []
        for back in range(
            int(pieces.max()), 0, -1
        ):  # rows with fewer chunks join later: all end together
            start = (pieces - back) * chunk
            size = (lengths - start).clamp(max=chunk).where(start >= 0, torch.tensor(0))
            width = int(size.max())
            step = torch.arange(width)[None] - (width - size)[:, None]
            token = (columns - lengths + start)[:, None] + step
            there = step >= 0
            index = token.where(there, torch.tensor(0)).to(inputs.device)
            rows = torch.arange(batch, device=inputs.device)[:, None]
            passes.append((inputs[rows, index], None if there.all() else there.to(inputs.device)))
        return passes

    def _prepare(self, inputs: Tensor, real: Tensor | None) -> None:
        """Positions and padding of the tokens that the model reads next."""
        batch, columns = inputs.shape[:2]
        start = torch.tensor(self._read, device=inputs.device)[:, None]
        if real is None:
            positions = start + torch.arange(columns, device=inputs.device)
            new = [columns] * batch
        else:
            positions = (start + real.cumsum(1) - 1).masked_fill(~real, -1)
            new = real.sum(1).tolist()
        self._real = real
        self._new_pads = [columns - count for count in new]
        self._read = [read + count for read, count in zip(self._read, new, strict=True)]
        self._position_ids = positions.clamp(min=0)
        self._embeddings: tuple[Tensor, ...] | None = None
        self._next: list[Tensor] | None = None
        if self.cache is not None:
            self.cache.incoming = positions

    def _original(self, positions: Tensor) -> Tensor:
        """Cache positions ``[batch, heads, entries]`` as positions in the prompt."""
        if self._origin is None:
            return positions
        missing = (self._origin < 0).sum(1)[:, None, None]
        index = (positions + missing).clamp(min=0)
        origin = self._origin[:, None].expand(-1, positions.shape[1], -1).gather(2, index)
        return origin.masked_fill(positions < 0, -1)

    # ---- one layer -----------------------------------------------------------------------------------------

    def attention(
        self, module, query, key, value, attention_mask=None, scaling=None, dropout=0.0, **kwargs
    ):
        """The attention function that the model calls: attend, let the method measure, drop at once."""
        scaling = module.scaling if scaling is None else scaling
        if self._phase == "scan":
            if module.layer_idx == self._scan_last:
                for row, pad in enumerate(self._new_pads):
                    seen = self._seen(module, row, query, key[row, :, pad:], scaling)
                    self._chosen.append(self.method.choose(seen))
                raise _Chosen
            return attend(query, key, value, scaling, self._real).transpose(1, 2), None
        layer: KVLayer = self.cache.layers[module.layer_idx]
        valid = self._valid(layer, query)
        sums = None
        if getattr(self.method, "column_sums", False):
            output, sums = attend_and_sum(query, key, value, scaling, valid)
        else:
            output = attend(query, key, value, scaling, valid)
        self._count(layer, module.layer_idx)
        self._settle(layer)
        if sums is not None and valid is not None:
            sums = [sums[row][:, valid[row]] for row in range(len(sums))]
        prompt = self._phase == "prompt"
        if prompt:
            self._note_inputs(module.layer_idx)
        hook = getattr(self.method, "keep" if prompt else "evict", None)
        narrow = getattr(self.method, "pass_on", None) if prompt else None
        if hook or narrow:
            views = [
                self._seen(module, row, query, layer.keys[row, :, pad:], scaling, layer, sums)
                for row, pad in enumerate(layer.pads)
            ]
            self._next = [narrow(one) for one in views] if narrow else None
            if hook:
                self._drop(layer, [hook(one) for one in views])
                self._count(layer, module.layer_idx)
        return output.transpose(1, 2), None

    def _note_inputs(self, layer: int) -> None:
        read = self._original(self.cache.incoming[:, None])[:, 0]
        if layer < len(self.layer_inputs):  # a later chunk
            read = torch.cat((self.layer_inputs[layer], read), dim=1)
            self.layer_inputs[layer] = read
        else:
            self.layer_inputs.append(read)

    def _seen(
        self, module, row: int, query, keys, scaling: float, layer: KVLayer | None = None, sums=None
    ) -> Seen:
        positions = torch.arange(keys.shape[1], device=keys.device)[None]
        if layer is not None:
            positions = layer.positions[row, :, layer.pads[row] :]
        return Seen(
            layer=module.layer_idx,
            layers=len(self._layers),
            prompt_length=self._prompt[row],
            input_length=self._input[row],
            tokens_seen=self._read[row],
            queries=query[row, :, self._new_pads[row] :],
            keys=keys,
            positions=positions,
            scaling=scaling,
            inv_freq=self.inv_freq,
            column_sums=None if sums is None else sums[row],
            values=None if layer is None else layer.values[row, :, layer.pads[row] :],
            memory=self.memory(module.layer_idx, row),
            shared=self.shared,
            notes=self.notes,
        )

    def _valid(self, layer: KVLayer, query: Tensor) -> Tensor | None:
        """Which entries are tokens ``[batch, entries]``; None when all are. The newest are the last ones."""
        if self._real is None and not any(layer.pads):
            return None
        batch, _, new, _ = query.shape
        column = torch.arange(layer.entries, device=query.device)
        pads = torch.tensor(layer.pads or [0] * batch, device=query.device)
        valid = column >= pads[:, None]
        if self._real is not None:
            valid[:, -new:] = self._real
        return valid

    def _settle(self, layer: KVLayer) -> None:
        """Padding of the newest inputs moves to the left of its row, where all padding is."""
        if not layer.pads:  # the first tokens of the prompt
            layer.pads = list(self._new_pads)
        elif any(self._new_pads):
            valid = layer.positions[:, 0] >= 0
            rows = [valid[row].nonzero()[:, 0][None] for row in range(len(valid))]
            layer.keep(*_stack_left(rows))

    def _drop(self, layer: KVLayer, kept: list[Tensor | None]) -> None:
        if all(indices is None for indices in kept):
            return
        everything = torch.arange(layer.entries, device=layer.keys.device)[None]
        rows = [
            everything[:, pad:] if indices is None else indices + pad
            for indices, pad in zip(kept, layer.pads, strict=True)
        ]
        layer.keep(*_stack_left(rows))

    def _count(self, layer: KVLayer, index: int) -> None:
        self._bytes[index] = layer.nbytes
        self.kv_bytes_peak = max(self.kv_bytes_peak, sum(self._bytes))

    # ---- between layers: the cut of the hidden states ----------------------------------------------------------

    def _before_layer(self, layer, args, kwargs):
        if self._embeddings is None:
            self._embeddings = kwargs["position_embeddings"]
        return args, dict(kwargs, position_embeddings=self._embeddings)

    def _after_layer(self, layer, args, hidden):
        if (
            self._phase != "prompt"
            or self._next is None
            or all(indices is None for indices in self._next)
        ):
            return None
        everything = torch.arange(hidden.shape[1], device=hidden.device)
        rows = [
            (everything[pad:] if indices is None else indices + pad)[None]
            for indices, pad in zip(self._next, self._new_pads, strict=True)
        ]
        indices, pads = _stack_left(rows)
        indices, self._next = indices[:, 0], None
        index = indices.clamp(min=0)[..., None]
        batch = len(rows)
        self._embeddings = tuple(
            part.expand(batch, -1, -1).gather(1, index.expand(-1, -1, part.shape[-1]))
            for part in self._embeddings
        )
        positions = self.cache.incoming.gather(1, indices.clamp(min=0)).masked_fill(indices < 0, -1)
        self.cache.incoming, self._new_pads = positions, pads
        self._real = positions >= 0 if any(pads) else None
        return hidden.gather(1, index.expand(-1, -1, hidden.shape[-1]))


_FIXED = ("model", "method", "_base", "_layers", "_kv_heads")
"""What of a run belongs to the model and the method, and not to a prompt."""


class _Everything:
    """No hooks: everything is kept."""

    name = "fullkv"


class _Chosen(Exception):
    """Leaves the first pass as soon as its tokens are chosen."""


def _stack_left(rows: list[Tensor]) -> tuple[Tensor, list[int]]:
    """Stack ``[heads or 1, kept]`` of each row to ``[batch, heads or 1, most kept]``, with -1 on the left."""
    width, heads = max(row.shape[1] for row in rows), max(row.shape[0] for row in rows)
    stacked = rows[0].new_full((len(rows), heads, width), -1)
    for out, row in zip(stacked, rows, strict=True):
        out[:, width - row.shape[1] :] = row
    return stacked, [width - row.shape[1] for row in rows]


def check_model(model: nn.Module) -> None:
    """Refuse by name a model that the engine would read wrongly.

    Raises
    ------
    UnsupportedError
        Another architecture than `ARCHITECTURES`, sliding-window layers, or an attach on
        top of another.
    """
    config = getattr(model, "config", None)
    kind = getattr(config, "model_type", type(model).__name__)
    if kind not in ARCHITECTURES:
        raise UnsupportedError(
            f"architecture {kind!r} is not supported; supported are {', '.join(ARCHITECTURES)}"
        )
    layer_types = getattr(config, "layer_types", None)
    sliding = (
        getattr(config, "sliding_window", None)
        if layer_types is None
        else "sliding_attention" in layer_types
    )
    if sliding:
        raise UnsupportedError(
            f"this {kind} model has sliding-window layers (sliding_window={config.sliding_window}), which already drop "
            "entries by themselves; load it with sliding_window=None if its weights allow full attention"
        )
    if model in _attached:
        raise UnsupportedError(
            "a method is attached to this model already; leave its `with` block first"
        )


def _check_generate(method, model, kwargs: dict) -> None:
    """Refuse, before anything runs, the ways of generating that a method cannot follow."""
    config = deepcopy(kwargs.get("generation_config") or model.generation_config)
    config.update(**{name: value for name, value in kwargs.items() if hasattr(config, name)})
    for name in ("num_beams", "num_return_sequences"):
        if getattr(config, name, None) is None:
            setattr(config, name, 1)
    mode = config.get_generation_mode(kwargs.get("assistant_model"))
    allowed = [GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE]
    drops = [hook for hook in ("keep", "evict", "pass_on", "choose") if hasattr(method, hook)]
    if not drops:
        allowed += [GenerationMode.BEAM_SEARCH, GenerationMode.BEAM_SAMPLE]
    if mode not in allowed:
        raise UnsupportedError(
            f"{mode.value} does not work with {method.name}: it rewinds or reorders a cache from which entries "
            f"are gone; use {' or '.join(one.value for one in allowed)}"
        )
    if config.cache_implementation not in (None, "dynamic"):
        raise UnsupportedError(
            f"cache_implementation={config.cache_implementation!r}: the method brings its own cache; leave it out"
        )
    if config.prefill_chunk_size is not None:
        raise UnsupportedError(
            "prefill_chunk_size is not supported under attach; StreamingLLM has `chunk`"
        )


@contextmanager
def attach(method, model: nn.Module) -> Iterator[Run]:
    """Run ``model`` with ``method`` inside a ``with`` block.

    Parameters
    ----------
    method
        See the module's text for what it may define.
    model : PreTrainedModel
        Llama, Qwen2, Qwen3 or Mistral, without sliding windows; any dtype and device.

    Yields
    ------
    Run
        The record; it stays readable after the block.

    Raises
    ------
    UnsupportedError
        Before anything runs: an unsupported model, or a call under it that cannot work.
    """
    check_model(model)
    if hasattr(method, "check_model"):
        method.check_model(model)
    run = Run(method, model)
    base, config = model.base_model, model.config
    name = f"kvbook-{id(run):x}"
    with ExitStack() as undo:
        _attached.add(model)
        undo.callback(_attached.discard, model)
        AttentionInterface.register(name, run.attention)
        undo.callback(AttentionInterface._global_mapping.pop, name, None)
        undo.callback(setattr, config, "_attn_implementation", config._attn_implementation)
        config._attn_implementation = name
        handles = [
            model.register_forward_pre_hook(run._before_model, with_kwargs=True),
            model.register_forward_hook(run._after_model, always_call=True),
            base.register_forward_pre_hook(run._before_base, with_kwargs=True),
            base.register_forward_hook(run._after_base, always_call=True),
        ]
        if hasattr(method, "pass_on"):
            for layer in base.layers:
                handles.append(layer.register_forward_pre_hook(run._before_layer, with_kwargs=True))
                handles.append(layer.register_forward_hook(run._after_layer))
        for handle in handles:
            undo.callback(handle.remove)
        if hasattr(model, "generate"):
            plain = model.generate

            def generate(*args, **kwargs):
                given = dict(zip(("inputs", "generation_config"), args, strict=False), **kwargs)
                _check_generate(method, model, given)
                return plain(*args, **kwargs)

            model.generate = generate
            undo.callback(delattr, model, "generate")
        try:
            yield run
        finally:
            if run.cache is not None:
                run.cache.open = False
