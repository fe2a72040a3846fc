"""Many cells of a table at once: methods x budgets x tasks, with one line of progress."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from kvbook.errors import ParameterError
from kvbook.files import check_writable
from kvbook.lm.models import load_model
from kvbook.methods import CATALOGUE, METHODS, Method, create_method
from kvbook.results import save
from kvbook.tasks.evaluation import TaskResult, evaluate_all, say, split_items
from kvbook.tasks.header import describe_method
from kvbook.tasks.longbench import Benchmark, task_named, tasks_that_ask
from kvbook.tasks.together import When


@dataclass(frozen=True)
class Grid:
    """What is to be measured: every method on every task.

    Attributes
    ----------
    methods : tuple of Method
        With their parameters; a method at two budgets is two.
    tasks : tuple of str
        Names of LongBench's tasks.
    question : {"before", "after"}
        When it is asked: as in `evaluate_all`.
    """

    methods: tuple[Method, ...]
    tasks: tuple[str, ...]
    question: When = "before"


@dataclass(frozen=True)
class Evaluated:
    """What was measured.

    Attributes
    ----------
    results : list of TaskResult
        A cell each, by method, then by task.
    notes : list of str
        What a user should know, such as items that ran out of memory.
    summary : Path
        A results file with all scores and where they come from.
    """

    results: list[TaskResult]
    notes: list[str]
    summary: Path


def table_rows(cells: Sequence[dict]) -> list[list[str]]:
    """Method, score on every task, MiB kept, seconds: texts of a table, a row a method.

    Parameters
    ----------
    cells : sequence of dict
        `TaskResult.cell`, of one model.
    """
    rows = []
    for label in dict.fromkeys(cell["label"] for cell in cells):
        own = [cell for cell in cells if cell["label"] == label]
        scores = [say(cell).replace(" (", "\n(") for cell in own]
        kept = sum(cell["kept_bytes"] for cell in own) / len(own) / 2**20
        times = [cell["seconds"] for cell in own]
        seconds = "–" if None in times else f"{sum(times):.0f}"
        rows.append([label.replace(" ", "\n"), *scores, f"{kept:.2f}", seconds])
    return rows


def make_grid(
    methods: Sequence[str],
    tasks: Sequence[str] = ("all",),
    budgets: Sequence[str] = ("0.1",),
    parameters: Sequence[str] = (),
    question: When = "before",
) -> Grid:
    """A grid from the words of a command line.

    Parameters
    ----------
    methods, tasks : sequence of str
        Names, or ``"all"``.
    budgets : sequence of str
        Such as ``"256"`` or ``"0.1"``; a method without a budget appears once.
    parameters : sequence of str
        ``name=value``; each goes to the methods that have it.
    question : {"before", "after"}
        As in `evaluate_all`; ``"after"``: ``"all"`` tasks are those that ask something.

    Raises
    ------
    ParameterError
        An unknown name, or a value that a method refuses; before anything is loaded.
    """
    names = METHODS if "all" in methods else tuple(dict.fromkeys(methods))
    chosen = tasks_that_ask(question) if "all" in tasks else tuple(dict.fromkeys(tasks))
    if not names or not chosen or not budgets:
        raise ParameterError(
            f"nothing to do: give a method of {', '.join(METHODS)}, a task and a budget, or all"
        )
    for task in chosen:
        task_named(task, question)
    return Grid(make_methods(names, budgets, parameters), chosen, question)


def make_methods(
    names: Sequence[str], budgets: Sequence[str], parameters: Sequence[str] = ()
) -> tuple[Method, ...]:
    """Methods from the words of a command line; as in `make_grid`."""
    wrong = [one for one in parameters if "=" not in one]
    if wrong:
        raise ParameterError(f"-p {wrong[0]}: give name=value, for example -p window=16")
    given = {name: _value(text) for name, text in (one.split("=", 1) for one in parameters)}
    if "budget" in given:
        raise ParameterError("-p budget: give --budget instead")
    made, used = [], set()
    for name in names:
        has = (
            {one.name for one in dataclasses.fields(CATALOGUE[name])}
            if name in CATALOGUE
            else set()
        )
        own = {key: value for key, value in given.items() if key in has}
        used |= set(own)
        sizes = [{"budget": _value(size)} for size in budgets] if "budget" in has else [{}]
        made += [create_method(name, **size, **own) for size in sizes]
    unused = sorted(set(given) - used)
    if unused:
        raise ParameterError(
            f"none of {', '.join(names)} has a parameter {', '.join(map(repr, unused))}"
        )
    return tuple(made)


def _value(text: str):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def evaluate_grid(
    grid: Grid,
    *,
    model: str,
    dtype: str = "auto",
    data: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    max_length: int | None = None,
    batch: int | None = None,
    folder: Path,
    summary: Path | None = None,
) -> Evaluated:
    """Measure a grid's cells, task by task; parameters as in `evaluate_all`.

    ``summary`` is the file for the scores of all cells, ``<folder>/summary.json`` when left out.
    Processes that share a folder of items each need a summary file of their own.

    All data are read before the model is loaded, so that a missing file costs no time. The
    progress line counts answers of all cells and says how much time is left.
    """
    summary = Path(summary or Path(folder) / "summary.json")
    if summary.suffix != ".json":
        raise ParameterError(f"the summary is JSON, and {summary} does not end with .json")
    check_writable(folder)
    check_writable(summary.parent)
    benchmarks = {task: Benchmark(task, data) for task in grid.tasks}
    sizes = {task: len(one.rows) for task, one in benchmarks.items()}
    total = sum(min(limit or size, size) for size in sizes.values()) * len(grid.methods)
    lm = load_model(model, dtype=dtype)
    if grid.question == "after":
        for one in benchmarks.values():
            split_items(lm, one, one.rows[:limit], max_length)
    methods = dict(enumerate(grid.methods))
    by_task = {}
    with tqdm(total=total, unit="answer", file=sys.stderr, dynamic_ncols=True) as bar:
        for task in grid.tasks:
            bar.set_description(task)
            end = bar.n + min(limit or sizes[task], sizes[task]) * len(methods)

            def advance(count, end=end):
                bar.update(min(count, end - bar.n))

            by_task[task] = evaluate_all(
                lm,
                methods,
                task,
                question=grid.question,
                data=data,
                limit=limit,
                seed=seed,
                max_length=max_length,
                batch=batch,
                folder=folder,
                advance=advance,
            )
    results = [by_task[task][place] for place in methods for task in grid.tasks]
    notes = [
        f"{describe_method(cell.method)} on {cell.task}: {cell.out_of_memory} of {len(cell.items)} "
        "items ran out of memory; they are not in the score, and the next run tries them again"
        for cell in results
        if cell.out_of_memory
    ]
    asked = {
        "question": grid.question,
        "model": model,
        "dtype": dtype,
        "data": str(data) if data else "embedded",
        "limit": limit,
        "seed": seed,
        "max_length": max_length,
        "batch": batch,
    }
    return Evaluated(results, notes, save_summary(results, Path(folder), summary, asked))


def save_summary(
    results: Sequence[TaskResult], folder: Path, path: Path, parameters: dict | None = None
) -> Path:
    """All cells as one results file with its provenance; items' files relative to ``folder``."""
    cells = [cell.cell | {"file": str(cell.path.relative_to(folder))} for cell in results]
    return save(path.stem, {"cells": cells}, parameters=parameters, directory=path.parent)
