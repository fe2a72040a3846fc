"""The chapters as they stand in the repository: their cells, prose and exercises."""

import json
import re
from functools import cache

from kvbook.chapters.registry import CHAPTERS, PAGES_ABOUT, get_chapter
from kvbook.places import place

PAGES = [name for name in CHAPTERS if name not in PAGES_ABOUT and name != "figure_1"]
"""The chapters that teach; the others only show what was executed."""
BLOCK = re.compile(r"^(`{3,})([^\n]*)\n(.*?)^\1 *$", re.M | re.S)


@cache
def cells(name: str, kind: str | None = None) -> tuple[dict, ...]:
    """A chapter's cells with their source as one text, all or of one type."""
    notebook = json.loads(get_chapter(name).notebook.read_text(encoding="utf-8"))
    joined = [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]]
    return tuple(cell for cell in joined if kind in (None, cell["cell_type"]))


def markdown(name: str) -> str:
    """All prose of a chapter."""
    return "\n\n".join(cell["source"] for cell in cells(name, "markdown"))


def pages() -> dict[str, str]:
    """The prose of the whole book by file name: chapters and the book's own pages."""
    book = {path.name: path.read_text(encoding="utf-8") for path in place("book").glob("*.md")}
    return book | {f"{name}.ipynb": markdown(name) for name in CHAPTERS}


def without_code(text: str) -> str:
    """A text without its blocks of code; directives keep their first line and their text."""

    def block(match: re.Match) -> str:
        fence, kind, body = match.groups()
        return f"{fence}{kind}\n{without_code(body)}{fence}" if kind.startswith("{") else ""

    return BLOCK.sub(block, text)
