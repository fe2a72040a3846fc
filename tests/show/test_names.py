"""`kvbook.show` hands on what its files define, each name once."""

import ast
from collections import Counter
from pathlib import Path

from kvbook import show


def handed_on():
    """By file of `kvbook.show`, its names."""
    tree = ast.parse(Path(show.__file__).read_text(encoding="utf-8"))
    (given,) = [
        one.value
        for one in ast.walk(tree)
        if isinstance(one, ast.keyword) and one.arg == "submod_attrs"
    ]
    return ast.literal_eval(given)


def test_no_two_files_have_one_name():
    """The later one would be taken, and nobody told."""
    names = Counter(name for names in handed_on().values() for name in names)
    assert [name for name, count in names.items() if count > 1] == []


def test_every_name_is_there():
    assert all(hasattr(show, name) for names in handed_on().values() for name in names)
