"""`kvbook run`: a chapter with parameters of your own."""

from pathlib import Path
from typing import Annotated

import typer

from kvbook.commands.terminal import ProfileOption, interruptible, out, print_paths, print_table
from kvbook.errors import ParameterError


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
    from kvbook.chapters.registry import CHAPTERS, get_chapter
    from kvbook.chapters.resolve import parameter_rows

    if wants_help:
        rows = [{"chapter": one.name, "title": one.title} for one in CHAPTERS.values()]
        if chapter:
            rows = parameter_rows(get_chapter(chapter), profile)
        out.print(context.get_help(), end="")
        print_table(rows)
        return
    if chapter is None:
        raise ParameterError(f"which chapter? They are: {', '.join(CHAPTERS)}")
    wrong = [one for one in parameter if "=" not in one]
    if wrong:
        raise ParameterError(f"-p {wrong[0]}: give name=value, for example -p budget=128")
    with interruptible("what was executed so far is kept as a .partial.ipynb"):
        from kvbook.chapters.execute import run_chapter

        done = run_chapter(
            chapter,
            dict(one.split("=", 1) for one in parameter),
            profile=profile,
            output=output,
            page=page,
        )
    out.print(f"[green]done[/] in {done.seconds:.0f} s")
    print_paths(notebook=done.notebook, results=done.results, open=done.page)
