"""The command line: ``kvbook list | run | check | evaluate | finetune | profile | bench | book | doctor``."""

import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kvbook import __version__
from kvbook.errors import KvbookError, ParameterError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="KV-cache compression methods, and the book that explains them.",
    pretty_exceptions_enable=False,
)
out, err = Console(emoji=False), Console(stderr=True, emoji=False)
ProfileOption = Annotated[str, typer.Option(help="smoke (seconds), laptop (the book), or gpu.")]


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"kvbook {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    pass


@contextmanager
def _interruptible(kept: str) -> Iterator[None]:
    """Ctrl-C ends a command with what is kept, and with the shell's code for it."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(f"[yellow]interrupted[/]: {kept}", soft_wrap=True)
        raise typer.Exit(130) from None


@app.command("list")
def list_chapters() -> None:
    """The chapters, and the parameters they take."""
    from kvbook.chapters.registry import CHAPTERS

    table = Table("chapter", "title", "parameters")
    for chapter in CHAPTERS.values():
        table.add_row(chapter.name, chapter.title, ", ".join(chapter.parameters.model_fields))
    out.print(table)
    out.print(
        "Run one: kvbook run snapkv -p budget=128 -p window=16   (see: kvbook run snapkv --help)"
    )


@app.command(add_help_option=False)
def run(
    context: typer.Context,
    chapter: Annotated[
        str | None, typer.Argument(metavar="CHAPTER", help="One of `kvbook list`.")
    ] = None,
    parameter: Annotated[
        list[str], typer.Option("-p", "--parameter", help="name=value; may be repeated.")
    ] = [],  # noqa: B006
    profile: ProfileOption = "laptop",
    output: Annotated[
        Path | None, typer.Option(help="Folder for notebook, page and results.")
    ] = None,
    page: Annotated[bool, typer.Option(help="Make a page to open in a browser.")] = True,
    wants_help: Annotated[
        bool,
        typer.Option("--help", "-h", help="Show this and the chapters, or CHAPTER's parameters."),
    ] = False,
) -> None:
    """Re-execute one chapter with your own parameters."""
    from kvbook.chapters.execute import run_chapter
    from kvbook.chapters.registry import CHAPTERS, get_chapter
    from kvbook.chapters.resolve import parameter_rows

    if wants_help:
        rows = [{"chapter": one.name, "title": one.title} for one in CHAPTERS.values()]
        if chapter:
            rows = parameter_rows(get_chapter(chapter), profile)
        out.print(context.get_help(), end="")
        _print_table(rows)
        return
    if chapter is None:
        raise ParameterError(f"which chapter? They are: {', '.join(CHAPTERS)}")
    wrong = [one for one in parameter if "=" not in one]
    if wrong:
        raise ParameterError(f"-p {wrong[0]}: give name=value, for example -p budget=128")
    with _interruptible("what was executed so far is kept as a .partial.ipynb"):
        done = run_chapter(
            chapter,
            dict(one.split("=", 1) for one in parameter),
            profile=profile,
            output=output,
            page=page,
        )
    out.print(f"[green]done[/] in {done.seconds:.0f} s")
    _print_paths(notebook=done.notebook, results=done.results, open=done.page)


@app.command()
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
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
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
    from kvbook.commands.evaluate import evaluate_grid, make_grid, table_rows

    grid = make_grid(method, task, budget, parameter)
    with _interruptible("items measured so far are kept; the same command goes on"):
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
    _print_notes(done.notes)
    _print_paths(items=output, summary=done.summary)


@app.command()
def finetune(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Rows to learn, .jsonl or .json (Alpaca's, ShareGPT's or OpenAI's form); "
            "left out: the embedded medical ones.",
            show_default=False,
        ),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Rows to ask; goes with --data.", show_default=False)
    ] = None,
    general: Annotated[
        Path | None,
        typer.Option(
            help="Rows of other kinds, to see what is forgotten. Left out: the embedded ones "
            "beside the embedded data.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="smollm2-135m, a hub id, or a folder.")
    ] = "smollm2-135m",
    output: Annotated[
        Path, typer.Option(help="Folder for adapter, checkpoints, merged model and scores.")
    ] = Path("kvbook-runs/finetune"),
    backend: Annotated[str, typer.Option(help="trl or llamafactory.")] = "trl",
    config: Annotated[
        Path | None,
        typer.Option(help="Training keys; left out: kvbook's lora.yaml.", show_default=False),
    ] = None,
    parameter: Annotated[
        list[str],
        typer.Option("-p", "--parameter", help="key=value, in place of the file's; repeatable."),
    ] = [],  # noqa: B006
    items: Annotated[int, typer.Option(min=1, help="Test rows to ask, from the first.")] = 64,
    gguf: Annotated[
        str | None,
        typer.Option(help="Also export model.gguf: f32, f16, bf16 or q8_0.", show_default=False),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete what is in the folder, and begin anew.")
    ] = False,
) -> None:
    """Fine-tune a chat model with LoRA, merge it, and say what it gained and forgot; resumed
    after an interruption."""
    with _interruptible("training is kept up to its last checkpoint; the same command goes on"):
        from kvbook.commands import finetune as command

        prepared = command.prepare_finetuning(
            data=data,
            test=test,
            general=general,
            model=model,
            output=output,
            backend=backend,
            config=config,
            keys=parameter,
            items=items,
            gguf=gguf,
        )
        _print_notes(prepared.notes)
        _print_table(prepared.rows)
        out.print(prepared.share, highlight=False)
        done = command.finetune(prepared, fresh=fresh)
    out.print(done.losses, highlight=False)
    _print_table(done.rows)
    _print_notes(done.notes)
    _print_paths(
        adapter=done.trained.adapter, model=done.merged, gguf=done.gguf, numbers=done.numbers
    )


@app.command()
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
        bool, typer.Option(help="Also the peak of memory, each in a process of its own.")
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
    from kvbook.commands.profile import profile_grid

    with _interruptible("nothing is kept; fewer --contexts, --methods or --repeats take less time"):
        grid = profile_grid(
            _split(method),
            _split(contexts),
            budget,
            parameter,
            new_tokens=new_tokens,
            repeats=repeats,
            memory=memory,
            model=model,
            dtype=dtype,
            output=output,
        )
    _print_table([_stack(row) for row in grid.rows], gap=0)
    _print_notes(grid.notes)
    _print_paths(numbers=output)


@app.command()
def bench(
    repeats: Annotated[int, typer.Option(min=1, help="Of each pair; the median counts.")] = 5,
    output: Annotated[Path, typer.Option(help="Folder for profiling-bench.json.")] = Path(
        "kvbook-runs"
    ),
) -> None:
    """The ratios of speed and memory that this book promises, and which hold; a quarter of an
    hour on two cores."""
    from kvbook import results
    from kvbook.files import check_writable
    from kvbook.lm.models import EMBEDDED, load_model
    from kvbook.profiling.bench import bench as run_bench
    from kvbook.profiling.bench import find_kvpress, plain

    check_writable(output)
    kvpress = find_kvpress()
    if kvpress is None:
        err.print("[yellow]note:[/] without kvpress: `make kvpress` sets it up")
    with _interruptible("nothing is kept; fewer --repeats take less time"):
        done = run_bench(load_model(), repeats, kvpress)
    _print_table([promise.row() for promise in done["promises"]])
    asked = {"model": EMBEDDED, "repeats": repeats}
    numbers = results.save("profiling-bench", plain(done), parameters=asked, directory=output)
    _print_paths(numbers=numbers)


def _split(values: list[str]) -> list[str]:
    return [one.strip() for value in values for one in value.split(",") if one.strip()]


def _stack(row: dict[str, str]) -> dict[str, str]:
    """Columns narrow enough for a terminal: heads in short lines, a spread below its median."""
    heads = ["\n".join(textwrap.fill(part, 7) for part in head.split(", ")) for head in row]
    cells = [one.replace(" (", "\n").replace(" to ", "–\n").rstrip(")") for one in row.values()]
    return dict(zip(heads, cells, strict=True))


def _print_table(rows: list[dict[str, str]], gap: int = 1) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, gap, 0, 0))
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    out.print(table)


def _print_paths(**paths: Path | None) -> None:
    """A line each: what it is, and where."""
    for label, path in paths.items():
        if path:
            out.print(f"  {label:9}{escape(str(path))}", soft_wrap=True, highlight=False)


def _print_notes(notes: list[str]) -> None:
    for note in notes:
        err.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True, highlight=False)


@app.command()
def book(
    profile: ProfileOption = "laptop",
    cores: Annotated[
        int,
        typer.Option(
            min=1, help="Cores to use; a chapter takes one, or two where it measures time."
        ),
    ] = 2,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also print it, with Chromium.")] = False,
) -> None:
    """Execute what has changed, and build the book."""
    from kvbook.chapters.browser import find_chromium
    from kvbook.chapters.building import build_book
    from kvbook.chapters.registry import CHAPTERS, get_chapter

    get_chapter(next(iter(CHAPTERS))).defaults(profile)  # an unknown profile is refused here
    if pdf:
        find_chromium()  # and so is a machine without a browser, before anything runs
    with _interruptible("chapters executed so far are kept; the same command goes on"):
        made = build_book(profile, cores, pdf)
    out.print("[green]done[/]")
    _print_paths(book=made / "html" / "index.html", pdf=made / "kvbook.pdf" if pdf else None)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="What `kvbook run` or `kvbook book` left.")] = Path(
        "kvbook-runs"
    ),
    keep: Annotated[
        bool, typer.Option("--keep", help="Write these values down as the expected ones.")
    ] = False,
) -> None:
    """Are your numbers the book's? The expected values of every chapter, beside those of your run."""
    from kvbook.chapters import expected

    runs = expected.find_runs(folder)
    if keep:
        _print_paths(kept=expected.keep(runs))
    colours = {"same": "green", "near": "green", "off": "red"}
    table = Table("", "chapter", "value", "expected", "yours", "within", box=SIMPLE_HEAD)
    compared = expected.compare(runs)
    for one in compared:
        if one.state in colours:
            mark = f"[{colours[one.state]}]{one.state}[/]"
            numbers = [*map(expected.show, (one.kept, one.found)), expected.within(one.expected)]
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


@app.command()
def doctor() -> None:
    """Is everything there? Python, packages, model, processor, disk, fonts."""
    from kvbook.commands.doctor import checks

    table = Table("", "what", "found", "what to do")
    marks = {"ok": "[green]ok[/]", "warn": "[yellow]look[/]", "fail": "[red]no[/]"}
    results = list(checks())
    for check in results:
        table.add_row(marks[check.state], check.what, escape(check.found), escape(check.advice))
    out.print(table)
    if any(check.state == "fail" for check in results):
        raise typer.Exit(1)


def main() -> None:
    """The entry point: errors of ours are one message, never a traceback (``KVBOOK_DEBUG=1`` shows it)."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin steal shared cores
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as tidy as after Ctrl-C
    try:
        app()
    except KvbookError as error:
        if os.environ.get("KVBOOK_DEBUG"):
            raise
        err.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(2 if isinstance(error, ParameterError) else 1)


if __name__ == "__main__":
    main()
