"""A chapter's sections: what stands under each of its headings."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from kvbook.chapters.slides.language import ENGLISH, Language
from kvbook.chapters.slides.words import split_lines
from kvbook.errors import ParameterError


@dataclass
class Section:
    """A part of a chapter under one heading of the second level: its prose and its code cells.

    Attributes
    ----------
    title : str
        Its heading.
    name : str
        Its heading in English, by which rules know it.
    """

    title: str
    cells: list[NotebookNode] = field(default_factory=list)
    language: Language = ENGLISH
    name: str = ""

    @property
    def prose(self) -> str:
        """All of it, for the notes."""
        told = [cell.source for cell in self.cells if cell.cell_type == "markdown"]
        return "\n\n".join(told).strip()


def translated_sections(
    notebook: NotebookNode, english: Sequence[Section], language: Language
) -> list[Section]:
    """The sections of a translated notebook, with the names of the English ones.

    Raises
    ------
    ParameterError
        It has more or fewer than those.
    """
    made = sections(notebook)
    if len(made) != len(english):
        raise ParameterError(
            f"the translation of {english[0].title!r} has {len(made) - 1} sections, and the chapter "
            f"{len(english) - 1}: see `kvbook translation`"
        )
    return [
        replace(one, language=language, name=other.name)
        for one, other in zip(made, english, strict=True)
    ]


def sections(notebook: NotebookNode) -> list[Section]:
    """A notebook's sections; the first one has the title and what stands before the others."""
    made = [Section("")]
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            made[-1].cells.append(cell)
            continue
        lines: list[str] = []
        for line, fenced in split_lines(cell.source):
            if not fenced and (heading := re.match(r"#{1,2} (.*)", line)):
                made[-1].cells.append(new_markdown_cell("\n".join(lines)))
                lines = []
                if line.startswith("## "):
                    made.append(Section(heading[1]))
                else:
                    made[-1].title = heading[1]
            else:
                lines.append(line)
        made[-1].cells.append(new_markdown_cell("\n".join(lines)))
    return [replace(one, name=one.title) for one in made]
