"""Methods on this machine: measured in turns, and predicted on paper beside it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from kvbook.methods.base import Method
from kvbook.profiling.hardware import Hardware, measure_hardware
from kvbook.profiling.prediction import Prediction, predict
from kvbook.profiling.timing import Measurement, measure_all


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
    """

    measurements: list[Measurement]
    predictions: list[Prediction]
    hardware: Hardware

    @property
    def rows(self) -> list[dict[str, str]]:
        """For a table: measured, and on paper beside it."""
        return [
            one.row()
            | {
                "paper: prefill, s": f"{paper.prefill_seconds:.2f}",
                "paper: memory, MiB": f"{(paper.peak_bytes - paper.weight_bytes) / 2**20:.0f}",
            }
            for one, paper in zip(self.measurements, self.predictions, strict=True)
        ]

    @property
    def notes(self) -> list[str]:
        """What methods had to change, each said once."""
        return list(dict.fromkeys(note for one in self.measurements for note in one.notes))

    def data(self) -> dict:
        """Plain values, for a results file."""
        return {
            "hardware": asdict(self.hardware),
            "measurements": [one.data() for one in self.measurements],
            "predictions": [
                {
                    "method": one.method,
                    "context_length": one.context_length,
                    "prefill_seconds": paper.prefill_seconds,
                    "decode_seconds": paper.decode_seconds,
                    "peak_bytes": paper.peak_bytes - paper.weight_bytes,
                    "kv_bytes": paper.kv_bytes,
                }
                for one, paper in zip(self.measurements, self.predictions, strict=True)
            ],
        }


def profile(
    lm,
    methods: dict[str, Method],
    contexts: Sequence[int],
    new_tokens: int = 16,
    repeats: int = 3,
    **options,
) -> Profiled:
    """Measure this machine, then the methods on it, and predict the same.

    Parameters
    ----------
    lm, methods, contexts, new_tokens, repeats, **options
        As for `kvbook.profiling.measure_all`; every method is one of ours.
    """
    hardware = measure_hardware(lm)
    measurements = measure_all(lm, methods, contexts, new_tokens, repeats, **options)
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
    return Profiled(measurements, predictions, hardware)
