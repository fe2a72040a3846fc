"""The templates of all sentences that cells can say, read from the sources: a branch that no run of ours took
has its Chinese, too."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from kvbook.chapters.edition.words import WORD
from kvbook.chapters.registry import CHAPTERS
from kvbook.errors import ResultError
from kvbook.places import PACKAGE
from kvbook.texts import read_json, read_text

FIELD = re.compile(r"\{[a-z_]\w*(?:[:!][^{}]*)?\}")
"""A field of a template that has a name."""
ROOMS = ("show", "chapters/figure_1", "chapters/evidence.py")
"""Of the package: where sentences are made."""


def find_templates() -> dict[str, str]:
    """Every template of `kvbook.show.say`, and where it stands.

    That is every text with a named field in the modules of `ROOMS` that know `say`, and in the code of the
    chapters. Of a sentence that is joined from several texts, each counts by itself.
    """
    found: dict[str, str] = {}
    for path in _modules():
        for template in _templates(ast.parse(read_text(path))):
            found.setdefault(template, str(path.relative_to(PACKAGE)))
    for name, chapter in CHAPTERS.items():
        for cell in read_json(chapter.notebook, ResultError)["cells"]:
            if cell["cell_type"] == "code":
                for template in _templates(ast.parse("".join(cell["source"]))):
                    found.setdefault(template, f"{name}, cell {cell['id']}")
    return found


def _modules() -> Iterator[Path]:
    for room in ROOMS:
        place = PACKAGE / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            if re.search(r"\bsay\b|\bSaid\b", read_text(path)):
                yield path


def _templates(tree: ast.AST) -> Iterator[str]:
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if id(node) in documented | inside:
            continue
        if FIELD.search(node.value) and WORD.search(FIELD.sub("", node.value)):
            yield node.value
