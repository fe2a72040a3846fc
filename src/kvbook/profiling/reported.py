"""The report's figure 1, right: latency and peak memory as it printed them, and what a straight
line through the memory says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression
from typing import NamedTuple

from kvbook.results import load_report

STAGES = ("prefill", "e2e")
"""Reading the prompt, and the whole answer."""
GiB = 2**30


class Reported(NamedTuple):
    """One cell of the report's table; its gigabytes are read as GiB (the chapter says why)."""

    seconds: float
    gigabytes: float


@dataclass(frozen=True)
class MemoryLine:
    """Peak memory over the context, as a line through the two longest contexts.

    Attributes
    ----------
    slope : float
        Bytes a token.
    start : float
        Bytes without any token.
    guessed, printed : float
        Bytes at the shortest context: by the line, and in the report.
    """

    slope: float
    start: float
    guessed: float
    printed: float


@dataclass(frozen=True)
class SystemReport:
    """The report's table of latencies and memory.

    Attributes
    ----------
    contexts : list of int
        Prompt tokens, from the shortest.
    rows : mapping
        By method, by stage, by context: a `Reported`, or None where memory was not enough.
    """

    contexts: list[int]
    rows: Mapping[str, Mapping[str, Mapping[int, Reported | None]]]

    @classmethod
    def read(cls, data: Path) -> "SystemReport":
        """From the folder of the book's data."""
        system = load_report(data)["system"]
        rows = {
            method: {
                stage: {int(context): one and Reported(**one) for context, one in cells.items()}
                for stage, cells in stages.items()
            }
            for method, stages in system["rows"].items()
        }
        return cls(system["contexts"], rows)

    @property
    def curves(self) -> dict[str, dict[str, dict[int, tuple[float, float, float] | None]]]:
        """Both times and the prefill's memory, for `kvbook.show.cost_panels`; where the whole
        answer took another memory by far, FastKV's, that is a line of its own."""

        def line(method: str, stage: str, what: str) -> dict:
            cells = self.rows[method][stage]
            return {context: one and (getattr(one, what),) * 3 for context, one in cells.items()}

        curves = {
            method: {
                "prefill": line(method, "prefill", "seconds"),
                "e2e": line(method, "e2e", "seconds"),
                "memory": line(method, "prefill", "gigabytes"),
            }
            for method in self.rows
        }
        return curves | {"fastkv, end to end": {"memory": line("fastkv", "e2e", "gigabytes")}}

    @property
    def memory_lines(self) -> dict[tuple[str, str], MemoryLine]:
        """By method and stage, of those that fit at every context."""
        return {
            (method, stage): fit_memory(cells)
            for method, stages in self.rows.items()
            for stage, cells in stages.items()
            if all(cells.values())
        }


def fit_memory(cells: Mapping[int, Reported]) -> MemoryLine:
    """The line through the two longest of three contexts."""
    (first, printed), *rest = ((context, one.gigabytes * GiB) for context, one in cells.items())
    slope, start = linear_regression(*zip(*rest, strict=True))
    return MemoryLine(slope, start, start + slope * first, printed)
