"""What the book's extensions make of a cell's code and of its pictures."""

import doctest

import pytest
from docutils import nodes
from docutils.utils import new_document
from extensions import extension


def test_the_examples_of_named_code_hold():
    assert doctest.testmod(extension("named_code")) == (0, 3)


@pytest.mark.parametrize(
    "code, name",
    [
        ("show.kept_map(run, n)\nshow.kept_text(tokens)", "kept map, kept text"),
        ("a = 1\nshow.table([show.linked('x', 'y')])", "table"),
        ("from kvbook import show\nshow.style()", "what this page needs"),
        ("%pip install kvbook", "what this page needs"),
    ],
)
def test_a_cell_is_called_by_what_it_shows(code, name):
    assert extension("named_code").name_of(code) == name


@pytest.fixture
def figures():
    """A picture, one to move through and a table, as myst-nb gives them: each with its cell's caption."""
    document = new_document("")
    moving, table = '<div class="kv-explorer"></div>', '<table class="kv-table"></table>'
    for shown in (
        nodes.image(uri="a.svg"),
        nodes.raw("", moving, format="html"),
        nodes.raw("", table, format="html"),
    ):
        document += nodes.figure("", shown, nodes.caption("", "what it shows"))
    return document


def test_a_caption_is_the_pictures_and_no_tables(figures):
    extension("pictures")._leave_captions(None, figures)
    assert [type(one) for one in figures] == [nodes.figure, nodes.figure, nodes.raw]
    assert figures.astext().count("what it shows") == 2
