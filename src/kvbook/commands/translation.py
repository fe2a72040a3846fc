"""`kvbook translation`: what of the Chinese edition is due."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from kvbook.commands.terminal import out


def translation(
    page: Annotated[
        list[str] | None,
        typer.Argument(help="Chapters of `kvbook list`, or other pages; none: all of them."),
    ] = None,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept",
            help="Note that the translations in these pages are of the present English text.",
        ),
    ] = False,
) -> None:
    """What of the Chinese edition is due: English text that has no translation or has changed since,
    and translations that differ from it in code, links, formulas or numbers. Ends with 1 if anything is."""
    from kvbook.chapters.edition.due import accept as accept_pages
    from kvbook.chapters.edition.due import find_due, find_unlike
    from kvbook.errors import ParameterError
    from kvbook.places import clone

    clone("kvbook translation")
    names = page or []
    if accept:
        if not names:
            raise ParameterError("--accept needs the names of the pages that were translated")
        out.print(f"{accept_pages(names)} blocks noted as translated in {', '.join(names)}")
    found = find_due(names) + find_unlike(names)
    if not found:
        out.print("nothing is due")
        return
    table = Table("page", "block", "what is due")
    for one in found:
        table.add_row(*map(escape, (one.page, one.block, one.why)))
    out.print(table)
    raise typer.Exit(1)
