"""Several methods on one reading of a prompt.

Reading the prompt is the expensive part of a comparison. It is the same for every method that only
chooses what is kept, so it is done once. A `Panel` takes a prompt in one row per method (or several
prompts, each in one row per method). Every row has an `Engine` and a record of its own, as if its
method were attached alone. What the rows share is the forward:

1. Of a prompt, the layers read one row. Each layer attends once; then every method sees what the
   layer saw, and its row keeps its own entries.
2. A method that changes the reading itself (`kvbook.engine.refuse.RESHAPING`, or chunks), or looks
   back at what was read, reads in a row of its own.
3. Decoded tokens and later turns go through the weights as one batch. Only attention is a row's
   own, over the entries that it holds: no row pays for the length of its neighbour.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Cache

from kvbook.engine import padding, past, refuse, refuse_panel
from kvbook.engine.attach import (
    Engine,
    by_name,
    counting_steps,
    decoded,
    no_autograd,
    wire,
)
from kvbook.engine.attention import measure
from kvbook.engine.cache import KVCache
from kvbook.engine.clock import Mark, mark
from kvbook.engine.run import Run, input_device
from kvbook.engine.state import Forward, PromptState


class Panel:
    """Several methods, to be attached at once.

    Parameters
    ----------
    methods : sequence
        Anything that `kvbook.engine.attach.attach` takes; the same method may come twice.

    Raises
    ------
    ParameterError
        No sequence, an empty one, or something in it that is no method.

    Examples
    --------
    >>> panel = Panel([create_method("fullkv"), create_method("snapkv", budget=256)])
    >>> with panel.attach(lm.model) as run:
    ...     out = lm.model.generate(ids.repeat(len(panel), 1), max_new_tokens=32, do_sample=False)
    >>> run.rows[1].kv_bytes  # of SnapKV
    """

    def __init__(self, methods: Sequence):
        refuse_panel.check_methods(methods)
        self.methods = tuple(methods)

    def __len__(self) -> int:
        return len(self.methods)

    def __repr__(self) -> str:
        return f"Panel([{', '.join(map(str, self.methods))}])"

    @contextmanager
    def attach(self, model: nn.Module) -> Iterator["PanelRun"]:
        """Run ``model`` with all methods inside a ``with`` block.

        Row ``i`` of what the model is given belongs to method ``i % len(panel)``: each prompt comes
        in ``len(panel)`` rows, one after the other, and ``ids.repeat(len(panel), 1)`` makes them of
        one prompt. Shorter prompts are padded on the left. In float32, a row keeps and says what
        its method keeps and says alone. In bfloat16 the two can differ, because a batch rounds in
        another order.

        Yields
        ------
        PanelRun
            The record; it stays readable after the block.

        Raises
        ------
        UnsupportedError
            As of `kvbook.engine.attach.attach`, and for rows that are not the same prompt.
        """
        model = refuse.check_all(self.methods, model)
        run = PanelRun(self.methods, model)
        hooks = any(hasattr(method, "pass_on") for method in self.methods)
        with wire(PanelEngine(run), model, hooks):
            yield run


@dataclass
class PanelState:
    """Everything that a panel knows of its prompts: a copy of it is a snapshot.

    Attributes
    ----------
    rows : list of PromptState
        By row, without padding.
    real : BoolTensor [rows, columns]
        Which of the columns that were read are tokens.
    """

    rows: list[PromptState]
    real: Tensor

    def pick(self, indices: Sequence[int]) -> "PanelState":
        """Some of the rows, in this order: to go on with fewer methods, or with one row twice."""
        return PanelState([self.rows[i] for i in indices], self.real[list(indices)])


@dataclass
class Part:
    """Rows that go through the layers together.

    Attributes
    ----------
    rows : list of int
        Their numbers.
    engines : list of Engine
        The engine of each of these rows.
    shared : bool
        They read one prompt: one row goes through the layers for all of them.
    """

    rows: list[int] = field(default_factory=list)
    engines: list[Engine] = field(default_factory=list)
    shared: bool = False


class PanelCache(KVCache):
    """The caches of all rows, as transformers sees them: one, with the columns read so far."""

    def __init__(self, layers: int):
        super().__init__(layers)
        self.part = Part()

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args, **kwargs):
        """Append to each row's cache what is the row's."""
        caches = [engine.run.state.cache for engine in self.part.engines]
        if self.part.shared:  # all hold the same entries, until their methods have chosen
            first, *others = caches
            first.update(key_states, value_states, layer_idx)
            for one in others:
                one.layers[layer_idx].mirror(first.layers[layer_idx])
            return first.layers[layer_idx].keys, first.layers[layer_idx].values
        parts = zip(key_states.split(1), value_states.split(1), strict=True)
        for engine, cache, (keys, values) in zip(self.part.engines, caches, parts, strict=True):
            new = engine.run.state.forward.inputs.shape[1]
            if new < keys.shape[2]:  # padding on the left
                keys, values = keys[:, :, -new:], values[:, :, -new:]
            cache.update(keys, values, layer_idx)
        return key_states, value_states


class PanelRun:
    """The record of what happens under one `Panel.attach`; it describes the latest prompts.

    Attributes
    ----------
    methods : tuple
        The panel's.
    model : nn.Module
        The model they are attached to.
    rows : list of Run
        The record of every row: of method ``i % len(methods)``. Times are those of the forwards
        that rows share: they do not tell methods apart.
    cache : PanelCache or None
        Pass it as ``past_key_values`` to go on with a next turn.
    given : transformers.Cache or None
        The caller's own cache, if it gave an empty one.
    real : BoolTensor [rows, columns]
        Which of the columns read so far are tokens.
    """

    def __init__(self, methods: tuple, model: nn.Module):
        self.methods, self.model = methods, model
        self.engines = self.make_engines(1)
        self.cache: PanelCache | None = None
        self.given: Cache | None = None
        self.real = torch.ones(len(methods), 0, dtype=torch.bool)

    @property
    def rows(self) -> list[Run]:
        """The record of every row."""
        return [engine.run for engine in self.engines]

    @property
    def read_lengths(self) -> list[int]:
        """Tokens read so far, by row."""
        return [run.tokens_seen for run in self.rows]

    @property
    def interrupted(self) -> bool:
        """A call ended in the middle of the layers: nothing goes on from here."""
        return any(run.state.interrupted for run in self.rows)

    @property
    def kv_bytes(self) -> int:
        """Bytes of the keys and values that all rows hold now."""
        return sum(run.kv_bytes for run in self.rows)

    @property
    def prefill_seconds(self) -> float:
        """Seconds in the model's forward for inputs of several tokens, all readings together."""
        return max(run.prefill_seconds for run in self.rows)

    @property
    def decode_seconds(self) -> float:
        """Seconds in the model's forward for decoded tokens, all rows together."""
        return max(run.decode_seconds for run in self.rows)

    def make_engines(self, prompts: int) -> list[Engine]:
        """An engine a row, with nothing in it yet."""
        methods = self.methods * prompts
        return [Engine(Run(method, self.model)) for method in methods]

    def begin(self, engines: list[Engine], given: Cache | None = None) -> None:
        """New rows come: forget the old ones."""
        self.engines = engines
        self.cache, self.given = PanelCache(len(self.model.base_model.layers)), given
        if given is not None:
            given.layers = self.cache.layers

    def snapshot(self) -> PanelState:
        """A copy of everything that the rows hold, for `restore`."""
        states = [run.snapshot() for run in self.rows]
        return PanelState(states, self.real.clone())

    def restore(self, snapshot: PanelState) -> None:
        """Go back to a `snapshot`; go on with ``past_key_values=run.cache``, which is a new one.

        The snapshot may be another panel's, of the same model: `PanelState.pick` leaves the rows
        that this panel's methods go on with.
        """
        refuse_panel.check_rows(len(snapshot.rows), self.methods)
        self.begin(self.make_engines(len(snapshot.rows) // len(self.methods)))
        for engine, state in zip(self.engines, snapshot.rows, strict=True):
            engine.run.state = deepcopy(state)
        self.real = snapshot.real.clone()
        self.cache.advance(self.real.shape[1])


class PanelEngine:
    """The functions of one `Panel.attach`: `kvbook.engine.attach.Engine` for each row, around one
    forward.

    Parameters
    ----------
    run : PanelRun
        The record, with the methods and the model.
    """

    def __init__(self, run: PanelRun):
        self.run = run
        self.base = run.model.base_model
        self.aside: list[tuple[Mark, Mark]] = []  # of this call: what methods do meanwhile
        self.steps: int | None = None  # as of `Engine`

    def engine_of(self, run: Run) -> Engine:
        """The engine of the row that has this run."""
        return next(engine for engine in self.run.engines if engine.run is run)

    @property
    def part(self) -> Part:
        """The rows that go through the layers now."""
        return self.run.cache.part

    # ---- the whole model -------------------------------------------------------------------------

    def call_generate(self, plain: Callable, *args, **kwargs):
        """In front of the model's ``generate``: refuse what cannot work."""
        given = by_name(plain, args, kwargs)
        for method in self.run.methods:
            refuse.check_generate(method, self.run.model, given)
        refuse_panel.check_generate(self.run.model, given)
        with counting_steps(self):
            return plain(*args, **kwargs)

    def call_model(self, plain: Callable, *args, **kwargs):
        """In front of the model's ``forward``: no gradients, and a look at the clock."""
        given = by_name(plain, args, kwargs)
        for method in self.run.methods:
            refuse.check_outputs(method, given)
        device = input_device(self.run.model)
        started, self.aside = mark(device), []
        with no_autograd():
            output = plain(*args, **kwargs)
        ended = mark(device)
        for row in self.run.rows:
            row.state.count_call(started, ended, self.aside)
        return output

    # ---- the stack of layers ---------------------------------------------------------------------

    def call_stack(self, plain: Callable, *args, **kwargs):
        """In front of the ``forward`` of the stack: check every row, then read."""
        kwargs = dict(by_name(plain, args, kwargs))
        refuse.check_call(kwargs)
        refuse.check_training(self.run.model)
        refuse_panel.check_call(kwargs)
        name = "input_ids" if kwargs.get("input_ids") is not None else "inputs_embeds"
        run, inputs, cache = self.run, kwargs[name], kwargs.get("past_key_values")
        rows, columns = inputs.shape[:2]
        if decoded(self.steps, columns):
            kwargs |= {"attention_mask": None, "position_ids": None}
        real = padding.real_columns(kwargs.get("attention_mask"), rows, columns)
        fresh = cache is None or cache.get_seq_length() == 0
        if fresh:
            refuse_panel.check_rows(rows, run.methods)
            refuse_panel.check_same_prompts(inputs, real, len(run.methods))
            engines = run.make_engines(rows // len(run.methods))
        else:
            refuse.check_cache(cache, rows, run)
            engines = run.engines
        own = self._own_arguments(name, kwargs, real, fresh)
        incoming = [engine.check(name, one) for engine, one in zip(engines, own, strict=True)]
        if fresh:
            run.begin(engines, cache)
        for engine, one in zip(engines, incoming, strict=True):
            engine.begin(one)
            engine.run.state.forward = Forward()
        new = torch.ones(rows, columns, dtype=torch.bool) if real is None else real.cpu()
        run.real = new if fresh else torch.cat((run.real, new), dim=1)
        try:
            with no_autograd():
                output = self._read(plain, name, kwargs, own)
        except BaseException:  # Ctrl-C, too
            for engine in engines:
                engine.run.state.interrupted = True
            raise
        finally:
            for engine in engines:
                self.aside += engine.run.state.forward.aside
                engine.run.state.forward = None
        for engine, one in zip(engines, incoming, strict=True):
            engine.finish(one.columns)
        run.cache.advance(columns)
        if self.steps is not None:
            self.steps += 1
        return output

    def _own_arguments(
        self, name: str, kwargs: dict, real: Tensor | None, fresh: bool
    ) -> list[dict]:
        """What every row would be called with alone: its own tokens, without padding."""
        inputs, positions, run = kwargs[name], kwargs.get("position_ids"), self.run
        rows, columns = inputs.shape[:2]
        lengths = padding.row_lengths(real, rows, columns)
        refuse.check_lengths(lengths)
        before = None
        if not fresh:
            before = past.shown(kwargs.get("attention_mask"), columns, run.real)
        own = []
        for row, new in enumerate(lengths):
            one = {name: inputs[row : row + 1, columns - new :]}
            if not fresh:
                one["past_key_values"] = run.engines[row].run.cache
            if before is not None:
                seen = before[row, run.real[row]].to(inputs.device)
                one["attention_mask"] = torch.cat((seen, seen.new_ones(new)))[None]
            if positions is not None:
                one["position_ids"] = positions.expand(rows, -1)[row : row + 1, columns - new :]
            own.append(one)
        return own

    def _read(self, plain: Callable, name: str, kwargs: dict, own: list[dict]):
        """Take all rows through the stack, part by part; what the stack gives of every row, padding
        on the left of what it gives of fewer columns."""
        columns, hidden = kwargs[name].shape[1], dict[int, Tensor]()
        for part in self._parts(columns):
            self.run.cache.part = part
            given = kwargs | own[part.rows[0]]
            if part.shared or len(part.rows) == 1:
                output = self._read_one(plain, name, given, part)
                hidden |= dict.fromkeys(part.rows, output.last_hidden_state)
            else:
                output = self._read_rows(plain, name, kwargs, own, part)
                hidden |= dict(zip(part.rows, output.last_hidden_state.split(1), strict=True))
        first = hidden[0]
        if all(one is first for one in hidden.values()) and first.shape[1] == columns:
            states = first.expand(len(hidden), -1, -1)  # of one prompt: no copies
        else:
            states = first.new_zeros(len(hidden), columns, first.shape[2])
            for row, one in hidden.items():
                states[row, columns - one.shape[1] :] = one[0]
        return type(output)(last_hidden_state=states, past_key_values=self.run.cache)

    def _parts(self, columns: int) -> list[Part]:
        """Which rows go through the layers together: of a prompt, those that read it alike; later,
        all of them, but for an input that a method reads in chunks."""
        prompt = self.run.rows[0].state.phase == "prompt"
        parts, together = [], Part(shared=prompt)
        for row, engine in enumerate(self.run.engines):
            if prompt and row % len(self.run.methods) == 0:
                together = Part(shared=True)
            chunk = getattr(engine.run.method, "chunk", None)
            apart = chunk is not None and columns > chunk
            if apart or (prompt and refuse_panel.reads_its_own_way(engine.run.method)):
                parts.append(Part([row], [engine], shared=True))
                continue
            if not together.rows:
                parts.append(together)
            together.rows.append(row)
            together.engines.append(engine)
        return parts

    def _read_one(self, plain: Callable, name: str, kwargs: dict, part: Part):
        """One row goes through the layers, for all rows of the part."""
        lead, *others = part.engines

        def forward(**given):
            for other in others:
                other.take(lead.run.state.forward.inputs, None)
            return plain(**given | {"past_key_values": self.run.cache})

        return lead.read(forward, name, kwargs, None)

    def _read_rows(self, plain: Callable, name: str, kwargs: dict, own: list[dict], part: Part):
        """Every row goes through the layers, in one batch."""
        columns = kwargs[name].shape[1]
        positions = kwargs[name].new_zeros(len(part.rows), columns, dtype=torch.long)
        for place, (row, engine) in enumerate(zip(part.rows, part.engines, strict=True)):
            engine.take(own[row][name], None)
            new = engine.run.state.forward.position_ids
            positions[place, columns - new.shape[1] :] = new[0]
        inputs = kwargs[name]
        if len(part.rows) < len(inputs):
            inputs = inputs[part.rows]
        given = {name: inputs, "position_ids": positions}
        given |= {"past_key_values": self.run.cache, "attention_mask": None, "use_cache": True}
        output = plain(**kwargs | given)
        self._look_back([engine.run for engine in part.engines])
        return output

    def _look_back(self, runs: list[Run]) -> None:
        """Let each method that wants to look back at what its rows have read, all of them at once."""
        for method in {id(run.method): run.method for run in runs}.values():
            if hasattr(method, "after_forward"):
                its = [run for run in runs if run.method is method]
                method.after_forward(its, [run.state.forward.inputs[0] for run in its])

    # ---- one layer -------------------------------------------------------------------------------

    def attention(
        self, module, query, key, value, attention_mask=None, scaling=None, dropout=0.0, **kwargs
    ):
        """The attention function that the model calls; ``key`` and ``value`` are in the rows'
        caches already."""
        engines, columns = self.part.engines, query.shape[2]
        scaling = module.scaling if scaling is None else scaling
        if self.part.shared and len(engines) > 1:
            return self._attend_once(module, query, key, value, scaling), None
        outputs = []
        for engine, mine in zip(engines, query.split(1), strict=True):
            state = engine.run.state
            if state.forward.first_pass is None:  # which has no cache
                layer = state.cache.layers[module.layer_idx]
                key, value = layer.keys, layer.values
            new = min(columns, state.forward.inputs.shape[1])
            if new < columns:  # padding on the left
                mine = mine[:, :, columns - new :]
            one, _ = engine.attention(module, mine, key, value, scaling=scaling)
            outputs.append(one if new == columns else F.pad(one, (0, 0, 0, 0, columns - new, 0)))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs), None

    def _attend_once(self, module, query, key, value, scaling: float) -> Tensor:
        """Attend for all rows of one prompt; then every method sees what the layer saw."""
        engines = self.part.engines
        asked = any(getattr(engine.run.method, "column_sums", False) for engine in engines)
        output, sums = measure(query, key, value, scaling, sums=asked)
        for engine in engines:
            method = engine.run.method
            asks = getattr(method, "column_sums", False)
            engine.choose(
                module, query, scaling, sums.clone() if asks and sums is not None else None
            )
        return output.transpose(1, 2)

    # ---- between layers --------------------------------------------------------------------------

    def before_layer(self, layer, args, kwargs):
        """Of a method that cuts the prefill: `Engine.before_layer`."""
        lead = self._cutting()
        return lead.before_layer(layer, args, kwargs) if lead else None

    def after_layer(self, layer, args, hidden):
        """Of a method that cuts the prefill: `Engine.after_layer`."""
        lead = self._cutting()
        return lead.after_layer(layer, args, hidden) if lead else None

    def _cutting(self) -> Engine | None:
        """The engine whose method cuts what is read now, if there is one; it reads in a row of its
        own."""
        lead = self.part.engines[0]
        cuts = hasattr(lead.run.method, "pass_on") and lead.run.state.phase == "prompt"
        return lead if cuts else None
