"""The page of error messages: each is one that the program really has."""

import ast
import re

import pytest

from kvbook.places import REPOSITORY, place

TEXT = (place("book") / "troubleshooting.md").read_text(encoding="utf-8")
OTHERS = ("ModuleNotFoundError: ", "LockException: ")
"""How messages of Python and of Snakemake begin."""
MESSAGES = re.findall(r"^### `+(.+?)`+$", TEXT, re.M) + re.findall(
    r"^### .*\(`(.+)`\)$", TEXT, re.M
)
MESSAGES = [one for one in MESSAGES if not one.startswith(OTHERS)]


def texts(source):
    """The strings of a module; what an f-string fills in is an ellipsis."""
    tree = ast.parse(source)
    filled = [one for one in ast.walk(tree) if isinstance(one, ast.JoinedStr)]
    inside = {id(part) for one in filled for part in one.values}
    for one in filled:
        yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in one.values)
    for one in ast.walk(tree):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in inside:
            yield one.value


SAID = [
    said for path in (REPOSITORY / "src").rglob("*.py") for said in texts(path.read_text("utf-8"))
]
SAID += [*texts((REPOSITORY / "make.py").read_text("utf-8"))]
SAID += [(place("notebooks") / "Snakefile").read_text("utf-8")]


def pattern(message):
    """A message as it may stand in the source: an ellipsis is anything that is filled in."""
    return re.compile(".*".join(map(re.escape, message.split("…"))))


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_message_is_one_that_somebody_may_see(message):
    assert any(pattern(message).search(said) for said in SAID)


def test_the_page_has_the_messages():
    assert len(MESSAGES) > 40 and len(set(MESSAGES)) == len(MESSAGES)


def test_a_message_that_is_not_in_the_source_is_noticed():
    assert not any(pattern("no room for … on this disc").search(said) for said in SAID)
