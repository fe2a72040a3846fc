"""`kvbook assignment`: a chapter's exercises for a class, to be marked by nbgrader."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kvbook.commands.terminal import ProfileOption, out


def assignment(
    chapters: Annotated[
        list[str], typer.Argument(metavar="CHAPTER...", help="Some of `kvbook list`.")
    ],
    output: Annotated[Path, typer.Option(help="A course folder for nbgrader; new, or to add to.")],
    profile: ProfileOption = "laptop",
) -> None:
    """Make notebooks of chapters' exercises: students' with checks, the teacher's with solutions."""
    from kvbook.chapters.assignment import write_assignments

    for path in write_assignments(chapters, output, profile=profile):
        whose = "teacher" if path.parts[-3] == "source" else "students"
        out.print(f"  {whose:9}{escape(str(path))}", soft_wrap=True, highlight=False)
