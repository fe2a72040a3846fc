"""`kvbook list`: the chapters, and what each takes."""

from rich.table import Table

from kvbook.commands.terminal import out


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
