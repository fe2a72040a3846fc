"""The speed that this book promises, as ratios: `make bench`. Not a test: it prints what holds.

Every ratio is of a pair that ran in the same repeat of the same session; what is printed is the
median over the repeats, and the least and the most.
"""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from kvbook.errors import ExecutionError
from kvbook.lm.costs import ModelShape
from kvbook.lm.models import LoadedModel, fetch_embedded
from kvbook.methods.base import Method, create_method
from kvbook.places import REPOSITORY
from kvbook.profiling.breakdown import break_down, sum_layers
from kvbook.profiling.hardware import measure_hardware
from kvbook.profiling.memory import STEADY, FreshProcesses, measures_memory
from kvbook.profiling.one_run import run_once
from kvbook.profiling.prediction import predict
from kvbook.profiling.timing import STOCK, measure_all, read_text
from kvbook.stats import Spread

CONTEXT, LONG = 4096, 8000
"""Prompt tokens of most ratios, and of decoding a long context."""
BUDGET, NEW_TOKENS = 512, 16
PREFILL = {
    "fastkv": 0.62,
    "gemfilter": 0.56,
    "pyramidinfer": 0.72,
    "snapkv": 1.04,
    "streamingllm": 1.04,
    "h2o": 1.25,
}
"""At most so much of FullKV's prefill."""


@dataclass(frozen=True)
class Promise:
    """One ratio, and what it must not exceed.

    Attributes
    ----------
    what, to : str
        What is compared, and with what.
    most : float
        The promise.
    measured : Spread
        The ratio.
    """

    what: str
    to: str
    most: float
    measured: Spread

    @property
    def holds(self) -> bool:
        """Whether the median keeps it."""
        return self.measured.median <= self.most

    def row(self) -> dict[str, str]:
        """For a table."""
        return {
            "what": self.what,
            "to": self.to,
            "at most": f"{self.most:.2f}",
            "measured": self.measured.show(),
            "holds": "yes" if self.holds else "NO",
        }

    def data(self) -> dict:
        """Plain values, for a results file."""
        return asdict(self) | {"holds": self.holds}


def methods() -> dict[str, Method]:
    """As the promises name them."""
    made = {"fullkv": create_method("fullkv")}
    for name in PREFILL:
        budget = 0.5 if name == "pyramidinfer" else BUDGET
        made[name] = create_method(name, budget=budget)
    return made


def describe(name: str, method) -> str:
    """A method in a few words."""
    return f"{name}, {method.budget}"


def bench(lm: LoadedModel, repeats: int = 5, kvpress: Path | None = None) -> dict:
    """Measure every promise.

    Parameters
    ----------
    lm : LoadedModel
        The embedded model, for the promises are of it.
    repeats : int
        Of the short runs; the long ones are repeated at most three times.
    kvpress : Path, optional
        A Python that has kvpress (``make kvpress``); without it, that part is left out.

    Returns
    -------
    dict
        ``promises`` (list of `Promise`), ``measurements``, ``hardware``, ``limit`` (how far the
        prefill is from the machine's own matrix products) and ``parts`` (where its time goes).
    """
    ours = methods()
    few = min(3, repeats)
    promises = []

    turns = {STOCK: None} | ours
    short = measure_all(lm, turns, [CONTEXT], NEW_TOKENS, repeats, memory=())
    at = {one.method: one for one in short}
    full = "FullKV under attach"
    for name, most in PREFILL.items():
        promises.append(
            Promise(
                f"{describe(name, ours[name])}: prefill of {CONTEXT}",
                full,
                most,
                at[name].ratio_to(at["fullkv"], "prefill"),
            )
        )
    stock = f"{STOCK} (sdpa, full cache)"
    prefill = at["fullkv"].ratio_to(at[STOCK], "prefill")
    promises.append(Promise(f"{full}: prefill of {CONTEXT}", stock, 1.0, prefill))
    decode = at["fullkv"].ratio_to(at[STOCK], "decode")
    promises.append(Promise(f"{full}: decode at {CONTEXT}", stock, 0.6, decode))

    turns = {STOCK: None, "snapkv": ours["snapkv"]}
    long = measure_all(lm, turns, [LONG], NEW_TOKENS, few, memory=())
    decode = long[1].ratio_to(long[0], "decode")
    promises.append(
        Promise(f"{describe('snapkv', ours['snapkv'])}: decode at {LONG}", stock, 0.3, decode)
    )

    ids = read_text(lm, CONTEXT)
    if measures_memory():
        with FreshProcesses(lm) as fresh:
            peaks: dict[str, list[int]] = {name: [] for name in ("fullkv", "h2o")}
            for name in tqdm(list(peaks) * few, desc="memory", unit="run"):
                peaks[name] += fresh.peaks(ours[name], ids, 2)
        promises.append(
            Promise(
                f"{describe('h2o', ours['h2o'])}: peak memory at {CONTEXT}",
                full,
                1.15,
                Spread.ratio(peaks["h2o"], peaks["fullkv"]),
            )
        )
    if kvpress:
        promises += compare_with_kvpress(lm, kvpress, few)

    with tqdm(total=2, desc="hardware", unit="run") as line:
        hardware = measure_hardware(lm)
        line.update()
        line.set_description("parts of a prefill")
        parts = sum_layers(break_down(lm, ours["fullkv"], ids))
        line.update()
    on_paper = predict(
        lm.model.config, ours["fullkv"], CONTEXT, 1, dtype=lm.model.dtype, hardware=hardware
    )
    products = on_paper.prefill.flops / hardware.flops
    return {
        "promises": promises,
        "measurements": short + long,
        "hardware": hardware,
        "limit": {
            "flops": on_paper.prefill.flops,
            "products_seconds": products,
            "prefill_seconds": at["fullkv"].spread("prefill").median,
        },
        "parts": parts,
        "parts_flops": {part: cost.flops for part, cost in on_paper.prefill.parts.items()},
        "model": {"parameters": ModelShape.of(lm.model.config).parameters},
    }


# ---- kvpress, in an environment of its own ---------------------------------------------------------


def compare_with_kvpress(lm: LoadedModel, python: Path, repeats: int) -> list[Promise]:
    """SnapKV and H2O beside kvpress's SnapKV and ObservedAttention: same model, prompt, dtype,
    threads and number of entries, whole runs in turns, each of theirs in a process of its own."""
    import torch

    ids = read_text(lm, CONTEXT)
    pairs = {"snapkv": "snapkv", "h2o": "observed"}
    ours: dict[str, list] = {name: [] for name in pairs}
    theirs: dict[str, list] = {name: [] for name in pairs}
    peaks: dict[str, list] = {name: [] for name in pairs}
    with FreshProcesses(lm) as fresh:
        for name, press in tqdm(list(pairs.items()) * repeats, desc="kvpress", unit="pair"):
            method = create_method(name, budget=BUDGET)
            sample = run_once(lm, method, ids, NEW_TOKENS)
            ours[name].append(sample.end_to_end)
            peaks[name] += fresh.peaks(method, ids, 2)
            job = {"press": press, "ids": ids[0].tolist(), "budget": BUDGET}
            theirs[name].append(
                ask_kvpress(
                    python,
                    str(lm.model.dtype).removeprefix("torch."),
                    torch.get_num_threads(),
                    job | {"new_tokens": NEW_TOKENS},
                )
            )
    whole = {name: [one["whole"] for one in theirs[name]] for name in pairs}
    peak = [one["peak"] for one in theirs["h2o"]]
    observed = "kvpress ObservedAttention"
    return [
        Promise(
            f"snapkv, {BUDGET}: end to end, {CONTEXT} + {NEW_TOKENS}",
            "kvpress SnapKV",
            1.0,
            Spread.ratio(ours["snapkv"], whole["snapkv"]),
        ),
        Promise(
            f"h2o, {BUDGET}: end to end, {CONTEXT} + {NEW_TOKENS}",
            observed,
            0.3,
            Spread.ratio(ours["h2o"], whole["h2o"]),
        ),
        Promise(
            f"h2o, {BUDGET}: peak memory at {CONTEXT}",
            observed,
            0.6,
            Spread.ratio(peaks["h2o"], peak),
        ),
    ]


def find_kvpress() -> Path | None:
    """The Python of kvpress's environment: ``$KVBOOK_KVPRESS``, or what `make kvpress` made."""
    given = os.environ.get("KVBOOK_KVPRESS")
    python = Path(given) if given else REPOSITORY / ".venv-kvpress" / "bin" / "python"
    if python.is_file():
        return python
    if given:
        raise ExecutionError(f"KVBOOK_KVPRESS={given}: there is no such Python; make kvpress")
    return None


def ask_kvpress(python: Path, dtype: str, threads: int, job: dict) -> dict:
    """One run in a process of its own; see `kvbook.profiling.kvpress_peer`."""
    script = Path(__file__).with_name("kvpress_peer.py")
    command: Sequence[str] = [str(python), str(script), str(fetch_embedded()), dtype, str(threads)]
    done = subprocess.run(
        command,
        input=json.dumps(job) + "\n",
        capture_output=True,
        text=True,
        env=os.environ | STEADY,
    )
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) < 2:
        words = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise ExecutionError(f"kvpress in {python} failed: {words[0]}; make kvpress sets it up")
    return json.loads(lines[-1])


def plain(done: dict) -> dict:
    """What `bench` returns, for a results file."""
    return done | {
        "promises": [promise.data() for promise in done["promises"]],
        "measurements": [one.data() for one in done["measurements"]],
        "hardware": asdict(done["hardware"]),
    }
