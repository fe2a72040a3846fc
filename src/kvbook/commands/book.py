"""`kvbook book`: all chapters, and the book of them."""

from typing import Annotated

import typer

from kvbook.commands.terminal import ProfileOption, interruptible, out, print_paths


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
    with interruptible("chapters executed so far are kept; the same command goes on"):
        from kvbook.chapters.browser import find_chromium
        from kvbook.chapters.building import build_book
        from kvbook.chapters.registry import CHAPTERS, get_chapter

        get_chapter(next(iter(CHAPTERS))).defaults(profile)  # an unknown profile is refused here
        if pdf:
            find_chromium()  # and so is a machine without a browser, before anything runs
        made = build_book(profile, cores, pdf)
    out.print("[green]done[/]")
    print_paths(book=made / "html" / "index.html", pdf=made / "kvbook.pdf" if pdf else None)
