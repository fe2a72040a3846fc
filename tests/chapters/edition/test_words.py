"""The catalogue of what cells write, and how a text finds its entry."""

import string

import pytest

from kvbook.chapters.edition.templates import find_templates
from kvbook.chapters.edition.words import Words, read_words

WORDS = Words(
    {"{} of {}": "{1} 中的 {0}", "budget {}": "预算 {}", "Found {n}": "找到 {n}"}, ["snapkv"]
)


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize(
    "text, chinese",
    [
        ("3 of 4", "4 中的 3"),
        ("snapkv of 4", "4 中的 snapkv"),
        ("the history of bicycles", "the history of bicycles"),
    ],
)
def test_a_template_fits_where_it_leaves_no_english(text, chinese):
    assert WORDS.translate(text) == chinese


def test_what_stands_between_sentences_is_full_width_and_fields_stay():
    said = {"template": "Found {n}: {x:.1f}.", "values": {"n": 2, "x": 1.25}}
    assert WORDS.say(said) == "找到 2：1.2。"


def test_every_sentence_of_the_sources_has_its_chinese():
    words = read_words()
    for template in find_templates():
        words.say({"template": template, "values": dict.fromkeys(fields(template), 1)})
    assert words.missed == {}


def test_both_sides_of_an_entry_have_the_same_fields():
    known = read_words().known
    assert {
        one
        for one, other in known.items()
        if fields(one) - {"0"} != fields(other) - set("0123456789")
    } == set()
