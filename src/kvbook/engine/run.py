"""The record of what happens under one attach, and what a method may ask of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from kvbook.engine.cache import KVLayer
from kvbook.engine.clock import mark
from kvbook.engine.seen import Recent
from kvbook.engine.state import PromptState

attached: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()
"""By model, the engine that answers its calls now."""


def input_device(model: nn.Module) -> torch.device:
    """Where a model's inputs go: its device; the CPU where accelerate keeps the weights elsewhere,
    and moves inputs itself."""
    return torch.device("cpu") if model.device.type == "meta" else model.device


def _of_state(name: str, meaning: str) -> property:
    """An attribute of the record that stands in the state of the prompt."""
    return property(lambda run: getattr(run.state, name), doc=meaning)


def _of_clock(name: str, meaning: str) -> property:
    """The same of a time: a GPU is waited for when it is read, and not before."""

    def read(run: "Run") -> float:
        run.state.read_clock()
        return getattr(run.state, name)

    return property(read, doc=meaning)


class Run:
    """The record of what happens under one ``attach``; it describes the latest prompt.

    Attributes
    ----------
    method
        What is attached.
    model : nn.Module
        The model it is attached to.
    state : PromptState
        All that is known of the prompt; the other attributes only read it.
    """

    def __init__(self, method, model: nn.Module):
        self.method = method
        self.model = model
        self.state = PromptState()

    kept_positions = _of_state(
        "kept_positions",
        "list of LongTensor [batch, kv_heads, kept]: per layer, the prompt positions that the "
        "prefill left; -1 on the left of a row of a batch that keeps fewer.",
    )
    layer_inputs = _of_state(
        "layer_inputs",
        "list of LongTensor [batch, read]: per layer, the prompt positions that it read in the "
        "prefill; -1 for padding.",
    )
    filter_layers = _of_state(
        "filter_layers",
        "int: layers that a first pass took the whole prompt through, before the prefill.",
    )
    notes = _of_state(
        "notes", "list of str: what the method tells, such as a parameter that it had to change."
    )
    kv_bytes_peak = _of_state(
        "kv_bytes_peak", "int: most bytes of keys and values at any moment of the run."
    )
    prefill_seconds = _of_clock(
        "prefill_seconds", "float: time in the model's forward for inputs of several tokens."
    )
    decode_seconds = _of_clock(
        "decode_seconds", "float: time in the model's forward for single decoded tokens."
    )
    decode_tokens = _of_state(
        "decode_tokens",
        "int: tokens decoded, per sequence. The first token of an answer comes from the prefill "
        "and is not counted.",
    )
    prompt_bytes = _of_state(
        "prompt_bytes",
        "int: bytes of keys and values that the prefill left, from the real tensors; of a batch "
        "with the padding of its shorter rows.",
    )
    cache = _of_state(
        "cache",
        "KVCache or None: what holds the entries; pass it as ``past_key_values`` to continue "
        "with the next turn of a chat.",
    )
    shared = _of_state("shared", "dict: what the method remembers of the whole run.")

    @property
    def kv_lengths(self) -> list[int]:
        """Entries that each layer holds now, per KV head (in a batch: of its fullest row)."""
        if self.cache is None:
            return [0] * len(self.model.base_model.layers)
        return [layer.entries for layer in self.cache.layers]

    @property
    def kv_bytes(self) -> int:
        """Bytes of the keys and values held now, from the real tensors."""
        return self.cache.nbytes if self.cache else 0

    @property
    def summaries(self) -> list:
        """Of SummaryKV: every `kvbook.methods.summarykv.Summary`, in order."""
        return self.shared.get("summaries", [])

    @property
    def tokens_seen(self) -> int:
        """Tokens that the first row has read so far."""
        return self.state.read_lengths[0]

    @property
    def inv_freq(self) -> Tensor:
        """The model's RoPE frequencies, ``[head_dim // 2]``."""
        return self.model.base_model.rotary_emb.inv_freq

    def memory(self, layer: int, row: int = 0) -> dict:
        """What the method remembers of a layer and a sequence: `Seen.memory`."""
        return self.state.remembered(layer, row)

    # ---- back to an earlier state, and something else in between --------------------------------

    def snapshot(self) -> PromptState:
        """A copy of everything that this run holds, for `restore`."""
        self.state.read_clock()
        return deepcopy(self.state)

    def restore(self, snapshot: PromptState) -> None:
        """Go back to a `snapshot`; go on with ``past_key_values=run.cache``, which is a new one."""
        self.state = deepcopy(snapshot)

    @contextmanager
    def aside(self, method=None, others: Sequence["Run"] = ()) -> Iterator[None]:
        """A block in which the model runs with another method and nothing of this run's state;
        without ``method``, everything is kept. After the block the run goes on as if nothing had
        happened. The time of the block counts neither as prefill nor as decode. Its memory counts
        for the peak; if it works for ``others`` too, each run gets an equal share of it."""
        device = input_device(self.model)
        own, started = (self.method, self.state), mark(device)
        present = attached[self.model]
        engine = attached[self.model] = present.engine_of(self)
        steps, engine.steps = engine.steps, None  # what is done aside is no step of a generate
        self.method, self.state = method or Everything(), PromptState()
        try:
            yield
        finally:
            share = self.kv_bytes_peak // (1 + len(others))
            self.method, self.state = own
            attached[self.model], engine.steps = present, steps
            for run in (self, *others):
                run.state.kv_bytes_peak = max(run.kv_bytes_peak, run.kv_bytes + share)
            if self.state.forward:
                self.state.forward.aside.append((started, mark(device)))

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
        base, device = self.model.base_model, input_device(self.model)
        with self.aside():
            held = before[0][0].shape[2]
            if held:
                self.state = PromptState.of_prompt([held], len(before))
                self.state.read_lengths = [held]
                positions = torch.arange(held, device=device)[None]
                for layer, (keys, values) in zip(self.cache.layers, before, strict=True):
                    layer.update(keys, values, positions=positions)
                    layer.pads, layer.columns = [0], held
            base(input_ids=torch.tensor([ids], device=device), past_key_values=self.cache)
            made = self.cache.layers
            for layer in made:
                layer.keep([Recent(held, before=0)])
        return made


class Everything:
    """A method without hooks: everything is kept."""

    name = "fullkv"
