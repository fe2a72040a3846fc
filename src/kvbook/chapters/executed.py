"""The chapters that were executed beside a page: their results, and what their notebooks hold."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kvbook import results
from kvbook.chapters.registry import CHAPTERS, CONTENT
from kvbook.errors import ResultError
from kvbook.results import ResultFile
from kvbook.texts import read_json


def find_executed(directory: Path | None = None) -> dict[str, ResultFile]:
    """The results of this build by chapter, in the order of the chapters; one that was not
    executed is left out.

    Parameters
    ----------
    directory : Path, optional
        Of another build: where its results are.

    Raises
    ------
    ResultError
        A file is damaged, or of another schema.
    """
    return {name: file for name in CONTENT if (file := results.find(name, directory))}


def executed_notebook(name: str) -> Path:
    """Where a chapter's executed notebook is, if there is one: beside the results."""
    return results.results_dir().parent / f"{name}.ipynb"


def left_by(name: str) -> tuple[Path, Path]:
    """What a chapter leaves: its executed notebook and its results."""
    return executed_notebook(name), results.results_dir() / f"{name}.json"


def tables_by_kind(notebook: Path) -> Counter[str]:
    """How many tables of an executed notebook hold numbers of which kind; a mixed table counts
    for each, and a notebook that is not there has none."""
    if not notebook.is_file():
        return Counter()
    outputs = [
        output
        for cell in read_json(notebook, ResultError)["cells"]
        for output in cell.get("outputs", [])
    ]
    pages = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    tables = [one for page in pages for one in re.findall(r"<table.*?</table>", page, re.S)]
    kind = re.compile(r'class="kv-(measured|computed|report|paper)"')
    return Counter(one for table in tables for one in set(kind.findall(table)))


def in_common(many: Iterable[Mapping[str, Any]], keys: Iterable[str]) -> dict[str, Any]:
    """For each key the value that all mappings have in common; None where they differ."""
    many, common = list(many), {}
    for key in keys:
        first, *others = [one.get(key) for one in many]
        common[key] = first if all(one == first for one in others) else None
    return common


def models_to_fetch(profile: str) -> dict[str, list[str]]:
    """The models that a profile loads, and the chapters that load each."""
    wanted: dict[str, list[str]] = {}
    for chapter in (CHAPTERS[name] for name in CONTENT):
        if "load_model" in chapter.notebook.read_text(encoding="utf-8"):
            wanted.setdefault(chapter.defaults(profile)["model"], []).append(chapter.name)
    return wanted
