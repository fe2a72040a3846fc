"""`kvbook bench`: the ratios that this book promises."""

from pathlib import Path
from typing import Annotated

import typer

from kvbook.commands.terminal import err, interruptible, print_paths, print_table

RUNS = Path("kvbook-runs")


def bench(
    repeats: Annotated[int, typer.Option(min=1, help="Of each pair; the median counts.")] = 5,
    output: Annotated[Path, typer.Option(help="Folder for profiling-bench.json.")] = RUNS,
) -> None:
    """Measure the ratios of speed and memory that this book promises, and say which promises hold.
    The times of the last book that was built here, and of chapters that `kvbook run` has executed
    since, stand beside their limits. It takes a quarter of an hour on two cores."""
    with interruptible("nothing is kept; fewer --repeats take less time"):
        from kvbook import results
        from kvbook.chapters.times import book_times
        from kvbook.files import check_writable
        from kvbook.lm.models import EMBEDDED, load_model
        from kvbook.places import REPOSITORY
        from kvbook.profiling.bench import bench as run_bench
        from kvbook.profiling.bench import plain
        from kvbook.profiling.beside_kvpress import find_kvpress

        check_writable(output)
        times = book_times(REPOSITORY / "book" / "_build", REPOSITORY / RUNS)
        kvpress = find_kvpress()
        if kvpress is None:
            err.print("[yellow]note:[/] without kvpress: `make kvpress` sets it up")
        if not times:
            err.print("[yellow]note:[/] without times of the book: `make book` builds it")
        done = run_bench(load_model(), repeats, kvpress)
        done["promises"] += times
        asked = {"model": EMBEDDED, "repeats": repeats}
        numbers = results.save("profiling-bench", plain(done), parameters=asked, directory=output)
    print_table([promise.row() for promise in done["promises"]])
    print_paths(numbers=numbers)
