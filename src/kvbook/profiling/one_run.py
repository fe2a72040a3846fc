"""One timed ``generate``: what a measurement of times or of memory is made of."""

import gc
import time
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from kvbook.lm.generation import greedy_options
from kvbook.lm.models import LoadedModel, check_loaded
from kvbook.methods.base import Method, as_method
from kvbook.profiling.hardware import synchronize
from kvbook.tasks.store import is_out_of_memory

WARM_UP = 64
"""Tokens of the prompt that every method reads once before anything is measured."""


@dataclass(frozen=True)
class Sample:
    """One run of one method.

    Attributes
    ----------
    prefill : float
        Seconds of the model's forward over the prompt.
    first_token, end_to_end : float
        Seconds from the call of ``generate`` to the first new token, and to its end.
    decode : float or None
        Median seconds of a later token; None where there is none.
    kv_bytes, kv_bytes_peak : int
        Bytes of keys and values at the end of the answer, and the most at any moment.
    peak_bytes : int or None
        On CUDA, most bytes of the allocator above the level before; None on a CPU.
    tokens : tuple of int
        What was generated.
    notes : tuple of str
        What the method had to change, as its run said.
    """

    prefill: float
    first_token: float
    decode: float | None
    end_to_end: float
    kv_bytes: int
    kv_bytes_peak: int
    peak_bytes: int | None
    tokens: tuple[int, ...]
    notes: tuple[str, ...]


class Ticks:
    """A streamer that only looks at the clock."""

    def __init__(self, device: torch.device):
        self.device = device
        self.at: list[float] = []

    def put(self, value: Tensor) -> None:
        """Called with the prompt, and then with every token."""
        synchronize(self.device)
        self.at.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is left to do."""


def or_stock(method: Method | str | None) -> Method | None:
    """The method, as `kvbook.methods.base.as_method` gives it; None stays None and means
    transformers alone."""
    return None if method is None else as_method(method)


def run_once(lm: LoadedModel, method: Method | None, ids: Tensor, new_tokens: int) -> Sample | None:
    """One timed ``generate``; None when memory was not enough."""
    check_loaded(lm)
    method = or_stock(method)
    model, device = lm.model, lm.model.device
    gc.collect()
    cuda = device.type == "cuda"
    if cuda:  # what the allocator holds stays there: a run need not ask the driver for it again
        torch.cuda.reset_peak_memory_stats(device)
        level = torch.cuda.memory_allocated(device)
    forward: list[float] = []

    def before(*_):
        synchronize(device)
        forward.append(-time.perf_counter())

    def after(*_):
        synchronize(device)
        forward[-1] += time.perf_counter()

    ticks = Ticks(device)
    try:
        with ExitStack() as stack:
            run = stack.enter_context(method.attach(model)) if method else None
            for handle in (
                model.register_forward_pre_hook(before),
                model.register_forward_hook(after),
            ):
                stack.callback(handle.remove)
            synchronize(device)
            started = time.perf_counter()
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                streamer=ticks,
                **greedy_options(model)
                | {
                    "max_new_tokens": new_tokens,
                    "min_new_tokens": new_tokens,
                    "return_dict_in_generate": True,
                },
            )
            ended = time.perf_counter()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None
    steps = [b - a for a, b in zip(ticks.at[1:], ticks.at[2:], strict=False)]
    kv = run.kv_bytes if run else cache_bytes(out.past_key_values)
    return Sample(
        prefill=forward[0],
        first_token=ticks.at[1] - started,
        decode=sorted(steps)[len(steps) // 2] if steps else None,
        end_to_end=ended - started,
        kv_bytes=kv,
        kv_bytes_peak=run.kv_bytes_peak if run else kv,
        peak_bytes=torch.cuda.max_memory_allocated(device) - level if cuda else None,
        tokens=tuple(out.sequences[0, ids.shape[1] :].tolist()),
        notes=tuple(run.notes) if run else (),
    )


def cache_bytes(cache) -> int:
    """Bytes of the keys and values in a cache of transformers."""
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
