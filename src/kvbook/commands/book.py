"""`kvbook book`: all chapters, and the book of them."""

from typing import Annotated

import typer

from kvbook.commands.terminal import ProfileOption, interruptible, out, print_notes, print_paths

NO_FONT = (
    "no Chinese font here, so the Chinese edition is not printed: install one (on Debian and Ubuntu: "
    "apt install fonts-noto-cjk), and ask again"
)


def book(
    profile: ProfileOption = "laptop",
    cores: Annotated[
        int,
        typer.Option(
            min=1, help="Cores to use; a chapter takes one, or two where it measures time."
        ),
    ] = 2,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Also print both editions, with Chromium.")
    ] = False,
) -> None:
    """Execute what has changed, and build the book."""
    with interruptible("chapters executed so far are kept; the same command goes on"):
        from kvbook.chapters.building import build_book
        from kvbook.chapters.registry import CHAPTERS, get_chapter

        get_chapter(next(iter(CHAPTERS))).defaults(profile)  # an unknown profile is refused here
        pdfs = _printable() if pdf else []  # and what cannot be printed, before anything runs
        made = build_book(profile, cores, pdfs)
    out.print("[green]done[/]")
    print_paths(book=made / "html" / "index.html")
    for name in pdfs:
        print_paths(pdf=made / name)


def _printable() -> list[str]:
    """The PDFs that this machine can make; why not the Chinese one, where it cannot."""
    from kvbook.chapters.browser import find_chromium
    from kvbook.chapters.building import CHINESE_PDF, ENGLISH_PDF
    from kvbook.chapters.fonts import find_chinese_font

    find_chromium()
    if find_chinese_font():
        return [ENGLISH_PDF, CHINESE_PDF]
    print_notes([NO_FONT])
    return [ENGLISH_PDF]
