"""Harder needles: what is added to a prompt, and what the real model makes of it."""

import pytest

from kvbook import create_method, load_model
from kvbook.places import place
from kvbook.tasks.harder import ask_second, in_two_steps, insert_after
from kvbook.tasks.needle import Needle, make_needles

FACT = "The special magic number for Oslo is 1234."
QUESTION = "What is the special magic number for Oslo mentioned in the text?"
OPENING = "The special magic number for Oslo mentioned in the text is"


@pytest.mark.parametrize(
    "share, text", [(0.0, "One. X. Two. Three."), (0.5, "One. Two. X. Three.")]
)
def test_a_sentence_goes_behind_the_one_that_ends_next(share, text):
    assert insert_after("One. Two. Three.", share, " X.") == text


def test_a_needle_in_two_steps_names_the_town_only_in_the_text():
    one = Needle(f"Hay. {FACT} Straw. {QUESTION}\n{OPENING}", "1234", 0.5, 30)
    harder = in_two_steps(one)
    text, question = harder.prompt.split("What is")
    assert "The old harbour town of this story is Oslo." in text and FACT in text
    assert "Oslo" not in question
    assert question.count("the old harbour town of this story") == 2
    assert (harder.answer, harder.depth) == ("1234", 0.5)


def test_the_second_fact_is_found_with_all_entries_and_not_without_the_text():
    lm = load_model(dtype="float32")  # the same words on every processor
    pair = make_needles(lm.tokenizer, place("data"), count=2, length=400, seed=0)
    methods = {"all": "fullkv", "some": create_method("streamingllm", budget=64)}
    assert ask_second(lm, methods, *pair) == {"all": True, "some": False}
