"""A long document: its length, its numbers, and what is found after it was read."""

import pytest

from kvbook import Panel, create_method, load_model
from kvbook.places import place
from kvbook.tasks.document import Document, ask_document, make_document


@pytest.fixture(scope="module")
def lm():
    return load_model(dtype="float32")  # the same words on every processor


@pytest.fixture(scope="module")
def document(lm):
    return make_document(lm, place("data"), tokens=500, count=3)


def test_the_numbers_are_in_the_text_at_their_depths(lm, document):
    text = lm.tokenizer.decode(document.ids[0])
    assert list(document.numbers.values()) == ["1737", "2474", "3211"]
    for city, number in document.numbers.items():
        fact = f"The special magic number for {city} is {number}."
        assert text.count(fact) == 1
        assert abs(text.index(fact) / len(text) - document.depth(city)) < 0.15


def test_it_is_about_as_long_as_asked(document):
    assert 350 <= document.ids.shape[1] <= 500


def test_every_question_gives_what_it_gives_alone(lm, document):
    def ask(numbers):
        with Panel([create_method("fullkv")]).attach(lm.model) as run:
            lm.model(document.ids, logits_to_keep=1)
            return ask_document(lm, run, Document(document.ids, numbers))

    together = ask(document.numbers)
    alone = [ask({city: number})[city] for city, number in document.numbers.items()]
    assert list(together.values()) == alone == [False, False, True]  # the model is small


def test_a_number_outside_of_the_window_is_not_found(lm, document):
    with Panel([create_method("streamingllm", budget=60)]).attach(lm.model) as run:
        lm.model(document.ids, logits_to_keep=1)
        held = run.rows[0].kv_bytes
        assert not any(ask_document(lm, run, document).values())
        assert len(run.rows) == 1 and run.rows[0].kv_bytes == held  # as before the questions
