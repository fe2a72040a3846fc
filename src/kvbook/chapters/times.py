"""How long chapters and book took, beside what they may take."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvbook import results
from kvbook.chapters.executed import find_executed
from kvbook.chapters.registry import BOOK_MINUTES, CHAPTERS
from kvbook.profiling.promises import Measured, kind_of
from kvbook.results import Provenance
from kvbook.stats import Spread


def book_times(built: Path, alone: Path) -> list[Measured]:
    """Times beside their limits, of a book that was built with the profile laptop: those of the
    chapters with a limit and, where it was built in one go, that of the whole book.

    The limit of a chapter is for one that runs alone, and in a book two share the cores. So the time
    of one that ``kvbook run`` has executed since, with nothing changed, stands for the book's.

    Parameters
    ----------
    built : Path
        ``book/_build`` of a clone.
    alone : Path
        Where ``kvbook run`` leaves its folders.

    Raises
    ------
    ResultError
        A file is damaged, or of another schema.
    """
    found = find_executed(built / "runs" / "results")
    runs = {name: file.provenance for name, file in found.items()}
    for name, before in runs.items():
        run = results.find(name, alone / name / "results")
        if run and _stands_for(run.provenance, before):
            runs[name] = run.provenance
    whole = results.find("book", built)
    return chapter_times(runs) + (whole_times(whole) if whole else [])


def chapter_times(runs: Mapping[str, Provenance]) -> list[Measured]:
    """Chapters that have a limit, by the clock."""
    return [
        _measured(f"chapter {name}", run, run.seconds, most, "s")
        for name, run in runs.items()
        if run.profile == "laptop" and (most := CHAPTERS[name].most_seconds)
    ]


def whole_times(whole: results.ResultFile) -> list[Measured]:
    """All of ``book.json``: by the clock, and on all cores together."""
    data: dict[str, Any] = whole.data
    taken = {"clock": data["seconds"], "CPU": data["cpu_seconds"]}
    pdf = " and the PDF" * data["pdf"]
    return [
        _measured(
            f"the whole book{pdf}, {name} time", whole.provenance, taken[name] / 60, most, "min"
        )
        for name, most in BOOK_MINUTES.items()
    ]


def _stands_for(run: Provenance, before: Provenance) -> bool:
    """Whether a later run was the same: of the same notebook, parameters, code and data."""
    same = run.key is not None and run.key == before.key
    return same and run.machine["cpu"] == before.machine["cpu"] and run.started > before.started


def _measured(what: str, run: Provenance, value: float, most: float, unit: str) -> Measured:
    machine = run.machine
    once = f"{machine['threads']} of {machine['cores']} cores, {run.started[:10]}"
    return Measured(what, once, most, kind_of(machine), Spread.of([value]), unit)
