"""The exercises of a chapter: directives of its prose, each with its solution."""

import re
from dataclasses import dataclass

import nbformat

from kvbook.chapters.page import FENCE
from kvbook.chapters.registry import get_chapter

CODE = re.compile(r"^```python\n(.*?)^```$\n?", re.M | re.S)
"""A block of Python within a solution."""
LEVEL = re.compile(r"^\*\((\w+)\)\* ")
"""How the text of an exercise begins."""


@dataclass(frozen=True)
class Exercise:
    """A question and its answer.

    Attributes
    ----------
    label : str
        Its name in the book, such as ``ex-h2o-sum``.
    text : str
        The question; it begins with its level.
    solution : str or None
        The answer, prose and code.
    folded : bool
        Whether a reader has to open it.
    """

    label: str
    text: str
    solution: str | None
    folded: bool

    @property
    def level(self) -> str | None:
        """``easy``, ``medium`` or ``hard``."""
        marked = LEVEL.match(self.text)
        return marked[1] if marked else None

    @property
    def code(self) -> str:
        """The solution's Python, as one cell."""
        return "\n\n".join(CODE.findall(self.solution or ""))

    @property
    def prose(self) -> str:
        """The solution without its Python."""
        return re.sub(r"\n{3,}", "\n\n", CODE.sub("\n", self.solution or "")).strip()


def read_exercises(markdown: str) -> list[Exercise]:
    """The exercises of a text of the book, in their order."""
    asked, answered = {}, {}
    for _, kind, title, options, body in FENCE.findall(markdown):
        if kind == "exercise" and (label := re.search(r":label: (\S+)", options)):
            asked[label[1]] = body.strip()
        elif kind == "solution":
            answered[title] = (body.strip(), ":class: dropdown" in options)
    return [
        Exercise(label, text, *answered.get(label, (None, False))) for label, text in asked.items()
    ]


def exercises(name: str) -> list[Exercise]:
    """A chapter's exercises in their order."""
    notebook = nbformat.read(get_chapter(name).notebook, as_version=4)
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return read_exercises("\n\n".join(prose))
