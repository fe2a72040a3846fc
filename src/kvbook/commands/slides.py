"""`kvbook slides`: a deck a chapter, from what was executed."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kvbook.commands.terminal import interruptible, print_paths


def slides(
    chapter: Annotated[
        list[str] | None,
        typer.Argument(help="Chapters of `kvbook list`; none: all that have been executed."),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(
            help="Folder of executed notebooks; left out: those of the last `kvbook book`.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Folder for the decks; Chinese ones come into its folder zh.")
    ] = Path("kvbook-runs/slides"),
    language: Annotated[
        Literal["en", "zh"], typer.Option(help="English, or Chinese from the same runs.")
    ] = "en",
) -> None:
    """Slides of executed chapters, in a folder that opens from disk: problem, picture, formula,
    lines, cost, failure, and a question with its answer; the prose is in the speaker's notes."""
    with interruptible("decks written so far are kept"):
        from kvbook.chapters.slides.export import make_decks
        from kvbook.chapters.slides.language import CHINESE, ENGLISH
        from kvbook.places import clone

        runs = runs or clone("kvbook slides without --runs") / "book" / "_build" / "runs"
        if language == "zh":
            index = make_decks(chapter or [], runs, output / "zh", CHINESE)
        else:
            index = make_decks(chapter or [], runs, output, ENGLISH)
    print_paths(open=index)
