"""Needles: the same from the same seed, of the length asked for; and the main path on the real model."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from kvbook import create_method, load_model
from kvbook.errors import ResultError
from kvbook.methods import SnapKV
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


# ---- what was asked before -------------------------------------------------------------------------


@pytest.fixture
def tiny():
    return load_model("tiny-random", dtype="float32")


@pytest.fixture
def short(tiny):
    return needle.make_needles(tiny.tokenizer, place("data"), count=2, length=300)


@pytest.fixture
def asked(monkeypatch):
    """Which methods are asked; everybody answers 1234."""
    methods = []

    def answer(lm, several, prompts, new_tokens, questions):
        methods.extend(several)
        return [[SimpleNamespace(words="1234") for _ in prompts] for _ in several]

    monkeypatch.setattr(needle, "answer_together", answer)
    return methods


def test_what_is_known_is_read_and_only_the_rest_is_asked(tiny, short, asked, tmp_path):
    full, snap = create_method("fullkv"), create_method("snapkv", budget=64)
    first = needle.ask_each(tiny, {"a": full}, short, tmp_path)
    both = needle.ask_each(tiny, {"b": snap, "c": full}, short, tmp_path)
    assert asked == [full, snap] and list(both) == ["b", "c"]
    assert both["c"] == first["a"] == [False, False]


def test_what_was_said_is_known_word_by_word(tiny, short, asked, tmp_path):
    full = create_method("fullkv")
    needle.ask_each(tiny, {"a": full}, short, tmp_path)
    assert needle.say_each(tiny, {"b": full}, short, tmp_path) == {"b": ["1234", "1234"]}
    assert asked == [full]


def test_what_is_known_before_is_not_known_after(tiny, short, asked, tmp_path):
    full = create_method("fullkv")
    for question in ("before", "after", "after"):
        needle.ask_each(tiny, {"a": full}, short, tmp_path, question)
    assert asked == [full, full]


def test_after_the_question_is_not_in_what_is_compressed(tiny, short, monkeypatch):
    def answer(lm, methods, prompts, new_tokens, questions):
        for one, prompt, question in zip(short, prompts, questions, strict=True):
            read, said = map(tiny.tokenizer.decode, (prompt, question))
            assert read + said == one.prompt and one.answer in read
            assert said.startswith("What is the special magic number")
        return [[SimpleNamespace(words="1234") for _ in prompts]]

    monkeypatch.setattr(needle, "answer_together", answer)
    needle.ask_each(tiny, {"a": create_method("fullkv")}, short, question="after")


def test_another_needle_is_asked(tiny, short, asked, tmp_path):
    full = create_method("fullkv")
    right = [replace(short[0], answer="1234"), short[1]]
    needle.ask_each(tiny, {"a": full}, short, tmp_path)
    assert needle.ask_each(tiny, {"a": full}, right, tmp_path) == {"a": [True, False]}
    assert asked == [full, full]


def test_with_other_sources_everything_is_asked_again(tiny, short, asked, tmp_path, monkeypatch):
    full = create_method("fullkv")
    needle.ask_each(tiny, {"a": full}, short, tmp_path)
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "attention.py").write_text("# another line")
    monkeypatch.setattr(needle, "PACKAGE", tmp_path)
    needle.sources_digest.cache_clear()
    needle.ask_each(tiny, {"a": full}, short, tmp_path)
    needle.sources_digest.cache_clear()
    assert asked == [full, full]


def test_a_method_of_your_own_is_asked_each_time(tiny, short, asked, tmp_path):
    class Mine(SnapKV, listed=False):
        name = "mine"

    for _ in range(2):
        needle.ask_each(tiny, {"mine": Mine(budget=64)}, short, tmp_path)
    assert len(asked) == 2 and not list(tmp_path.rglob("*.jsonl"))


def test_without_a_folder_nothing_is_written(tiny, short, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        needle.ask_each(tiny, {"a": create_method("fullkv")}, short)
    assert len(asked) == 2 and not list(tmp_path.rglob("*"))
