"""Latency and memory, measured: methods take turns in one session, on real text."""

import gc
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from kvbook.errors import ParameterError
from kvbook.lm.models import LoadedModel, check_loaded
from kvbook.methods.base import Method, as_methods
from kvbook.places import place
from kvbook.profiling.memory import FreshProcesses, measures_memory
from kvbook.profiling.one_run import WARM_UP, Sample, or_stock, run_once
from kvbook.stats import Spread
from kvbook.tasks.needle import read_essays

STOCK = "transformers alone"
"""The name of a measurement without any method, without us."""


@dataclass(frozen=True)
class Measurement:
    """One method at one context length, several times.

    Attributes
    ----------
    method : str
        As it was called, with its parameters.
    context_length, new_tokens : int
        Prompt tokens, and generated ones.
    prefill, first_token, decode, end_to_end : tuple of float
        Seconds, one value a repeat: the model's forward over the prompt; from the call of
        ``generate`` to the first new token; the median of the later tokens; the whole call.
    kv_bytes, kv_bytes_peak : int
        Bytes of keys and values at the end of the answer, and the most at any moment.
    weight_bytes : int
        The model's parameters.
    peak_bytes : int or None
        Most memory above the level before the run, weights not included. On CUDA the
        allocator's; on the CPU that of a fresh process (Linux only, else None).
    out_of_memory : bool
        It did not fit: then there are no times.
    tokens : tuple of int
        What was generated.
    notes : tuple of str
        What the method had to change, as its run said.
    """

    method: str
    context_length: int
    new_tokens: int
    prefill: tuple[float, ...] = ()
    first_token: tuple[float, ...] = ()
    decode: tuple[float, ...] = ()
    end_to_end: tuple[float, ...] = ()
    kv_bytes: int = 0
    kv_bytes_peak: int = 0
    weight_bytes: int = 0
    peak_bytes: int | None = None
    out_of_memory: bool = False
    tokens: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def spread(self, what: str) -> Spread:
        """Median, least and most of ``"prefill"``, ``"first_token"``, ``"decode"`` or
        ``"end_to_end"``, in seconds."""
        return Spread.of(getattr(self, what))

    def ratio_to(self, other: "Measurement", what: str) -> Spread:
        """`spread` of this measurement's times as a share of another one's, of the same session:
        repeat by repeat, over the repeats that both have."""
        pairs = zip(getattr(self, what), getattr(other, what), strict=False)
        return Spread.of(mine / theirs for mine, theirs in pairs)

    def join(self, later: "Measurement") -> "Measurement":
        """Both as one: this one's repeats, and those of a later measurement of the same."""
        if self.out_of_memory or later.out_of_memory:
            fields = (later.method, later.context_length, later.new_tokens)
            return collect(*fields, later.weight_bytes, (), self.peak_bytes, True)
        peaks = [one.peak_bytes for one in (self, later) if one.peak_bytes is not None]
        return replace(
            later,
            prefill=self.prefill + later.prefill,
            first_token=self.first_token + later.first_token,
            decode=self.decode + later.decode,
            end_to_end=self.end_to_end + later.end_to_end,
            kv_bytes_peak=max(self.kv_bytes_peak, later.kv_bytes_peak),
            peak_bytes=max(peaks, default=None),
        )

    @property
    def total_bytes(self) -> int | None:
        """The peak with the weights; None where it was not measured."""
        return None if self.peak_bytes is None else self.peak_bytes + self.weight_bytes

    def data(self) -> dict:
        """Plain values, for a results file; `read` is the way back."""
        return asdict(self)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Measurement":
        """From plain values, as a results file has them."""
        plain: dict[str, Any] = {
            key: tuple(one) if isinstance(one, list) else one for key, one in data.items()
        }
        return cls(**plain)

    def row(self) -> dict[str, str]:
        """A row for `kvbook.show.table`."""
        first = {"method": self.method, "context": f"{self.context_length:,}"}
        names = ("prefill, s", "first token, s", "decode, ms a token", "end to end, s")
        if self.out_of_memory:
            return first | dict.fromkeys((*names, "memory, MiB", "KV, MiB"), "OOM")
        times = (
            self.spread("prefill").show(),
            self.spread("first_token").show(),
            self.spread("decode").show(".0f", 1000) if self.decode else "–",
            self.spread("end_to_end").show(),
        )
        peak = "–" if self.peak_bytes is None else f"{self.peak_bytes / 2**20:.0f}"
        return (
            first
            | dict(zip(names, times, strict=True))
            | {"memory, MiB": peak, "KV, MiB": f"{self.kv_bytes / 2**20:.1f}"}
        )


def measure(
    lm: LoadedModel,
    method: Method | None,
    context_length: int,
    new_tokens: int = 16,
    repeats: int = 3,
) -> Measurement:
    """What one method costs at one context length.

    Parameters
    ----------
    lm : LoadedModel
        The model.
    method : Method or None
        None is transformers alone, with its own attention and cache.
    context_length : int
        Prompt tokens, of real text.
    new_tokens : int
        Tokens to generate, greedily. An end token cannot come before the last one, so that every
        run has the same length.
    repeats : int
        Runs after the warm-up.

    Raises
    ------
    ParameterError
        A length or a count below 1, or no method. To run out of memory is a result, not an error.
    """
    check_loaded(lm)
    method = or_stock(method)
    name = STOCK if method is None else str(method)
    return measure_all(lm, {name: method}, [context_length], new_tokens, repeats, progress=False)[0]


def measure_all(
    lm: LoadedModel,
    methods: Mapping[str, Method | None],
    contexts: Sequence[int],
    new_tokens: int = 16,
    repeats: int = 3,
    *,
    memory: Collection[int] | None = None,
    fresh: FreshProcesses | None = None,
    progress: bool = True,
) -> list[Measurement]:
    """`measure` for several methods and lengths, in turns: in every repeat each method runs
    once, and each repeat begins with another one, so that a slow moment of the machine hits
    all.

    Parameters
    ----------
    methods : mapping of str to Method or None
        By the name that the measurement gets.
    contexts : sequence of int
        Prompt lengths.
    memory : collection of int, optional
        The contexts at which the peak of memory is measured too, which on the CPU takes a
        process for each method; all of them when left out.
    fresh : FreshProcesses, optional
        Where these processes come from, when there is such a context already.
    progress : bool
        Show a line with what is being measured.

    Returns
    -------
    list of Measurement
        Context by context, in the order of the methods.
    """
    check_loaded(lm)
    methods = as_methods(methods, or_stock)
    for name, value in [("new_tokens", new_tokens), ("repeats", repeats)] + [
        ("context_length", context) for context in contexts
    ]:
        if not isinstance(value, int) or value < 1:
            raise ParameterError(f"{name}={value!r}: give a whole number, at least 1")
    for method in methods.values():
        if check := getattr(method, "check_model", None):
            check(lm.model)
    weights = sum(parameter.nbytes for parameter in lm.model.parameters())
    measured = []
    on_cpu = lm.model.device.type == "cpu"
    alone = set(contexts if memory is None else memory) if on_cpu and measures_memory() else set()
    steps = len(methods) * (len(contexts) * repeats + len(alone & set(contexts)))
    with ExitStack() as stack:
        line = stack.enter_context(tqdm(total=steps, disable=not progress, unit="run"))
        if alone and fresh is None:
            fresh = stack.enter_context(FreshProcesses(lm))
        warm_up(lm, methods.values())
        gc.freeze()  # every run begins with a collection, which need not look at all libraries again
        stack.callback(gc.unfreeze)
        for context in contexts:
            ids = read_text(lm, context)
            samples: dict[str, list[Sample]] = {name: [] for name in methods}
            peaks: dict[str, int | None] = dict.fromkeys(methods)
            failed = set()
            for name, method in methods.items() if context in alone else ():
                line.set_description(f"{context} tokens, memory: {name}"[:60])
                found = fresh.peaks(method, ids, new_tokens)
                if found is None:
                    failed.add(name)
                else:
                    peaks[name] = found[0]
                line.update()
            for _, name in turns(methods, repeats):
                line.set_description(f"{context} tokens, time: {name}"[:60])
                if name not in failed:
                    sample = run_once(lm, methods[name], ids, new_tokens)
                    if sample is None:
                        failed.add(name)
                    else:
                        samples[name].append(sample)
                line.update()
            for name in methods:
                one = collect(
                    name, context, new_tokens, weights, samples[name], peaks[name], name in failed
                )
                measured.append(one)
    return measured


def turns(names: Iterable[str], repeats: int) -> Iterator[tuple[int, str]]:
    """Repeat and name, in the order of the runs: each name once a repeat, beginning with another
    one each time."""
    order = list(names)
    for repeat in range(repeats):
        first = repeat % len(order)
        for name in order[first:] + order[:first]:
            yield repeat, name


def collect(
    name: str,
    context: int,
    new_tokens: int,
    weights: int,
    samples: Sequence[Sample],
    peak: int | None,
    out_of_memory: bool,
) -> Measurement:
    """The samples of one method as one measurement."""
    if out_of_memory:
        return Measurement(
            name, context, new_tokens, weight_bytes=weights, peak_bytes=peak, out_of_memory=True
        )
    peaks = [one.peak_bytes for one in samples if one.peak_bytes is not None]
    return Measurement(
        method=name,
        context_length=context,
        new_tokens=new_tokens,
        prefill=tuple(one.prefill for one in samples),
        first_token=tuple(one.first_token for one in samples),
        decode=tuple(one.decode for one in samples if one.decode is not None),
        end_to_end=tuple(one.end_to_end for one in samples),
        kv_bytes=samples[-1].kv_bytes,
        kv_bytes_peak=max(one.kv_bytes_peak for one in samples),
        weight_bytes=weights,
        peak_bytes=max(peaks) if peaks else peak,
        tokens=samples[-1].tokens,
        notes=samples[-1].notes,
    )


def read_text(lm: LoadedModel, length: int, seed: int = 0) -> Tensor:
    """Token ids ``[1, length]`` of the book's essays, their paragraphs in an order drawn anew
    as often as it takes."""
    check_loaded(lm)
    essays, draw = read_essays(place("data")), random.Random(seed)
    ids: list[int] = []
    while len(ids) < length:
        draw.shuffle(essays)
        ids += lm.tokenizer("\n\n".join(essays) + "\n\n", add_special_tokens=False).input_ids
    return torch.tensor([ids[:length]], device=lm.model.device)


def warm_up(lm: LoadedModel, methods) -> None:
    """Let every method read and write a little: kernels are chosen, weights are touched."""
    ids = read_text(lm, WARM_UP)
    for method in methods:
        run_once(lm, method, ids, 3)
