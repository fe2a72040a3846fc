"""The chapters as they stand in the repository: their cells, prose, exercises and commands."""

import json
import re
from dataclasses import dataclass
from functools import cache

from kvbook.chapters import CHAPTERS, get_chapter
from kvbook.execute import FENCE
from kvbook.places import place

PAGES = [name for name in CHAPTERS if name not in ("status", "reproduce", "figure_1")]
"""The chapters that teach; the others only show what was executed."""
CODE = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"kvbook (?:run|list|evaluate|finetune|profile|book|bench|doctor)\b[^`#\n;]*")


@dataclass(frozen=True)
class Exercise:
    """A question and its answer; `folded` where a reader has to open it."""

    label: str
    text: str
    solution: str | None
    folded: bool

    @property
    def code(self) -> str:
        """The solution's Python, as one cell."""
        return "\n\n".join(CODE.findall(self.solution or ""))


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


def exercises(name: str) -> list[Exercise]:
    """A chapter's exercises in their order."""
    asked, answered = {}, {}
    for _, kind, title, options, body in FENCE.findall(markdown(name)):
        if kind == "exercise":
            asked[re.search(r":label: (\S+)", options)[1]] = body.strip()
        elif kind == "solution":
            answered[title] = (body.strip(), ":class: dropdown" in options)
    return [
        Exercise(label, text, *answered.get(label, (None, False))) for label, text in asked.items()
    ]


def commands(text: str) -> list[str]:
    """The command lines of kvbook in a text, in blocks and within sentences."""
    found = [match.strip() for match in COMMAND.findall(text)]
    return [re.sub(r"\$\w+", "1", one) for one in found]  # a shell's loop variable
