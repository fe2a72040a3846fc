"""Harder needles: what is added to a prompt, and what the real model makes of it."""

import random
import re
from collections import Counter
from hashlib import sha256

import pytest
from transformers import AutoTokenizer

from kvbook import create_method, load_model
from kvbook.errors import ParameterError
from kvbook.lm.models import fetch_embedded
from kvbook.places import place
from kvbook.tasks.harder import ask_second, in_two_steps, insert_after, make_linked, tell
from kvbook.tasks.needle import CITIES, Needle, found, hide, make_needles

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


# ---- one among several, and behind links -----------------------------------------------------------

TOLD = re.compile(r"The special magic number for (\w+) is (\d{4})\.")
SAME = re.compile(r"The special magic number for (\w+) is the same as for (\w+)\.")
ASKED = re.compile(r"\n\nWhat is the special magic number for (\w+) mentioned in the text\?")


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(fetch_embedded(), local_files_only=True)


def linked(tokenizer, count=8, **how):
    return make_linked(tokenizer, place("data"), count, **how)


def solve(prompt):
    """The number of the city that is asked for, by following what the text says."""
    numbers, same = dict(TOLD.findall(prompt)), dict(SAME.findall(prompt))
    [city] = ASKED.findall(prompt)
    steps = 0
    while city in same:
        city, steps = same[city], steps + 1
    return numbers[city], steps


def test_the_needles_of_old_are_the_same(tokenizer):
    """Stored answers are of these prompts."""
    prompts = [one.prompt for one in make_needles(tokenizer, place("data"), 20, 1000, 0)]
    assert sha256("".join(prompts).encode()).hexdigest().startswith("8e42aadcc4db")


@pytest.mark.parametrize("keys, links", [(1, 0), (4, 0), (1, 3), (4, 1), (2, 2), (16, 0), (4, 3)])
def test_the_answer_is_at_the_end_of_the_links(tokenizer, keys, links):
    for one in linked(tokenizer, keys=keys, links=links):
        assert solve(one.prompt) == (one.answer, links)
        assert len(TOLD.findall(one.prompt)) == keys
        assert len(SAME.findall(one.prompt)) == keys * links
        assert one.prompt.count(one.answer) == 1


def test_the_question_asks_for_the_last_city_and_the_answer_begins_with_it(tokenizer):
    for one in linked(tokenizer, links=2):
        [city] = ASKED.findall(one.prompt)
        assert one.prompt.endswith(f"The special magic number for {city} mentioned in the text is")
        assert city not in dict(TOLD.findall(one.prompt))
        assert city not in dict(SAME.findall(one.prompt)).values()  # no link goes on from it


def test_cities_and_numbers_are_distinct(tokenizer):
    for one in linked(tokenizer, count=40, length=300, keys=5, links=2):
        told, same = TOLD.findall(one.prompt), SAME.findall(one.prompt)
        cities = [city for city, _ in told + same]
        assert len(set(cities)) == 15 and set(cities) <= set(CITIES)
        assert len({number for _, number in told}) == 5
        assert all(1000 <= int(number) <= 9999 for _, number in told)


def test_the_links_of_a_chain_stand_side_by_side(tokenizer):
    chain = re.compile(r"(?:number for \w+ is \d{4}\.)(?: The special magic number for \w+ is the same as for \w+\.){3}")  # fmt: skip
    for one in linked(tokenizer, keys=3, links=3):
        assert len(chain.findall(one.prompt)) == 3


def test_a_chain_is_told_from_the_number_on():
    assert tell(["Oslo"], "1234") == FACT
    assert tell(["Oslo", "Riga", "Lima"], "1234") == (
        f"{FACT} The special magic number for Riga is the same as for Oslo. "
        "The special magic number for Lima is the same as for Riga."
    )


def test_who_takes_a_number_by_its_place_is_right_once_in_keys(tokenizer):
    made = linked(tokenizer, count=200, length=300, keys=4, links=1)
    for place_in_text in (0, 1, -1):
        taken = [TOLD.findall(one.prompt)[place_in_text][1] for one in made]
        hits = sum(number == one.answer for number, one in zip(taken, made, strict=True))
        assert 30 <= hits <= 70  # three standard deviations around 50


def test_no_chain_is_named_more_often_than_another(tokenizer):
    for one in linked(tokenizer, links=2):
        text = one.prompt[: one.prompt.rindex("What is the special")]
        named = Counter(re.findall("|".join(CITIES), text))
        ends = {city for city, _ in SAME.findall(text)} - {city for _, city in SAME.findall(text)}
        assert {named[city] for city in ends} == {1}
        assert {named[city] for city in set(named) - ends} == {2}


@pytest.mark.parametrize("length", [500, 1000])
def test_length_is_about_as_asked(tokenizer, length):
    for keys, links in ((1, 0), (4, 1)):
        for one in linked(tokenizer, length=length, keys=keys, links=links):
            assert length - 60 <= one.tokens <= length + 10
            assert one.tokens == len(tokenizer(one.prompt).input_ids)


def test_the_asked_number_is_at_every_depth(tokenizer):
    made = linked(tokenizer, length=1000)
    assert [one.depth for one in made] == [(i + 0.5) / 8 for i in range(8)]
    for one in made:
        begin, end = one.prompt.index("user\n"), one.prompt.rindex("\n\nWhat is the special")
        where = (one.prompt.index(one.answer) - begin) / (end - begin)
        assert abs(where - one.depth) < 0.12


def test_other_numbers_are_anywhere(tokenizer):
    places = []
    for one in linked(tokenizer, count=40):
        numbers = [number for _, number in TOLD.findall(one.prompt) if number != one.answer]
        places += [one.prompt.index(number) / len(one.prompt) for number in numbers]
    assert min(places) < 0.2 and max(places) > 0.75 and 0.4 < sum(places) / len(places) < 0.6


def test_linked_needles_come_from_a_seed(tokenizer):
    made = linked(tokenizer, keys=3, links=1, seed=7)
    assert linked(tokenizer, keys=3, links=1, seed=7) == made
    assert not {one.prompt for one in linked(tokenizer, keys=3, links=1, seed=8)} & {
        one.prompt for one in made
    }


@pytest.mark.parametrize("how", [{"keys": 0}, {"links": -1}, {"keys": 17}, {"keys": 6, "links": 2}])
def test_more_cities_than_there_are_and_no_key_are_refused(tokenizer, how):
    said = ", ".join(
        f"{name}={({'keys': 4, 'links': 0} | how)[name]}" for name in ("keys", "links")
    )
    with pytest.raises(ParameterError, match=f"{said}: .* at least 1 and at most 16"):
        linked(tokenizer, **how)


def test_the_first_fact_is_hidden_at_its_depth_and_every_fact_once(tokenizer):
    hay = ["One fox. Two foxes. Three foxes. Four foxes. Five foxes."] * 9
    facts = [FACT, "Red is a colour.", "Blue is one too."]
    one = hide(tokenizer, hay, random.Random(3), facts, "Oslo", "1234", 0.5, 300)
    text = one.prompt.split("user\n")[1].split("\n\n")[0]
    assert all(text.count(fact) == 1 for fact in facts)
    before, behind = (part.count("fox") for part in text.split(FACT))
    assert abs(before - behind) <= 1 and before > 10
    assert found(one, " 1234.") and one.prompt.endswith(OPENING)
