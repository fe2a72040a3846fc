"""Where the time of a prefill goes: layer by layer, and part by part."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from kvbook.engine.attach import attach
from kvbook.lm.models import LoadedModel, check_loaded
from kvbook.methods.base import Method, as_method, as_methods
from kvbook.profiling.hardware import synchronize

PARTS = ("projections", "attention", "scoring", "mlp", "norms", "rest")
"""``attention`` includes RoPE and the cache, ``rest`` is residuals and the cut between layers."""
HOOKS = ("keep", "evict", "pass_on", "choose")


class Watched:
    """A method whose hooks are timed; everything else is its own."""

    def __init__(self, method: Method, note):
        self._method, self._note = method, note

    def __getattr__(self, name: str):
        found = getattr(self._method, name)
        if name not in HOOKS or found is None:
            return found

        def hook(seen):
            device = seen.keys.device
            synchronize(device)
            started = time.perf_counter()
            result = found(seen)
            synchronize(device)
            self._note(seen.layer, "scoring", time.perf_counter() - started)
            return result

        return hook


def break_down(lm: LoadedModel, method: Method, ids: Tensor) -> list[dict[str, float]]:
    """Seconds of one prefill by layer and part.

    Parameters
    ----------
    lm : LoadedModel
        The model.
    method : Method
        Attached for this prefill.
    ids : LongTensor [1, tokens]
        The prompt.

    Returns
    -------
    list of dict
        A layer each, with every name of `PARTS`; what GemFilter's first pass takes is in the
        layers that it goes through. Watching costs a little, mostly in ``rest``.
    """
    check_loaded(lm)
    method = as_method(method)
    model = lm.model
    layers = model.base_model.layers
    device = model.device
    taken: list[dict[str, float]] = [defaultdict(float) for _ in layers]

    def note(layer: int, part: str, seconds: float) -> None:
        taken[layer][part] += seconds

    with ExitStack() as stack:

        def watch(module: torch.nn.Module, layer: int, part: str) -> None:
            started: list[float] = []

            def before(*_):
                synchronize(device)
                started.append(time.perf_counter())

            def after(*_):
                synchronize(device)
                note(layer, part, time.perf_counter() - started.pop())

            for handle in (
                module.register_forward_pre_hook(before),
                module.register_forward_hook(after, always_call=True),
            ):
                stack.callback(handle.remove)

        for i, layer in enumerate(layers):
            attention = layer.self_attn
            watch(layer, i, "layer")
            watch(attention, i, "self_attn")
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                watch(getattr(attention, name), i, "projections")
            watch(layer.mlp, i, "mlp")
            watch(layer.input_layernorm, i, "norms")
            watch(layer.post_attention_layernorm, i, "norms")
        stack.enter_context(attach(Watched(method, note), model))
        with torch.no_grad():
            model(ids, logits_to_keep=1)
    made = []
    for one in taken:
        inner = one["self_attn"] - one["projections"] - one["scoring"]
        rest = one["layer"] - one["self_attn"] - one["mlp"] - one["norms"]
        made.append({part: one[part] for part in PARTS} | {"attention": inner, "rest": rest})
    return made


def sum_layers(layers: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Seconds by part over all layers of `break_down`."""
    return {part: sum(layer[part] for layer in layers) for part in layers[0]}


def quickest(
    lm: LoadedModel, methods: Mapping[str, Method], ids: Tensor, turns: int = 3
) -> dict[str, list[dict[str, float]]]:
    """`break_down` of several methods, in turns; of each the run that took least, since what
    disturbs a run only adds to it.

    Parameters
    ----------
    methods : mapping of str to Method
        By the name that the result gets.
    turns : int
        Prefills of each method.
    """
    check_loaded(lm)
    methods = as_methods(methods)
    runs = [{name: break_down(lm, one, ids) for name, one in methods.items()} for _ in range(turns)]

    def seconds(layers: Sequence[Mapping[str, float]]) -> float:
        return sum(sum_layers(layers).values())

    return {name: min((run[name] for run in runs), key=seconds) for name in methods}
