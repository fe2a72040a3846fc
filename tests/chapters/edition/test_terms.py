"""The terms of the field are the same on every page: those of ``book/zh/terms.yaml``."""

import re

import pytest
import yaml

from kvbook.chapters.edition.blocks import english_blocks
from kvbook.chapters.edition.due import pages, translation_of, translations
from kvbook.chapters.edition.same import words_of

TERMS = yaml.safe_load((translations() / "terms.yaml").read_text(encoding="utf-8"))
LONGEST_FIRST = sorted(TERMS, key=len, reverse=True)
TERM = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, LONGEST_FIRST))})(?![\w-])", re.I)
"""A term, and not one within a longer one: `context window` may have words of its own."""
KNOWN = {term.lower(): words for term, words in TERMS.items()}


def other_words(english: str, chinese: str) -> list[str]:
    """The terms of an English text of whose Chinese words its translation has none."""
    found = {term.lower() for term in TERM.findall(words_of(english))}
    return sorted(term for term in found if not any(word in chinese for word in KNOWN[term]))


@pytest.mark.parametrize("name", pages())
def test_terms_are_those_of_the_list(name):
    english, chinese = english_blocks(pages()[name]), translation_of(name)
    found = {
        block: other_words(text, chinese[block].text)
        for block, text in english.items()
        if block in chinese
    }
    assert not {block: terms for block, terms in found.items() if terms}


def test_another_word_for_a_term_is_found():
    assert other_words("The window and the budget.", "窗口和额度。") == ["budget"]
    assert other_words("Its `budget` of Tokens.", "它的 `budget`，以词元计。") == []


def test_a_longer_term_is_not_its_parts():
    assert other_words("An attention sink.", "一个注意力汇聚点。") == []
    assert other_words("An attention sink.", "一种注意力。") == ["attention sink"]
