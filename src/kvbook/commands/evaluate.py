"""`kvbook evaluate`: methods on LongBench's tasks."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from kvbook.commands.terminal import interruptible, out, print_notes, print_paths


def evaluate(
    method: Annotated[
        list[str], typer.Option("--method", help="A method, or all; may be repeated.")
    ] = ["all"],  # noqa: B006
    task: Annotated[
        list[str], typer.Option("--task", help="A LongBench task, or all; may be repeated.")
    ] = ["all"],  # noqa: B006
    budget: Annotated[
        list[str], typer.Option(help="Entries (256) or a fraction (0.1); may be repeated.")
    ] = ["0.1"],  # noqa: B006
    parameter: Annotated[
        list[str],
        typer.Option("-p", "--parameter", help="name=value, for the methods that have it."),
    ] = [],  # noqa: B006
    question: Annotated[
        Literal["before", "after"],
        typer.Option(
            help="When a method compresses: it knows the question before, or the context is "
            "compressed alone and the question comes after (of all tasks, those that ask)."
        ),
    ] = "before",
    data: Annotated[
        str | None,
        typer.Option(
            help="LongBench's folder of .jsonl files, its data.zip, or hub; "
            "left out: the embedded items.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many items of a task.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="smollm2-135m, a hub id, or a folder.")
    ] = "smollm2-135m",
    dtype: Annotated[str, typer.Option(help="auto, bfloat16 or float32.")] = "auto",
    max_length: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most tokens of a prompt; longer ones lose their middle. "
            "Left out: LongBench's for the model's context.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Prompts generated together. Left out: 8 embedded ones, 1 of LongBench.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    output: Annotated[Path, typer.Option(help="Folder for the items and the summary.")] = Path(
        "kvbook-runs/evaluations"
    ),
    summary: Annotated[
        Path | None,
        typer.Option(
            help="File for the summary. Left out: summary.json in the output folder.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Methods on LongBench's tasks: scores with intervals, item by item, resumed after an
    interruption."""
    with interruptible("items measured so far are kept; the same command goes on"):
        from kvbook.commands.grid import evaluate_grid, make_grid, table_rows

        grid = make_grid(method, task, budget, parameter, question)
        done = evaluate_grid(
            grid,
            model=model,
            dtype=dtype,
            data=data,
            limit=limit,
            seed=seed,
            max_length=max_length,
            batch=batch,
            folder=output,
            summary=summary,
        )
    tasks = list(dict.fromkeys(cell.task for cell in done.results))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("method", *tasks, "KV kept, MiB", "seconds"):
        table.add_column(column, overflow="fold")
    for row in table_rows([cell.cell for cell in done.results]):
        table.add_row(*row)
    out.print(table)
    print_notes(done.notes)
    print_paths(items=output, summary=done.summary)
