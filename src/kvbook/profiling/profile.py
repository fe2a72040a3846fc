"""Methods on this machine: measured in turns, and predicted on paper beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any

from kvbook.lm.models import check_loaded
from kvbook.methods.base import Method, as_methods
from kvbook.profiling.hardware import Hardware, measure_hardware
from kvbook.profiling.load import Load, Watch
from kvbook.profiling.prediction import Prediction, predict
from kvbook.profiling.timing import Measurement, measure_all
from kvbook.stats import Spread

GiB = 2**30


@dataclass(frozen=True)
class Shares:
    """What a method costs as a share of FullKV.

    Attributes
    ----------
    method : Method
        With its parameters.
    prefill, end_to_end, decode : Spread
        Of times, repeat by repeat.
    memory : float or None
        Of the peaks above the weights; None where they were not measured.
    """

    method: Method
    prefill: Spread
    end_to_end: Spread
    decode: Spread
    memory: float | None


@dataclass(frozen=True)
class Profiled:
    """What was found.

    Attributes
    ----------
    measurements : list of Measurement
        Context by context, in the order of the methods.
    predictions : list of Prediction
        Of the same, on this machine.
    hardware : Hardware
        This machine, by its micro-benchmark.
    load : Load or None
        What else the machine did meanwhile; None: nobody looked.
    raised : float
        How many times as quick as its micro-benchmark said the machine was seen to be; 1 where no
        measured time lay below the floor (the predicted time).
    """

    measurements: list[Measurement]
    predictions: list[Prediction]
    hardware: Hardware
    load: Load | None = None
    raised: float = 1.0

    @property
    def pairs(self) -> list[tuple[Measurement, Prediction]]:
        """Measured and on paper, of what fitted into memory."""
        both = zip(self.measurements, self.predictions, strict=True)
        return [(one, paper) for one, paper in both if not one.out_of_memory]

    @property
    def memory_context(self) -> int | None:
        """The longest context at which memory was measured; None: at none."""
        measured = [one.context_length for one in self.measurements if one.peak_bytes is not None]
        return max(measured, default=None)

    def shares(self, context: int) -> list[Shares]:
        """Every method against FullKV at one context, and in memory at `memory_context`; without
        those that did not fit."""
        at = {
            one.method: (one, paper) for one, paper in self.pairs if one.context_length == context
        }
        peaks = {
            one.method: one.peak_bytes
            for one in self.measurements
            if one.context_length == self.memory_context and one.peak_bytes is not None
        }
        if "fullkv" not in at:
            return []
        full, _ = at["fullkv"]
        return [
            Shares(
                paper.method,
                one.ratio_to(full, "prefill"),
                one.ratio_to(full, "end_to_end"),
                one.ratio_to(full, "decode"),
                peaks[name] / peaks["fullkv"] if {name, "fullkv"} <= set(peaks) else None,
            )
            for name, (one, paper) in at.items()
        ]

    @property
    def curves(self) -> dict[str, dict[str, dict[int, tuple[float, float, float] | None]]]:
        """Of the measurements: `cost_curves`."""
        return cost_curves(self.measurements)

    @property
    def rows(self) -> list[dict[str, str]]:
        """As in `rows_beside`."""
        return rows_beside(self.measurements, self.papers)

    @property
    def notes(self) -> list[str]:
        """As in `notes_of`."""
        return notes_of(self.measurements)

    @property
    def papers(self) -> list[dict[str, Any]]:
        """The predictions as plain values."""
        return [
            {
                "method": one.method,
                "context_length": one.context_length,
                "prefill_seconds": paper.prefill_seconds,
                "decode_seconds": paper.decode_seconds,
                "peak_bytes": paper.run_bytes,
                "kv_bytes": paper.kv_bytes,
            }
            for one, paper in zip(self.measurements, self.predictions, strict=True)
        ]

    def data(self) -> dict:
        """Plain values, for a results file."""
        return {
            "hardware": asdict(self.hardware),
            "load": self.load and asdict(self.load),
            "raised": self.raised,
            "measurements": [one.data() for one in self.measurements],
            "predictions": self.papers,
        }


def rows_beside(
    measurements: Sequence[Measurement], papers: Sequence[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """For a table: measured, and on paper beside it; ``papers`` as in `Profiled.papers`."""
    return [
        one.row()
        | {
            "paper: prefill, s": f"{paper['prefill_seconds']:.2f}",
            "paper: memory, MiB": f"{paper['peak_bytes'] / 2**20:.0f}",
        }
        for one, paper in zip(measurements, papers, strict=True)
    ]


def notes_of(measurements: Sequence[Measurement]) -> list[str]:
    """What methods had to change, each said once."""
    return list(dict.fromkeys(note for one in measurements for note in one.notes))


def cost_curves(
    measurements: Sequence[Measurement],
) -> dict[str, dict[str, dict[int, tuple[float, float, float] | None]]]:
    """By method, cost and context, for `kvbook.show.cost_panels`: times, median, least and most,
    and memory with the weights in GiB. None is out of memory."""
    curves: dict = {}
    for one in measurements:
        costs = curves.setdefault(one.method, {"prefill": {}, "e2e": {}, "memory": {}})
        at = one.context_length
        if one.out_of_memory:
            for cost in costs.values():
                cost[at] = None
            continue
        costs["prefill"][at] = astuple(one.spread("prefill"))
        costs["e2e"][at] = astuple(one.spread("end_to_end"))
        if one.total_bytes is not None:
            costs["memory"][at] = (one.total_bytes / GiB,) * 3
    return curves


def kv_agrees(one: Measurement, paper: Prediction) -> bool:
    """Whether the cache is as large as on paper, but for the entries that the answer added."""
    return abs(one.kv_bytes - paper.kv_bytes) <= one.new_tokens * paper.token_bytes


def profile(
    lm,
    methods: dict[str, Method],
    contexts: Sequence[int],
    new_tokens: int = 16,
    repeats: int = 3,
    **options,
) -> Profiled:
    """Measure this machine, then the methods on it, and predict the same.

    The micro-benchmark runs before the methods and after them, and the quicker of each of its numbers
    counts, for a busy moment only makes it slower. Where a time still lies below the floor, the
    machine is at least as quick as that time says, and the whole floor is lowered to it.

    Parameters
    ----------
    lm, methods, contexts, new_tokens, repeats, **options
        As for `kvbook.profiling.measure_all`; every method is one of ours.
    """
    check_loaded(lm)
    methods = as_methods(methods)
    before, watch = measure_hardware(lm), Watch()
    measurements = measure_all(lm, methods, contexts, new_tokens, repeats, **options)
    load = watch.read()
    hardware = before.quicker(measure_hardware(lm))
    predictions = [
        predict(
            lm.model.config,
            methods[one.method],
            one.context_length,
            new_tokens,
            dtype=lm.model.dtype,
            hardware=hardware,
        )
        for one in measurements
    ]
    raised = seen_above(measurements, predictions)
    hardware = hardware.times(raised)
    predictions = [replace(one, hardware=hardware) for one in predictions]
    return Profiled(measurements, predictions, hardware, load, raised)


def seen_above(measurements: Sequence[Measurement], predictions: Sequence[Prediction]) -> float:
    """How many times quicker than on paper the quickest run was; at least 1."""
    factors = [1.0]
    for one, paper in zip(measurements, predictions, strict=True):
        for times, floor in (
            (one.prefill, paper.prefill_seconds),
            (one.decode, paper.decode_seconds),
        ):
            if times and floor is not None:
                factors.append(floor / min(times))
    return max(factors)
