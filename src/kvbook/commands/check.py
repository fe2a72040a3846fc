"""`kvbook check`: a reader's numbers beside the book's."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from kvbook.commands.terminal import out, print_paths


def check(
    folder: Annotated[Path, typer.Argument(help="What `kvbook run` or `kvbook book` left.")] = Path(
        "kvbook-runs"
    ),
    keep: Annotated[
        bool, typer.Option("--keep", help="Write these values down as the expected ones.")
    ] = False,
) -> None:
    """Are your numbers the book's? The expected values of every chapter, beside those of your run."""
    from kvbook.chapters import expected, rerun

    runs = rerun.find_runs(folder)
    if keep:
        print_paths(kept=rerun.keep(runs))
    colours = {"same": "green", "near": "green", "off": "red"}
    table = Table("", "chapter", "value", "expected", "yours", "within", box=SIMPLE_HEAD)
    compared = rerun.compare(runs)
    for one in compared:
        if one.state in colours:
            mark = f"[{colours[one.state]}]{one.state}[/]"
            numbers = [*map(rerun.show, (one.kept, one.found)), rerun.within(one.expected)]
            table.add_row(mark, one.expected.chapter, escape(one.expected.label), *numbers)
    if table.rows:
        out.print(table)
    for chapter, reason in dict.fromkeys((one.expected.chapter, one.reason) for one in compared):
        if reason:
            out.print(f"  {chapter}: not compared, {escape(reason)}", highlight=False)
    off = sorted({one.expected.kind for one in compared if one.state == "off"})
    for kind in off:
        out.print(f"  off, {kind}: {expected.KINDS[kind]}", highlight=False)
    if off:
        raise typer.Exit(1)
