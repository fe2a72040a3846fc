"""Commands that the book and the README tell a reader to type: kvbook would take every one."""

import re
import shlex

import pytest
import typer
from pages import PAGES, markdown, pages

from kvbook.chapters.registry import get_chapter
from kvbook.chapters.resolve import resolve_parameters
from kvbook.commands import cli
from kvbook.places import REPOSITORY

COMMAND = re.compile(
    r"kvbook (?:run|list|compare|chat|slides|assignment|check|evaluate|finetune|profile|gpu-report|book|bench|laws|doctor)\b[^`#\n;]*"
)
TEXTS = pages() | {"README.md": (REPOSITORY / "README.md").read_text(encoding="utf-8")}
COMMANDS = sorted(
    {(page, line.strip()) for page, text in TEXTS.items() for line in COMMAND.findall(text)}
)
CLI = typer.main.get_command(cli.app)


def assignments(arguments):
    return dict(one.split("=", 1) for one in arguments)


@pytest.mark.parametrize("page, line", COMMANDS)
def test_a_command_of_the_book_is_one_that_kvbook_takes(page, line):
    _, name, *arguments = shlex.split(re.sub(r"\$\w+", "1", line))  # a shell's loop variable
    parsed = CLI.commands[name].make_context(name, arguments).params
    if name == "run":
        given = assignments(parsed["parameter"])
        resolve_parameters(get_chapter(parsed["chapter"]), parsed["profile"], given)


@pytest.mark.parametrize("name", PAGES)
def test_a_parameter_that_a_chapter_speaks_of_is_its_own(name):
    """Such as `-p limit=none`, alone between two backticks."""
    for line in re.findall(r"`(-p [^`]+)`", markdown(name)):
        given = assignments(one for one in shlex.split(line) if one != "-p")
        resolve_parameters(get_chapter(name), "laptop", given)
