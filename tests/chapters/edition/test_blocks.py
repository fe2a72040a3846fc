"""A page in blocks: what an English page has to translate, and how a translation is read and written."""

import json

import pytest

from kvbook.chapters.edition.blocks import (
    Block,
    digest,
    english_blocks,
    read_blocks,
    split_page,
    write_blocks,
)
from kvbook.errors import ResultError


def test_what_is_written_is_read_again(tmp_path):
    blocks = {
        "a1": Block("0123abcd", "第一段。\n\n第二段。"),
        "a2 alt": Block("89ab4567", "一幅图"),
    }
    write_blocks(tmp_path / "page.md", blocks)
    assert read_blocks(tmp_path / "page.md") == blocks
    assert list(read_blocks(tmp_path / "page.md")) == list(blocks)


@pytest.mark.parametrize(
    "text, words",
    [
        ('+++ {"id": "a"}\n一', "cannot read the line"),
        ("+++ {id: a}\n一", "cannot read the line"),
        ('+++ {"id": "a", "en": "1"}\n一\n+++ {"id": "a", "en": "1"}\n二', "stands there twice"),
    ],
)
def test_a_damaged_page_is_refused_by_its_line(tmp_path, text, words):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ResultError, match=words):
        read_blocks(page)


def test_a_notebook_has_its_prose_and_the_words_of_its_pictures(tmp_path):
    picture = {"mystnb": {"image": {"alt": "A map."}, "figure": {"caption": "What is kept."}}}
    cells = [
        {"cell_type": "markdown", "id": "m", "metadata": {}, "source": ["# One\n", "Two."]},
        {"cell_type": "code", "id": "c", "metadata": picture, "source": "draw()"},
        {"cell_type": "code", "id": "d", "metadata": {}, "source": "x = 1"},
    ]
    page = tmp_path / "page.ipynb"
    page.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    found = {"m": "# One\nTwo.", "c alt": "A map.", "c caption": "What is kept."}
    assert english_blocks(page) == found


def test_headings_in_fences_begin_no_section():
    page = "Before.\n# One\n````{solution}\n```\n# code\n```\n# words\n````\n## Two"
    assert list(split_page(page)) == ["top", "One", "Two"]


def test_the_sections_of_a_page_are_the_whole_page():
    page = "Before.\n\n# One\n\nText.\n\n## One\n\nMore."
    assert "\n\n".join(split_page(page).values()) == page


def test_any_other_word_makes_another_digest():
    assert digest("A window of 8.") != digest("A window of 9.")
