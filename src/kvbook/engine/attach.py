"""Wire a method into a model's forward, and take it out again.

What ``attach`` does to a model, and takes back when the ``with`` block ends:

- An attention function of our own, registered once under the public name `ATTENTION`, is named
  in ``config._attn_implementation``: it sees queries and keys after RoPE, so nothing is computed
  twice. The model gets a copy of its configuration for that, since others may share it.
- A function stands in front of ``forward`` of the model and of its stack of layers, and in front
  of ``generate``. Where a method cuts the prefill, the layers have forward hooks.
- The cache is a `Cache` of our own.

``generate`` goes through ``call_generate`` once: what the method cannot follow is refused. It
then calls the model for the prompt and for every token, and one such call goes through `Engine`
in this order:

1. ``call_model``: the clock starts; no gradients.
2. ``call_stack``: the call is checked, before anything changes. A prompt begins or goes on. A
   first pass, where the method wants one, chooses what is read of the prompt.
3. The input is read in the method's chunks. For each, ``take`` says positions and padding; every
   layer goes through ``before_layer``, ``attention`` (the method keeps or evicts) and
   ``after_layer`` (what goes on to the next layer); then the method looks back
   (``after_forward``). The two hooks around a layer are there only for methods with ``pass_on``.
4. ``call_stack`` again: the record of a prompt is written.
5. ``call_model`` again: the clock stops.

A method is any object with a ``name``, for messages, and one or more of the following. Those with
``seen`` see one sequence of one layer (`kvbook.engine.seen.Seen`), without padding, so that a row
of a batch gives what it gives alone; ``None`` from a hook means "all".

``keep(seen) -> LongTensor | Recent | None``
    After a layer has read the prompt, or a chunk of it: ascending indices ``[kv_heads or 1,
    kept]`` into its entries. A `kvbook.engine.seen.Recent` says the same as "all recent entries
    and some of the earlier ones"; it is quicker, because the recent entries are not moved.
``evict(seen) -> LongTensor | Recent | None``
    The same after every later input: a decoded token, or the next turn of a chat. None in place of
    the hook: nothing is evicted.
``pass_on(seen) -> LongTensor | None``
    Ascending indices ``[kept]`` of the prompt's inputs that go on to the next layer, the
    last one included.
``first_pass(layers, prompt_length) -> int | None``, ``choose(seen) -> LongTensor``
    ``first_pass`` names a layer, from 0, or None where no first pass is needed. The first pass
    reads the prompt without a cache, up to the queries and keys of that layer. With these,
    ``choose`` gives the ascending indices ``[kept]`` of the prompt's tokens that the model then
    reads, the last one included.
``after_forward(runs, ids)``
    After an input (or a chunk of it) has gone through all layers. ``runs`` is a list of records;
    ``ids`` is a list of what each of them has read, ``LongTensor [new]`` on the model's device.
    Both have one element; rows of a `kvbook.engine.panel.Panel` that read together give several.
``make_layer() -> KVLayer``
    What holds a layer's entries, such as `kvbook.engine.packed.PackedLayer`; `KVLayer` without it.
``check_model(model)``
    Refuse a model that does not fit the method's parameters, before it is attached.
``chunk : int | None``
    Read every input this many tokens at a time.
``column_sums : bool``
    Also measure how much attention every entry received (``seen.column_sums``).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from functools import partial, wraps
from inspect import signature
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from kvbook.engine import padding, past, refuse
from kvbook.engine.attention import measure
from kvbook.engine.cache import KVLayer
from kvbook.engine.clock import mark
from kvbook.engine.first_pass import choose_inputs
from kvbook.engine.run import Run, attached, input_device
from kvbook.engine.seen import Recent, Seen
from kvbook.engine.state import Forward, Incoming, PromptState
from kvbook.errors import UnsupportedError

ATTENTION = "kvbook"
"""The name of our attention function in transformers."""
_models: "WeakKeyDictionary[nn.Module, nn.Module]" = WeakKeyDictionary()
"""By attention module, the model that it is a part of, while something is attached."""
_lock = threading.Lock()
"""Two threads that attach to one model at once: one of them is refused."""


def _attention(module: nn.Module, *args, **kwargs):
    """The attention of the engine that is attached to this module's model."""
    return attached[_models[module]].attention(module, *args, **kwargs)


AttentionInterface.register(ATTENTION, _attention)


@contextmanager
def no_autograd() -> Iterator[None]:
    """No gradients, and ordinary tensors also under the caller's ``torch.inference_mode``. The
    cache is still used after that block, and PyTorch lets nobody change an inference tensor
    there."""
    with torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def counting_steps(engine) -> Iterator[None]:
    """Within it ``engine.steps`` counts the calls that one ``generate`` makes."""
    outer, engine.steps = engine.steps, 0
    try:
        yield
    finally:
        engine.steps = outer


def decoded(steps: int | None, columns: int) -> bool:
    """Whether a call brings a token that ``generate`` has just decoded. Its mask and its position
    are then those of transformers and need no check; a check would make the host wait for the GPU
    at every token."""
    return bool(steps) and columns == 1


def by_name(function: Callable, args: tuple, kwargs: dict) -> dict:
    """All arguments of a call by their names."""
    return (
        dict(zip(signature(function).parameters, args, strict=False)) | kwargs if args else kwargs
    )


class Engine:
    """The functions of one attach. All that they know is in ``run.state``.

    Parameters
    ----------
    run : Run
        The record, with the method and the model.
    """

    def __init__(self, run: Run):
        self.run = run
        self.base = run.model.base_model
        self.steps: int | None = None  # calls of the model under one generate; None outside

    def engine_of(self, run: Run) -> "Engine":
        """The engine of a run, here always this one. A run has no reference to its engine, so
        that the cache's memory is free as soon as nobody holds the run."""
        return self

    # ---- the whole model: time, and no gradients -------------------------------------------------

    def call_generate(self, plain: Callable, *args, **kwargs):
        """In front of the model's ``generate``: refuse what cannot work."""
        given = by_name(plain, args, kwargs)
        refuse.check_generate(self.run.method, self.run.model, given)
        with counting_steps(self):
            return plain(*args, **kwargs)

    def call_model(self, plain: Callable, *args, **kwargs):
        """In front of the model's ``forward``: no gradients, and a look at the clock."""
        refuse.check_outputs(self.run.method, by_name(plain, args, kwargs))
        device = input_device(self.run.model)
        forward = self.run.state.forward = Forward()
        started = mark(device)
        try:
            with no_autograd():
                output = plain(*args, **kwargs)
        finally:
            self.run.state.forward = None
        self.run.state.count_call(started, mark(device), forward.aside)
        return output

    # ---- the stack of layers: which tokens it reads, at which positions --------------------------

    def call_stack(self, plain: Callable, *args, **kwargs):
        """In front of the ``forward`` of the stack: check the call, read its input piece by
        piece, let the method look back, and write down what the prefill left."""
        kwargs = dict(by_name(plain, args, kwargs))
        refuse.check_call(kwargs)
        refuse.check_training(self.run.model)
        name = "input_ids" if kwargs.get("input_ids") is not None else "inputs_embeds"
        outer = self.run.state.forward
        incoming = self.check(name, kwargs)
        self.begin(incoming)
        state = self.run.state
        state.forward = outer or Forward()  # none: the stack was called without the model
        try:
            with no_autograd():
                output = self.read(plain, name, kwargs, incoming.real)
        except BaseException:  # Ctrl-C, too
            state.interrupted = True
            raise
        finally:
            state.forward = outer
        self.finish(incoming.columns)
        if self.steps is not None:
            self.steps += 1
        return output

    def check(self, name: str, kwargs: dict) -> Incoming:
        """Refuse a call of the stack that cannot work; nothing has changed yet.

        Parameters
        ----------
        name : {"input_ids", "inputs_embeds"}
            What is read.
        kwargs : dict
            All arguments of the call.
        """
        state, method = self.run.state, self.run.method
        inputs, mask = kwargs[name], kwargs.get("attention_mask")
        cache, positions = kwargs.get("past_key_values"), kwargs.get("position_ids")
        batch, columns = inputs.shape[:2]
        if decoded(self.steps, columns):
            refuse.check_cache(cache, batch, state)
            return Incoming(columns, None, [1] * batch, [], False, cache)
        refuse.check_one_conversation(method, name, batch)
        fresh = cache is None or cache.get_seq_length() == 0
        if not fresh:
            refuse.check_cache(cache, batch, state)
        real = padding.real_columns(mask, batch, columns)
        lengths = padding.row_lengths(real, batch, columns)
        refuse.check_unpadded(method, min(lengths) < columns)
        if fresh:
            refuse.check_lengths(lengths)
            hidden, read = [], [0] * batch
        else:
            hidden = past.hidden_tokens(mask, columns, state)
            past.check_hidden(hidden, method, state)
            read = [seen - gone for seen, gone in zip(state.read_lengths, hidden, strict=True)]
        if positions is not None:
            begin = torch.tensor(read, device=inputs.device)
            expected = padding.next_positions(real, begin, columns)
            steps_only = fresh or state.chosen is not None
            refuse.check_positions(positions, expected, steps_only=steps_only)
        return Incoming(columns, real, lengths, hidden, fresh, cache)

    def begin(self, incoming: Incoming) -> None:
        """Begin a prompt, or go on with one."""
        state = self.run.state
        if incoming.fresh:
            layers = len(self.base.layers)
            make_layer = getattr(self.run.method, "make_layer", KVLayer)
            state = PromptState.of_prompt(incoming.lengths, layers, incoming.given, make_layer)
            self.run.state = state
        else:
            if any(incoming.hidden):
                past.forget(incoming.hidden, state)
            state.go_on(incoming.lengths, incoming.columns)
        state.add_columns(incoming.real, incoming.columns)

    def read(self, plain: Callable, name: str, kwargs: dict, real: Tensor | None):
        """Take an input through the stack, in the method's chunks; what ``plain`` gives of the last
        one.

        Parameters
        ----------
        plain : callable
            The stack's own ``forward``.
        real : BoolTensor [batch, columns] or None
            Which columns are tokens; None when all are.
        """
        state, method, inputs = self.run.state, self.run.method, kwargs[name]
        if state.phase == "prompt" and hasattr(method, "first_pass"):
            inputs, real = choose_inputs(self, inputs, real)
        kwargs = kwargs | dict(past_key_values=state.cache, attention_mask=None, use_cache=True)
        for piece, real_piece in padding.chunks(inputs, real, getattr(method, "chunk", None)):
            self.take(piece, real_piece)
            kwargs |= {name: piece, "position_ids": state.forward.position_ids}
            output = plain(**kwargs)
            if hasattr(method, "after_forward"):
                method.after_forward([self.run], [piece[0]])
        return output

    def finish(self, columns: int) -> None:
        """The input was read: note so, and what the prefill left."""
        state = self.run.state
        state.cache.advance(columns)
        if state.phase == "prompt":
            heads = self.run.model.config.num_key_value_heads
            state.kept_positions = [
                state.in_prompt(layer.positions).expand(-1, heads, -1).clone()
                for layer in state.cache.layers
            ]
            state.prompt_bytes = state.cache.nbytes

    def take(self, inputs: Tensor, real: Tensor | None) -> None:
        """Positions and padding of the tokens that the layers read next."""
        state, columns = self.run.state, inputs.shape[1]
        forward = state.forward
        positions = padding.next_positions(real, state.read_on(inputs.device), columns)
        new = padding.row_lengths(real, *inputs.shape[:2])
        state.read_lengths = [read + n for read, n in zip(state.read_lengths, new, strict=True)]
        state.read = state.read + (columns if real is None else real.sum(1))
        state.cache.incoming = positions
        forward.inputs = inputs
        forward.pads = [columns - count for count in new]
        forward.position_ids = positions.clamp(min=0)
        forward.embeddings = forward.passed_on = None

    # ---- one layer: attend, let the method measure, drop at once ---------------------------------

    def attention(
        self, module, query, key, value, attention_mask=None, scaling=None, dropout=0.0, **kwargs
    ):
        """The attention function that the model calls.

        Parameters
        ----------
        query : Tensor [batch, heads, new, head_dim]
            Of the inputs that this layer reads, after RoPE.
        key, value : Tensor [batch, kv_heads, entries, head_dim]
            All that the cache holds, the new entries included.

        Returns
        -------
        Tensor [batch, new, heads, head_dim]
            The output.
        None
            In place of the attention matrix, which is never built whole.
        """
        state, method = self.run.state, self.run.method
        forward, index = state.forward, module.layer_idx
        scaling = module.scaling if scaling is None else scaling
        if forward.first_pass:
            return forward.first_pass.attention(self, module, query, key, value, scaling)
        layer: KVLayer = state.cache.layers[index]
        pads = layer.pads or [0] * len(query)
        asks = getattr(method, "column_sums", False)
        if any(forward.pads) or (query.shape[2] > 1 and any(pads)):
            one_row = partial(measure, scaling=scaling, sums=asks)
            output, rows = padding.attend_apart(one_row, query, key, value, pads, forward.pads)
            sums = [one[0] for one in rows] if asks else None
        else:
            valid = padding.valid_entries(layer)
            output, found = measure(query, key, value, scaling, valid, sums=asks)
            sums = (
                None
                if found is None
                else [one[:, pad:] for one, pad in zip(found, pads, strict=True)]
            )
        self.choose(module, query, scaling, sums)
        return output.transpose(1, 2), None

    def choose(self, module, query: Tensor, scaling: float, sums) -> None:
        """After a layer has attended: let the method see it, and drop at once what it gives up.

        Parameters
        ----------
        sums : sequence of Tensor [heads, entries], or None
            By row, the attention that its entries received; padding left out.
        """
        state, method = self.run.state, self.run.method
        forward, layer = state.forward, state.cache.layers[module.layer_idx]
        state.count_bytes(module.layer_idx)
        padding.settle(layer, forward.pads, query.shape[2])
        prompt = state.phase == "prompt"
        if prompt:
            state.note_inputs(module.layer_idx)
        drop = getattr(method, "keep" if prompt else "evict", None)
        narrow = getattr(method, "pass_on", None) if prompt else None
        if drop or narrow:
            layer.own()
            views = [
                self.see(module, row, query, layer.keys[row, :, pad:], scaling, layer, sums)
                for row, pad in enumerate(layer.pads)
            ]
            forward.passed_on = [narrow(one) for one in views] if narrow else None
            if drop:
                _drop(layer, [drop(one) for one in views])
        layer.settle()
        state.layer_bytes[module.layer_idx] = layer.nbytes

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
        return hidden.gather(1, wide.expand(-1, -1, hidden.shape[-1]))


def _drop(layer: KVLayer, kept: list[Tensor | Recent | None]) -> None:
    """Keep of a layer what the method says, by row; None is everything."""
    if any(one is not None for one in kept):
        layer.keep(kept)


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
    ParameterError
        A name, a class or nothing in place of a method, or of a model; or a parameter of the
        method that does not fit the model, such as a layer that it does not have.
    """
    model = refuse.check_all([method], model)
    run = Run(method, model)
    with wire(Engine(run), model, hooks=hasattr(method, "pass_on")):
        yield run


@contextmanager
def wire(engine, model: nn.Module, hooks: bool) -> Iterator[None]:
    """Put an engine's functions into a model, and take them out again.

    Parameters
    ----------
    engine : Engine or kvbook.engine.panel.PanelEngine
        Its ``run.cache`` is closed at the end: nothing can be appended to it any more.
    hooks : bool
        Whether ``before_layer`` and ``after_layer`` are put around every layer, too.
    """
    with ExitStack() as undo:
        _register(undo, engine, model)
        _own_config(undo, model)
        _in_front(undo, model, "forward", _ours(model, "call_model"))
        _in_front(undo, model.base_model, "forward", _ours(model, "call_stack"))
        if hasattr(model, "generate"):
            _in_front(undo, model, "generate", _ours(model, "call_generate"))
        before, after = _ours(model, "before_layer"), _ours(model, "after_layer")
        for layer in model.base_model.layers if hooks else ():
            hook = layer.register_forward_pre_hook(before, with_kwargs=True)
            undo.callback(hook.remove)
            undo.callback(layer.register_forward_hook(after).remove)
        try:
            yield
        finally:
            if engine.run.cache is not None:
                engine.run.cache.open = False


def _register(undo: ExitStack, engine, model: nn.Module) -> None:
    """Note that this engine is attached to the model; one at a time."""
    with _lock:
        if model in attached:
            raise UnsupportedError(
                "a method is attached to this model already; leave its `with` block first"
            )
        attached[model] = engine
        undo.callback(attached.pop, model, None)
        for layer in model.base_model.layers:
            _models[layer.self_attn] = model
            undo.callback(_models.pop, layer.self_attn, None)


def _ours(model: nn.Module, name: str) -> Callable:
    """A function of the engine that answers the model's calls at that moment."""

    def function(*args, **kwargs):
        return getattr(attached[model], name)(*args, **kwargs)

    return function


def _own_config(undo: ExitStack, model: nn.Module) -> None:
    """A copy of the configuration with our attention in it, for this model alone."""
    shared = model.config
    own = copy(shared)
    own._attn_implementation = ATTENTION
    for module in model.modules():
        if getattr(module, "config", None) is shared:
            module.config = own
            undo.callback(setattr, module, "config", shared)


def _in_front(undo: ExitStack, thing: nn.Module, name: str, ours: Callable) -> None:
    """Put ``ours(plain, ...)`` in front of a function of ``thing``; what was there comes back."""
    plain, own = getattr(thing, name), vars(thing).get(name)

    @wraps(plain)
    def function(*args, **kwargs):
        return ours(plain, *args, **kwargs)

    setattr(thing, name, function)
    if own is None:
        undo.callback(delattr, thing, name)
    else:
        undo.callback(setattr, thing, name, own)
