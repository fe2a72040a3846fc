"""Wire a method into a model's forward, and take it out again.

``attach`` uses three public places of transformers and PyTorch: an attention function of our
own under a name in ``config._attn_implementation`` (it sees queries and keys after RoPE, so
nothing is computed twice), forward hooks, and a `Cache` subclass. It also puts a function
before the model's ``generate`` that refuses what cannot work. When the ``with`` block ends,
all of it is taken out again.

One call of the model goes through `Engine` in this order:

1. ``before_model``: the clock starts, gradients are off.
2. ``before_stack``: the call is checked; a prompt begins or goes on. The method's first pass and
   all chunks but the last are read here.
3. For every layer: ``before_layer``, ``attention`` (the method keeps or evicts), ``after_layer``
   (what goes on to the next layer). The two hooks are there only for methods with ``pass_on``.
4. ``after_stack``: the method looks back (``after_forward``); the record is written.
5. ``after_model``: gradients are as before, and the clock stops.

A method is any object that defines one or more of these; each sees one sequence of one layer
(`kvbook.engine.seen.Seen`), without padding, so that a row of a batch gives what it gives alone:

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

``after_forward(run, ids)``
    After an input (or a chunk of it) has gone through all layers: the record, and the token
    ids ``list[int]`` that were read; one sequence at a time.

``None`` from a hook means "all".
"""

import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from kvbook.engine import padding, refuse
from kvbook.engine.attention import attend, attend_and_sum
from kvbook.engine.cache import KVLayer
from kvbook.engine.first_pass import choose_inputs
from kvbook.engine.run import Run, now
from kvbook.engine.seen import Seen
from kvbook.engine.state import Forward, PromptState
from kvbook.errors import UnsupportedError

_attached: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()


class Engine:
    """The hooks of one attach. All that they know is in ``run.state``.

    Parameters
    ----------
    run : Run
        The record, with the method and the model.
    """

    def __init__(self, run: Run):
        self.run = run
        self.base = run.model.base_model

    # ---- the whole model: time, and no gradients -------------------------------------------------

    def before_model(self, model, args, kwargs) -> None:
        """Start the clock, and switch gradients off."""
        gradients = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        self.run.state.forward = Forward(now(self.base.device), gradients)

    def after_model(self, model, args, output) -> None:
        """Switch gradients back, and note the time; also when the forward raised."""
        state = self.run.state
        forward, state.forward = state.forward, None
        torch.set_grad_enabled(forward.gradients)
        seconds = now(self.base.device) - forward.started - forward.aside_seconds
        if state.phase == "decode":
            state.decode_seconds += seconds
            state.decode_tokens += 1
        else:
            state.prefill_seconds += seconds

    # ---- the stack of layers: which tokens it reads, at which positions --------------------------

    def before_stack(self, base, args, kwargs):
        """Check the call, begin or go on with a prompt, and read all of it but the last piece."""
        state, method = self.run.state, self.run.method
        if state.forward and state.forward.in_chunk:
            return None
        named = zip(("input_ids", "attention_mask", "position_ids"), args, strict=False)
        kwargs = kwargs | dict(named)
        name = "input_ids" if kwargs.get("input_ids") is not None else "inputs_embeds"
        inputs, cache = kwargs[name], kwargs.get("past_key_values")
        batch, columns = inputs.shape[:2]
        refuse.check_call(kwargs)
        fresh = cache is None or cache.get_seq_length() == 0
        if not fresh:
            refuse.check_cache(cache, state)
        real = padding.real_columns(kwargs.get("attention_mask"), batch, columns)
        lengths = padding.row_lengths(real, batch, columns)
        refuse.check_one_conversation(method, name, batch)
        if fresh:
            refuse.check_prompt(lengths, kwargs.get("position_ids"), real)
            state = self._begin(lengths, cache)
        else:
            state.go_on(lengths, columns)
        forward = state.forward = state.forward or Forward()
        forward.columns = columns
        if fresh and hasattr(method, "first_pass"):
            inputs, real = choose_inputs(self, inputs, real)
        kwargs |= {"past_key_values": state.cache, "attention_mask": None, "use_cache": True}
        *chunks, last = padding.chunks(inputs, real, getattr(method, "chunk", None))
        forward.in_chunk = True
        try:
            for piece in chunks:
                self.take(*piece)
                base(**kwargs | {name: forward.inputs, "position_ids": forward.position_ids})
                self._look_back()
        finally:
            forward.in_chunk = False
        self.take(*last)
        return (), kwargs | {name: forward.inputs, "position_ids": forward.position_ids}

    def after_stack(self, base, args, output) -> None:
        """Let the method look back, and write down what the prefill left."""
        state = self.run.state
        if output is None or state.forward.in_chunk:  # the forward raised, or reads a chunk
            return
        state.cache.advance(state.forward.columns)
        self._look_back()
        if state.phase == "prompt":
            heads = self.run.model.config.num_key_value_heads
            state.kept_positions = [
                state.in_prompt(layer.positions).expand(-1, heads, -1).clone()
                for layer in state.cache.layers
            ]
        if state.forward.started is None:  # nobody called the whole model
            state.forward = None

    def _begin(self, lengths: list[int], given) -> PromptState:
        """A new prompt: nothing of the one before is left."""
        forward = self.run.state.forward
        self.run.state = PromptState.of_prompt(lengths, len(self.base.layers), given)
        self.run.state.forward = forward
        return self.run.state

    def take(self, inputs: Tensor, real: Tensor | None) -> None:
        """Positions and padding of the tokens that the layers read next."""
        state, columns = self.run.state, inputs.shape[1]
        forward = state.forward
        positions = padding.next_positions(real, state.read_lengths, columns, inputs.device)
        new = padding.row_lengths(real, *inputs.shape[:2])
        state.read_lengths = [read + n for read, n in zip(state.read_lengths, new, strict=True)]
        state.cache.incoming = positions
        forward.inputs, forward.real = inputs, real
        forward.pads = [columns - count for count in new]
        forward.position_ids = positions.clamp(min=0)
        forward.embeddings = forward.passed_on = None

    def _look_back(self) -> None:
        """Let the method act on what all layers have read."""
        if hasattr(self.run.method, "after_forward"):
            self.run.method.after_forward(self.run, self.run.state.forward.inputs[0].tolist())

    # ---- one layer: attend, let the method measure, drop at once ---------------------------------

    def attention(
        self, module, query, key, value, attention_mask=None, scaling=None, dropout=0.0, **kwargs
    ):
        """The attention function that the model calls; ``key`` and ``value`` are in the cache
        already."""
        state, method = self.run.state, self.run.method
        forward, index = state.forward, module.layer_idx
        scaling = module.scaling if scaling is None else scaling
        if forward.first_pass:
            return forward.first_pass.attention(self, module, query, key, value, scaling)
        layer: KVLayer = state.cache.layers[index]
        valid = padding.valid_entries(layer, forward.real, query.shape[2])
        sums = None
        if getattr(method, "column_sums", False):
            output, sums = attend_and_sum(query, key, value, scaling, valid)
        else:
            output = attend(query, key, value, scaling, valid)
        state.count_bytes(index)
        padding.settle(layer, forward.pads)
        if sums is not None and valid is not None:
            sums = [sums[row][:, valid[row]] for row in range(len(sums))]
        prompt = state.phase == "prompt"
        if prompt:
            state.note_inputs(index)
        drop = getattr(method, "keep" if prompt else "evict", None)
        narrow = getattr(method, "pass_on", None) if prompt else None
        if drop or narrow:
            views = [
                self.see(module, row, query, layer.keys[row, :, pad:], scaling, layer, sums)
                for row, pad in enumerate(layer.pads)
            ]
            forward.passed_on = [narrow(one) for one in views] if narrow else None
            if drop:
                _drop(layer, [drop(one) for one in views])
                state.count_bytes(index)
        return output.transpose(1, 2), None

    def see(
        self, module, row: int, query, keys, scaling: float, layer: KVLayer | None = None, sums=None
    ) -> Seen:
        """One sequence of one layer, for the method; no ``layer``: a first pass, without a cache."""
        state, forward = self.run.state, self.run.state.forward
        if layer is None:
            positions, values = torch.arange(keys.shape[1], device=keys.device)[None], None
        else:
            pad = layer.pads[row]
            positions, values = layer.positions[row, :, pad:], layer.values[row, :, pad:]
        return Seen(
            layer=module.layer_idx,
            layers=len(self.base.layers),
            prompt_length=state.prompt_lengths[row],
            input_length=state.input_lengths[row],
            tokens_seen=state.read_lengths[row],
            queries=query[row, :, forward.pads[row] :],
            keys=keys,
            positions=positions,
            scaling=scaling,
            inv_freq=self.run.inv_freq,
            column_sums=None if sums is None else sums[row],
            values=values,
            memory=state.remembered(module.layer_idx, row),
            shared=state.shared,
            notes=state.notes,
        )

    # ---- between layers: the cut of the hidden states --------------------------------------------

    def before_layer(self, layer, args, kwargs):
        """Give the layer RoPE for the tokens that it reads, which may be fewer than the input."""
        forward = self.run.state.forward
        if forward.embeddings is None:
            forward.embeddings = kwargs["position_embeddings"]
        return args, dict(kwargs, position_embeddings=forward.embeddings)

    def after_layer(self, layer, args, hidden):
        """Cut the hidden states to what the method passes on, with their positions."""
        state, forward = self.run.state, self.run.state.forward
        passed_on, forward.passed_on = forward.passed_on, None
        if state.phase != "prompt" or not passed_on or all(one is None for one in passed_on):
            return None
        rows = padding.shift_rows(passed_on, forward.pads, hidden.shape[1])
        stacked, forward.pads = padding.stack_left([row[None] for row in rows])
        indices = stacked[:, 0]
        index = indices.clamp(min=0)
        wide = index[..., None]
        forward.embeddings = tuple(
            part.expand(len(rows), -1, -1).gather(1, wide.expand(-1, -1, part.shape[-1]))
            for part in forward.embeddings
        )
        positions = state.cache.incoming.gather(1, index).masked_fill(indices < 0, -1)
        state.cache.incoming = positions
        forward.real = positions >= 0 if any(forward.pads) else None
        return hidden.gather(1, wide.expand(-1, -1, hidden.shape[-1]))


def _drop(layer: KVLayer, kept: list[Tensor | None]) -> None:
    """Keep of a layer what the method says, by row; None is everything."""
    if any(indices is not None for indices in kept):
        layer.keep(*padding.stack_left(padding.shift_rows(kept, layer.pads, layer.entries)))


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
        Before anything runs: an unsupported model, an attach on top of another, or a call
        under it that cannot work.
    """
    refuse.check_model(model)
    if model in _attached:
        raise UnsupportedError(
            "a method is attached to this model already; leave its `with` block first"
        )
    if hasattr(method, "check_model"):
        method.check_model(model)
    run = Run(method, model)
    engine = Engine(run)
    base, config = model.base_model, model.config
    name = f"kvbook-{id(run):x}"
    with ExitStack() as undo:
        _attached.add(model)
        undo.callback(_attached.discard, model)
        AttentionInterface.register(name, engine.attention)
        undo.callback(AttentionInterface._global_mapping.pop, name, None)
        undo.callback(setattr, config, "_attn_implementation", config._attn_implementation)
        config._attn_implementation = name
        handles = [
            model.register_forward_pre_hook(engine.before_model, with_kwargs=True),
            model.register_forward_hook(engine.after_model, always_call=True),
            base.register_forward_pre_hook(engine.before_stack, with_kwargs=True),
            base.register_forward_hook(engine.after_stack, always_call=True),
        ]
        for layer in base.layers if hasattr(method, "pass_on") else ():
            handles.append(layer.register_forward_pre_hook(engine.before_layer, with_kwargs=True))
            handles.append(layer.register_forward_hook(engine.after_layer))
        for handle in handles:
            undo.callback(handle.remove)
        if hasattr(model, "generate"):
            _check_before_generate(method, model)
            undo.callback(delattr, model, "generate")
        try:
            yield run
        finally:
            if run.cache is not None:
                run.cache.open = False


def _check_before_generate(method, model: nn.Module) -> None:
    """Put a function before the model's ``generate`` that refuses what cannot work."""
    plain = model.generate

    def generate(*args, **kwargs):
        given = dict(zip(("inputs", "generation_config"), args, strict=False), **kwargs)
        refuse.check_generate(method, model, given)
        return plain(*args, **kwargs)

    model.generate = generate
