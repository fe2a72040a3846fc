"""The speed that this book promises, measured: `make bench`. Not a test: it prints what holds.

Every ratio is of a pair that ran in the same repeat of the same session; what is printed is the
median over the repeats, and the least and the most. What is promised stands in
`kvbook.profiling.promises`.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from kvbook.engine.panel import Panel
from kvbook.lm.costs import ModelShape
from kvbook.lm.generation import generate_ids
from kvbook.lm.models import LoadedModel
from kvbook.methods.base import Method, create_method
from kvbook.places import place
from kvbook.profiling.beside_kvpress import PEERS, run_beside_kvpress
from kvbook.profiling.breakdown import break_down, sum_layers
from kvbook.profiling.hardware import measure_hardware
from kvbook.profiling.memory import FreshProcesses, measures_memory
from kvbook.profiling.prediction import predict
from kvbook.profiling.promises import (
    ALONE,
    ANSWER,
    BUDGET,
    CONTEXT,
    DECODE,
    DECODE_LONG,
    FULL,
    LONG,
    NEEDLE,
    NEW_TOKENS,
    ONE_NEEDLE,
    PANEL,
    PEAK,
    PREFILL,
    PROMISES,
    WHOLE,
    kind_of,
)
from kvbook.profiling.timing import STOCK, Measurement, measure_all, read_text
from kvbook.results import machine
from kvbook.tasks.needle import make_needles

BUDGETS = {
    "fastkv": BUDGET,
    "gemfilter": BUDGET,
    "pyramidinfer": 0.5,
    "snapkv": BUDGET,
    "streamingllm": BUDGET,
    "h2o": BUDGET,
}
"""The promises are of these, and of FullKV."""
CALLED = {STOCK: ALONE, "fullkv": FULL} | {name: f"{name}, {one}" for name, one in BUDGETS.items()}
"""What the promises call a measurement."""
PANEL_BUDGETS = (64, 128, 256)
"""Of SnapKV and of StreamingLLM."""


def methods() -> dict[str, Method]:
    """The methods that the promises are about."""
    made = {name: create_method(name, budget=budget) for name, budget in BUDGETS.items()}
    return {"fullkv": create_method("fullkv")} | made


def panel() -> Panel:
    """Four methods in eight rows, as chapters compare them."""
    several = [
        create_method(name, budget=budget)
        for name in ("snapkv", "streamingllm")
        for budget in PANEL_BUDGETS
    ]
    return Panel([create_method("fullkv"), *several, create_method("h2o", budget=128)])


def bench(lm: LoadedModel, repeats: int = 5, kvpress: Path | None = None) -> dict:
    """Measure every promise.

    Parameters
    ----------
    lm : LoadedModel
        The embedded model, for the promises are of it.
    repeats : int
        How often the short runs are repeated; the long ones are repeated at most three times.
    kvpress : Path, optional
        A Python that has kvpress (``make kvpress``); without it, that part is left out.

    Returns
    -------
    dict
        ``promises`` (list of `kvbook.profiling.promises.Measured`), ``measurements``, ``hardware``;
        of FullKV's prefill ``limit`` (its ``flops``, the ``products_seconds`` that the machine's
        own matrix products would need for them, and the ``prefill_seconds`` that were measured),
        ``parts`` (its seconds by part) and ``parts_flops`` (its operations by part); and ``model``
        (its number of parameters).
    """
    ours, few = methods(), min(3, repeats)
    turns = {STOCK: None} | ours
    short = measure_all(lm, turns, [CONTEXT], NEW_TOKENS, repeats, memory=())
    turns = {STOCK: None, "snapkv": ours["snapkv"]}
    long = measure_all(lm, turns, [LONG], NEW_TOKENS, few, memory=())
    values: dict[str, Mapping[str, Sequence[float]]] = {
        PREFILL: {CALLED[one.method]: one.prefill for one in short},
        DECODE: {CALLED[one.method]: one.decode for one in short},
        DECODE_LONG: {CALLED[one.method]: one.decode for one in long},
        ONE_NEEDLE: time_panel(lm, repeats),
        PEAK: {},
    }
    ids = read_text(lm, CONTEXT)
    pair = {name: ours[name] for name in ("fullkv", "h2o")}
    if measures_memory():
        ours_peak = measure_peaks(lm, pair, ids, few)
        values[PEAK] = {CALLED[name]: found for name, found in ours_peak.items()}
    if kvpress:
        pair = {name: ours[name] for name in PEERS}
        whole, their_peak = run_beside_kvpress(lm, kvpress, pair, ids, few)
        values[WHOLE] = {CALLED.get(name, name): found for name, found in whole.items()}
        values[PEAK] = {**values[PEAK], **their_peak}
    kind = kind_of(machine())
    compared = [promise.compare(values, kind) for promise in PROMISES]
    return {
        "promises": [one for one in compared if one],
        "measurements": short + long,
    } | take_prefill_apart(lm, short, ids)


def time_panel(lm: LoadedModel, repeats: int) -> dict[str, list[float]]:
    """Seconds of a needle, answered by FullKV alone and by all methods of the panel, in turns."""
    [needle] = make_needles(lm.tokenizer, place("data"), 1, NEEDLE)
    prompt = lm.tokenizer(needle.prompt, add_special_tokens=False).input_ids
    several = panel()
    asked: dict[str, tuple[Method | Panel, int]] = {
        FULL: (create_method("fullkv"), 1),
        PANEL: (several, len(several)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for _ in tqdm(range(1 + repeats), desc="panel", unit="pair"):
        for name, (method, rows) in asked.items():
            started = time.perf_counter()
            with method.attach(lm.model):
                generate_ids(lm.model, [prompt] * rows, ANSWER, min_new_tokens=ANSWER)
            seconds[name].append(time.perf_counter() - started)
    return {name: taken[1:] for name, taken in seconds.items()}  # the first pair warms up


def measure_peaks(
    lm: LoadedModel, methods: dict[str, Method], ids: Tensor, repeats: int
) -> dict[str, list[int]]:
    """Peak bytes above the level before the run, each measured in a process of its own."""
    peaks: dict[str, list[int]] = {name: [] for name in methods}
    with FreshProcesses(lm) as fresh:
        for name in tqdm(list(methods) * repeats, desc="memory", unit="run"):
            peaks[name] += fresh.peaks(methods[name], ids, 2) or ()
    return peaks


def take_prefill_apart(lm: LoadedModel, short: Sequence[Measurement], ids: Tensor) -> dict:
    """How far FullKV's prefill is from this machine's matrix products, and where its time goes."""
    full = create_method("fullkv")
    with tqdm(total=2, desc="hardware", unit="run") as line:
        hardware = measure_hardware(lm)
        line.update()
        line.set_description("parts of a prefill")
        parts = sum_layers(break_down(lm, full, ids))
        line.update()
    config = lm.model.config
    prefill = predict(config, full, CONTEXT, 1, dtype=lm.model.dtype, hardware=hardware).prefill
    [measured] = [one for one in short if one.method == "fullkv"]
    return {
        "hardware": hardware,
        "limit": {
            "flops": prefill.flops,
            "products_seconds": prefill.flops / hardware.flops,
            "prefill_seconds": measured.spread("prefill").median,
        },
        "parts": parts,
        "parts_flops": {part: cost.flops for part, cost in prefill.parts.items()},
        "model": {"parameters": ModelShape.of(config).parameters},
    }


def plain(done: dict) -> dict:
    """What `bench` returns, for a results file."""
    return done | {
        "promises": [promise.data() for promise in done["promises"]],
        "measurements": [one.data() for one in done["measurements"]],
        "hardware": asdict(done["hardware"]),
    }
