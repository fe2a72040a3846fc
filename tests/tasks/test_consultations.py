"""Consultations: rows of fine-tuning data as one conversation."""

import pytest
from finetune.rows import chat

from kvbook import load_model
from kvbook.tasks.consultations import make_consultation


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32", device="cpu")


ROWS = [chat(f"question {i}", f"answer {i}" + "!" * 40) for i in range(6)]


def test_three_rows_with_their_answers_are_read_and_a_fourth_is_asked(lm):
    probe = make_consultation(lm, ROWS, 0)
    text = lm.tokenizer.decode(probe.prompt)
    assert all(part in text for i in range(3) for part in (f"question {i}", f"answer {i}"))
    assert "question 3<|im_end|>" in text and "answer 3" not in text
    assert text.endswith("<|im_start|>assistant\n")


def test_the_right_words_are_the_first_of_the_fourth_answer(lm):
    """The tiny model has a token a byte."""
    probe = make_consultation(lm, ROWS, 0)
    assert lm.tokenizer.decode(probe.answer) == ("answer 3" + "!" * 40)[:24]
    assert 1 <= len(probe.continuation) <= 8


def test_rows_are_taken_in_turn_and_again_from_the_first(lm):
    text = lm.tokenizer.decode(make_consultation(lm, ROWS, 1).prompt)
    asked = [f"question {i}" in text for i in range(6)]
    assert asked == [True, True, False, False, True, True]
    assert text.index("question 5") < text.index("question 0")
