"""A chapter's sections: what stands under each of its headings."""

import re
from dataclasses import dataclass, field

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from kvbook.chapters.slides.words import split_lines


@dataclass
class Section:
    """A part of a chapter under one heading of the second level: its prose and its code cells."""

    title: str
    cells: list[NotebookNode] = field(default_factory=list)

    @property
    def prose(self) -> str:
        """All of it, for the notes."""
        told = [cell.source for cell in self.cells if cell.cell_type == "markdown"]
        return "\n\n".join(told).strip()


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
    return made
