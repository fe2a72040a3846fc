"""The file of `kvbook gpu-report`: latency and memory on a GPU, and on paper for that GPU."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kvbook.profiling.hardware import Hardware
from kvbook.profiling.profile import GiB, notes_of, rows_beside
from kvbook.profiling.timing import Measurement


class Beside(NamedTuple):
    """A cost as it was measured, or None, and as it is on paper."""

    measured: float | None
    paper: float


@dataclass(frozen=True)
class GpuReport:
    """What the file says.

    Attributes
    ----------
    header : mapping
        What all of it depends on: ``model``, ``dtype``, ``device``, ``versions``, ...
    hardware : Hardware
        The device by its micro-benchmark; predictions are of it.
    agreement : mapping
        By method ``kept`` and ``tokens``: how far the device agrees with the CPU.
    measurements : list of Measurement
        Context by context.
    papers : list of mapping
        For each measurement its prediction, as `kvbook.profiling.profile.Profiled.papers` has it.
    left_out : list of str
        What the time was not enough for, and what failed.
    """

    header: Mapping[str, Any]
    hardware: Hardware
    agreement: Mapping[str, Mapping[str, Any]]
    measurements: list[Measurement]
    papers: list[Mapping[str, Any]]
    left_out: list[str]

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "GpuReport":
        """From the ``data`` of the results file."""
        return cls(
            data["header"],
            Hardware(**data["hardware"]),
            data["agreement"],
            [Measurement.read(one) for one in data["measurements"]],
            data["predictions"],
            data["left_out"],
        )

    @property
    def contexts(self) -> list[int]:
        """At which something was measured."""
        return sorted({one.context_length for one in self.measurements})

    @property
    def new_tokens(self) -> int:
        """Generated in every run."""
        return self.header["new_tokens"]

    @property
    def called(self) -> str:
        """The device, the model and the versions, in words."""
        model, dtype = self.header["model"], self.header["dtype"]
        versions = ", ".join(
            f"{name} {self.header['versions'][name]}" for name in ("torch", "transformers")
        )
        return f"{self.hardware.name}; {model} in {dtype}; {versions}"

    @property
    def notes(self) -> list[str]:
        """As in `kvbook.profiling.profile.notes_of`."""
        return notes_of(self.measurements)

    @property
    def rows(self) -> list[dict[str, str]]:
        """As in `kvbook.profiling.profile.rows_beside`."""
        return rows_beside(self.measurements, self.papers)

    def costs(self, context: int) -> dict[str, dict[str, Beside]]:
        """By method: ``prefill`` and ``e2e`` in seconds and ``memory`` with the weights in GiB."""
        found = {}
        for one, paper in zip(self.measurements, self.papers, strict=True):
            if one.context_length != context:
                continue
            whole = paper["prefill_seconds"] + (one.new_tokens - 1) * paper["decode_seconds"]
            seconds = {
                stage: None if one.out_of_memory else one.spread(what).median
                for stage, what in (("prefill", "prefill"), ("e2e", "end_to_end"))
            }
            held = None if one.out_of_memory or not one.total_bytes else one.total_bytes / GiB
            found[one.method] = {
                "prefill": Beside(seconds["prefill"], paper["prefill_seconds"]),
                "e2e": Beside(seconds["e2e"], whole),
                "memory": Beside(held, (paper["peak_bytes"] + one.weight_bytes) / GiB),
            }
        return found
