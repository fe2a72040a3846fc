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


@pytest.mark.parametrize(
    "value, chinese",
    [
        ("snapkv", "见 snapkv 处"),
        ("budget 8", "见预算 8 处"),
        ("budget 8: 3%; budget 9: 4%", "见预算 8：3%；预算 9：4% 处"),
        ("snapkv; snapkv", "见 snapkv；snapkv 处"),
        ("8: 3%; 9: 4%", "见 8：3%；9：4% 处"),
        ("budget 8: 'a budget: no, 9'", "见预算 8：'a budget: no, 9' 处"),
        ("<b>budget 8</b>", "见 <b>预算 8</b> 处"),
    ],
)
def test_a_text_within_a_sentence_is_an_entry_or_a_list_of_some(value, chinese):
    words = Words({"budget {}": "预算 {}", "See {x}": "见 {x} 处"}, ["snapkv", "'.*'"])
    assert words.say({"template": "See {x}", "values": {"x": value}}) == chinese
    assert not words.missed


def test_a_text_within_a_sentence_that_has_no_entry_is_missed():
    words = Words({"See {x}": "见 {x} 处"})
    words.say({"template": "See {x}", "values": {"x": "an unknown thing"}}, "a cell")
    assert words.missed == {"an unknown thing": "a cell"}


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
