"""A re-run beside the book's run: which values are the same, near or off, and how to run it."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup

from kvbook import results
from kvbook.chapters.expected import EXPECTED, Expected
from kvbook.chapters.registry import CHAPTERS, PROFILES
from kvbook.chapters.resolve import resolve_parameters
from kvbook.errors import ParameterError, ResultError
from kvbook.results import ResultFile
from kvbook.show.tables import code


@dataclass(frozen=True)
class Compared:
    """One value of somebody's run beside the kept one.

    Attributes
    ----------
    expected : Expected
        What it is.
    kept, found : float or None
        The two values; None where there is none.
    reason : str
        Why they cannot be compared; empty where they can.
    """

    expected: Expected
    kept: float | None
    found: float | None
    reason: str = ""

    @property
    def state(self) -> Literal["same", "near", "off", "not compared"]:
        """How near ``found`` is to ``kept``: ``"same"`` to nine digits, ``"near"`` within the
        tolerance, ``"off"`` beyond it, and ``"not compared"`` where a value is missing or there is
        a reason."""
        if self.reason or self.kept is None or self.found is None:
            return "not compared"
        if abs(self.found - self.kept) <= 1e-9 * abs(self.kept):
            return "same"
        if self.expected.kind == "bytes":  # of either dtype
            sizes = [self.kept, self.kept * 2, self.kept / 2]
            close = any(abs(self.found - one) <= self.expected.tolerance * one for one in sizes)
        else:
            close = abs(self.found - self.kept) <= self.expected.tolerance + 1e-9
        return "near" if close else "off"


def find_runs(folder: Path) -> dict[str, ResultFile]:
    """The chapters' results in a folder, by chapter; of several runs the one that can be
    compared, and of these the newest.

    Parameters
    ----------
    folder : Path
        What ``kvbook run`` or ``kvbook book`` left, or any folder of such folders.

    Raises
    ------
    ParameterError
        No such folder, or no results in it.
    ResultError
        A file is damaged, or has another chapter's name.
    """
    if not folder.is_dir():
        raise ParameterError(
            f"there is no folder {folder}: give one that `kvbook run` or `kvbook book` left, such as "
            "kvbook-runs or book/_build/runs"
        )
    kept = load_kept()
    runs: dict[str, ResultFile] = {}
    for path in sorted({*folder.glob("*.json"), *folder.rglob("results/*.json")}):
        if path.stem in CHAPTERS:
            run = results.load(path.stem, path.parent)
            if run.name != path.stem:
                raise ResultError(f"{path} holds the results of {run.name!r}: give it its own name")
            runs[path.stem] = max(
                runs.get(path.stem, run),
                run,
                key=lambda one: (_comparable(one, kept), one.provenance.started),
            )
    if not runs:
        raise ParameterError(
            f"no results of a chapter in {folder}: execute one, `kvbook run snapkv`"
        )
    return runs


def load_kept() -> dict[str, Any]:
    """What `keep` wrote down, by chapter: ``provenance``, and ``values`` by label."""
    kept = results.find("reproduce", results.kept_dir())
    return kept.data if kept else {}


def compare(runs: Mapping[str, ResultFile]) -> list[Compared]:
    """All values of `EXPECTED` that these runs may have, beside the kept ones."""
    kept = load_kept()
    return [_compare(one, runs[one.chapter], kept) for one in EXPECTED if one.chapter in runs]


def _compare(one: Expected, run: ResultFile, kept: Mapping[str, dict]) -> Compared:
    wanted = kept.get(one.chapter, {}).get("values", {}).get(one.label)
    try:
        found = one.read(run.data)
    except ResultError:  # other parameters, other runs
        found = None
    if wanted is None:
        return Compared(one, wanted, found, "nothing is kept")
    if not _comparable(run, kept):
        return Compared(one, wanted, found, _what_differs(run, kept))
    if found is None:
        return Compared(one, wanted, found, f"not in the file: {one.path}")
    return Compared(one, wanted, found)


def _comparable(run: ResultFile, kept: Mapping[str, dict]) -> bool:
    return run.name in kept and not _what_differs(run, kept)


def _what_differs(run: ResultFile, kept: Mapping[str, dict]) -> str:
    """The parameters that differ from those of the kept run, in words."""
    theirs, ours = kept[run.name]["provenance"]["parameters"], run.provenance.parameters
    names = [name for name in ours if theirs.get(name) != ours[name]]  # not what a chapter lost
    shown = ", ".join(f"{name}={ours.get(name)}" for name in names[:3])
    return f"other parameters: {shown}{', …' if len(names) > 3 else ''}" if names else ""


def keep(runs: Mapping[str, ResultFile]) -> Path:
    """Write these runs' values down as what others should find, beside those of other chapters.

    Raises
    ------
    ResultError
        A value is not in its file, or the file cannot be written.
    """
    kept = load_kept()
    for chapter in {one.chapter for one in EXPECTED} & set(runs):
        run = runs[chapter]
        values = {one.label: one.read(run.data) for one in EXPECTED if one.chapter == chapter}
        kept[chapter] = {"provenance": run.provenance.model_dump(), "values": values}
    return results.save("reproduce", kept, directory=results.kept_dir())


def show(value: float | None) -> str:
    """A value for people: whole numbers whole, others to six digits, a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == int(value) else f"{value:.6g}"


def within(one: Expected) -> str:
    """The tolerance, for people."""
    return f"{one.tolerance:.0%}" if one.kind == "bytes" else show(one.tolerance)


def command(run: ResultFile) -> str:
    """The words of a command line that run the same chapter with the same parameters."""
    chapter = run.provenance.chapter
    if chapter not in CHAPTERS:  # saved in an interactive session
        chapter = run.name
    words = ["kvbook", "run", chapter]
    profile = run.provenance.profile if run.provenance.profile in PROFILES else "laptop"
    words += ["--profile", profile] if profile != "laptop" else []
    defaults = resolve_parameters(CHAPTERS[chapter], profile)
    for name, value in run.provenance.parameters.items():
        if name in defaults and defaults[name] != value:
            text = value if isinstance(value, str) else json.dumps(value)
            words += ["-p", shlex.quote(f"{name}={'none' if value is None else text}")]
    return " ".join(words)


def rows(chapter: str, compared: Sequence[Compared]) -> list[dict[str, str]]:
    """A chapter's values for `kvbook.show.table`: what is kept, and what a run found.

    Parameters
    ----------
    compared : sequence of Compared
        What `compare` gave; without this chapter's, nothing was found.
    """
    kept = load_kept().get(chapter, {}).get("values", {})
    found = {one.expected: one for one in compared}
    shown = []
    for one in (one for one in EXPECTED if one.chapter == chapter):
        ours = found.get(one)
        state = ours.state if ours else "not compared"
        shown.append(
            {
                "value": one.label,
                "expected": show(kept.get(one.label)),
                "this copy": show(ours.found if ours else None),
                "": "–" if state == "not compared" else state,
                "within": within(one),
                "kind": one.kind,
                "path": code(one.path) + (Markup(" over ") + code(one.over) if one.over else ""),
            }
        )
    return shown


def origin(chapter: str, compared: Sequence[Compared]) -> str:
    """Where a chapter's kept values are from, and why some cannot be compared, in words."""
    if chapter not in (kept := load_kept()):
        return "no expected values are kept yet"
    p = kept[chapter]["provenance"]
    told = (
        f"expected: {p['started'][:10]}, {p['model']}, {p['machine']['cpu']}, threads: "
        f"{p['machine'].get('threads', 'unknown')}, commit {(p['commit'] or 'unknown')[:8]}"
    )
    of = [one for one in compared if one.expected.chapter == chapter]
    reasons = "; ".join(dict.fromkeys(one.reason for one in of if one.reason))
    return told + (f"; this copy: {reasons}" if reasons else "")
