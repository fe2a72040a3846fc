"""What CONTRIBUTING tells the next engineer to open, change or type is there."""

import re

import pytest

from kvbook.places import REPOSITORY

TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATHS = set(re.findall(r"[\w.]+(?:/[\w.]+)+\.(?:py|md|ipynb|yml|bib)", TEXT))
MADE = re.compile(r"^([a-z]+):", re.M).findall((REPOSITORY / "Makefile").read_text("utf-8"))


@pytest.mark.parametrize("path", sorted(one for one in PATHS if not re.search(r"/[A-Z]+\.", one)))
def test_a_file_that_is_named_is_there(path):
    assert (REPOSITORY / path).is_file()


@pytest.mark.parametrize(
    "name, path", re.findall(r"`([A-Z_]{4,}|\w+)` (?:in|of) `([\w./]+\.py)`", TEXT)
)
def test_a_name_stands_in_its_file(name, path):
    assert re.search(rf"\b{name}\b", (REPOSITORY / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)\b", TEXT))))
def test_a_target_that_is_named_can_be_made(target):
    assert target in MADE
