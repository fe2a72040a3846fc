"""`kvbook bench`: the ratios that this book promises."""

from pathlib import Path
from typing import Annotated

import typer

from kvbook.commands.terminal import err, interruptible, print_paths, print_table


def bench(
    repeats: Annotated[int, typer.Option(min=1, help="Of each pair; the median counts.")] = 5,
    output: Annotated[Path, typer.Option(help="Folder for profiling-bench.json.")] = Path(
        "kvbook-runs"
    ),
) -> None:
    """The ratios of speed and memory that this book promises, and which hold; a quarter of an
    hour on two cores."""
    with interruptible("nothing is kept; fewer --repeats take less time"):
        from kvbook import results
        from kvbook.files import check_writable
        from kvbook.lm.models import EMBEDDED, load_model
        from kvbook.profiling.bench import bench as run_bench
        from kvbook.profiling.bench import find_kvpress, plain

        check_writable(output)
        kvpress = find_kvpress()
        if kvpress is None:
            err.print("[yellow]note:[/] without kvpress: `make kvpress` sets it up")
        done = run_bench(load_model(), repeats, kvpress)
        asked = {"model": EMBEDDED, "repeats": repeats}
        numbers = results.save("profiling-bench", plain(done), parameters=asked, directory=output)
    print_table([promise.row() for promise in done["promises"]])
    print_paths(numbers=numbers)
