"""Needles: the same from the same seed, of the length asked for; and the main path on the real model."""

import pytest

from kvbook import create_method, load_model
from kvbook.errors import ResultError
from kvbook.places import place
from kvbook.tasks import needle


@pytest.fixture(scope="module")
def lm():
    return load_model(dtype="float32")  # the same words on every processor


@pytest.fixture(scope="module")
def needles(lm):
    return needle.make_needles(lm.tokenizer, place("data"), count=6, length=1000, seed=0)


def test_the_same_seed_gives_the_same_prompts(lm, needles):
    assert needle.make_needles(lm.tokenizer, place("data"), count=6, length=1000, seed=0) == needles


def test_length_and_depth_are_as_asked(needles):
    assert all(900 <= one.tokens <= 1020 for one in needles)
    assert [round(one.depth, 3) for one in needles] == [0.083, 0.25, 0.417, 0.583, 0.75, 0.917]
    for one in needles:
        assert one.prompt.count(one.answer) == 1
        assert abs(one.prompt.index(one.answer) / len(one.prompt) - one.depth) < 0.12


def test_the_haystack_has_no_digits():
    assert not any(
        letter.isdigit() for essay in needle.read_essays(place("data")) for letter in essay
    )


def test_a_grid_has_a_row_a_depth_and_a_column_a_length(lm):
    found = needle.ask_grid(lm, create_method("fullkv"), place("data"), [300], depths=3)
    assert [len(row) for row in found] == [1, 1, 1]
    assert sum(row[0] for row in found) >= 2


def test_a_missing_haystack_says_where_it_should_be(tmp_path):
    with pytest.raises(ResultError, match="haystack"):
        needle.read_essays(tmp_path)


@pytest.mark.parametrize(
    "words, hit", [(" 1234.", True), (' "1234"', True), (" 123", False), (" 5 1234", False)]
)
def test_an_answer_counts_when_it_begins_with_the_number(words, hit):
    assert needle.found(needle.Needle("", "1234", 0.5, 0), words) is hit


def test_the_real_model_finds_needles_with_all_and_with_snapkv_but_not_with_streaming(lm, needles):
    early = needles[:4]  # out of the window's reach

    def score(name, **parameters):
        return sum(
            needle.found(one, needle.ask(lm, create_method(name, **parameters), one))
            for one in early
        )

    assert score("fullkv") >= 3
    assert score("snapkv", budget=256, window=8) >= 2
    assert score("streamingllm", budget=256) == 0
