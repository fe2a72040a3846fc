"""`kvbook gpu-report`: the report's latencies and memory, measured on a GPU."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kvbook.commands.terminal import (
    err,
    interruptible,
    print_notes,
    print_paths,
    print_table,
    split_words,
    stack_row,
)


def gpu_report(
    model: Annotated[
        str,
        typer.Option(
            help="qwen3-0.6b-random (the exact architecture, random weights; needs no network), "
            "a hub id such as Qwen/Qwen3-0.6B, or a folder."
        ),
    ] = "qwen3-0.6b-random",
    minutes: Annotated[
        float, typer.Option(min=0.1, help="For all of it; what does not fit is left out.")
    ] = 8,
    contexts: Annotated[
        list[str],
        typer.Option("--context", "--contexts", help="Prompt tokens, with commas between."),
    ] = ["8192,32768,131072"],  # noqa: B006
    method: Annotated[
        list[str],
        typer.Option(
            "--method",
            "--methods",
            help="Methods, with commas between, or all; left out: all but summarykv.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    budget: Annotated[str, typer.Option(help="Entries (512) or a fraction (0.1).")] = "0.1",
    new_tokens: Annotated[
        int, typer.Option(min=2, help="Tokens to generate; the report does not say how many.")
    ] = 128,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each; the median counts.")] = 3,
    dtype: Annotated[str, typer.Option(help="auto, bfloat16 or float32.")] = "auto",
    device: Annotated[
        str, typer.Option(help="cuda, cuda:1, or cpu to try the command; auto is cuda.")
    ] = "auto",
    output: Annotated[
        Path, typer.Option(help="File for all numbers, written after every run.")
    ] = Path("kvbook-runs/profiling-gpu.json"),
) -> None:
    """Latency and memory of all methods on a GPU, at the report's contexts: first compared with
    the CPU, then measured in turns within the minutes given, the longest contexts last. After an
    interruption, the same command continues."""
    with interruptible("what was measured is kept; the same command goes on"):
        from kvbook.catalogue import compared_methods
        from kvbook.commands.gpu_grid import GpuGrid

        grid = GpuGrid(
            split_words(method) or compared_methods(),
            split_words(contexts),
            budget,
            new_tokens=new_tokens,
            repeats=repeats,
            minutes=minutes,
            model=model,
            dtype=dtype,
            device=device,
            output=output,
        )
        found = grid.measure()
    if found.measurements:
        print_table([stack_row(row) for row in found.rows], gap=0)
    print_notes([*grid.notes, *found.notes, *found.left_out])
    print_paths(numbers=output)
    if grid.failed:
        err.print("[red]error:[/] some runs failed; the others are kept")
        sys.exit(1)
