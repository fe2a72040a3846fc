"""The Chinese edition is in step with the English one: every block is translated, from the present English
text, and says nothing else."""

import pytest

from kvbook.chapters.edition.blocks import english_blocks
from kvbook.chapters.edition.due import find_due, find_unlike, pages, translation_of
from kvbook.chapters.edition.same import stray


@pytest.mark.parametrize("name", pages())
def test_nothing_is_due(name):
    assert find_due([name]) == []


@pytest.mark.parametrize("name", pages())
def test_a_translation_has_the_code_links_formulas_and_numbers_of_the_english_page(name):
    assert find_unlike([name]) == []


@pytest.mark.parametrize("name", pages())
def test_the_blocks_stand_in_the_order_of_the_english_page(name):
    english, chinese = english_blocks(pages()[name]), translation_of(name)
    assert list(chinese) == [block for block in english if block in chinese]


@pytest.mark.parametrize("name", pages())
def test_punctuation_is_full_width_and_latin_words_stand_apart(name):
    found = {block: list(stray(one.text)) for block, one in translation_of(name).items()}
    assert not {block: told for block, told in found.items() if told}
