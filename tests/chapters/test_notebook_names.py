"""What notebooks ask modules and classes of the package for is there: a method that was renamed
would stop the book in the middle."""

import ast
import inspect
import json
from importlib import import_module

import pytest

from kvbook.chapters.registry import CHAPTERS, get_chapter


def imported(tree):
    """By its name in the notebook, what it imports of the package."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kvbook":
            for alias in node.names:
                found[alias.asname or alias.name] = member(import_module(node.module), alias.name)
    return found


def member(thing, name):
    if inspect.ismodule(thing) and not hasattr(thing, name):
        return import_module(f"{thing.__name__}.{name}")
    return getattr(thing, name)


def resolve(node, known):
    """What a chain of names stands for; None: not known before the notebook runs."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    owner = resolve(node.value, known)
    if not inspect.ismodule(owner) and not inspect.isclass(owner):
        return None
    return member(owner, node.attr)


def check(code):
    tree = ast.parse(code)
    known = imported(tree)
    for node in ast.walk(tree):
        resolve(node, known)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_name_is_there(chapter):
    cells = json.loads(get_chapter(chapter).notebook.read_text(encoding="utf-8"))["cells"]
    check("\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code"))


@pytest.mark.parametrize(
    "code",
    [
        "from kvbook.engine import cache\ncache.KVLayer.nothing",
        "from kvbook import show\nshow.nothing()",
        "from kvbook.engine.cache import Nothing",
    ],
)
def test_a_name_that_is_not_there_is_found(code):
    with pytest.raises((AttributeError, ImportError)):
        check(code)
