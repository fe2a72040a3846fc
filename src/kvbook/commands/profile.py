"""`kvbook profile`: latency and memory of methods over context lengths."""

from pathlib import Path
from typing import Annotated

import typer

from kvbook.commands.terminal import (
    interruptible,
    print_notes,
    print_paths,
    print_table,
    split_words,
    stack_row,
)


def profile(
    method: Annotated[
        list[str],
        typer.Option(
            "--method", "--methods", help="Methods, with commas between, or all; may be repeated."
        ),
    ] = ["all"],  # noqa: B006
    contexts: Annotated[
        list[str],
        typer.Option("--context", "--contexts", help="Prompt tokens, with commas between."),
    ] = ["1024,4096"],  # noqa: B006
    budget: Annotated[str, typer.Option(help="Entries (512) or a fraction (0.1).")] = "0.1",
    parameter: Annotated[
        list[str],
        typer.Option("-p", "--parameter", help="name=value, for the methods that have it."),
    ] = [],  # noqa: B006
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens to generate.")] = 16,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each; the median counts.")] = 3,
    memory: Annotated[
        bool, typer.Option(help="Also measure peak memory, each in a process of its own.")
    ] = True,
    model: Annotated[
        str,
        typer.Option(help="smollm2-135m, qwen3-0.6b-random, a hub id, or a folder."),
    ] = "smollm2-135m",
    dtype: Annotated[str, typer.Option(help="auto, bfloat16 or float32.")] = "auto",
    output: Annotated[Path, typer.Option(help="File for all numbers.")] = Path(
        "kvbook-runs/profile.json"
    ),
) -> None:
    """Latency and memory of methods over context lengths, measured in turns, and what the
    cost model says."""
    with interruptible("nothing is kept; fewer --contexts, --methods or --repeats take less time"):
        from kvbook.commands.profile_grid import profile_grid

        grid = profile_grid(
            split_words(method),
            split_words(contexts),
            budget,
            parameter,
            new_tokens=new_tokens,
            repeats=repeats,
            memory=memory,
            model=model,
            dtype=dtype,
            output=output,
        )
    print_table([stack_row(row) for row in grid.rows], gap=0)
    print_notes(grid.notes)
    print_paths(numbers=output)
