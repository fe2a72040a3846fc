"""Duplicates: which training questions the test data ask, too."""

import random

import pytest
from finetune.rows import asks, chat

from kvbook.errors import ParameterError
from kvbook.finetune.data import Duplicate, remove_duplicates


@pytest.mark.parametrize(
    "question", ["头痛 怎么办", "头痛，怎么办？！", "头痛怎么办\n", "\u3000头痛怎么\u200b办"]
)
def test_signs_and_white_space_do_not_make_another_question(question):
    found = remove_duplicates(asks("其他", question), asks("头痛怎么办"))
    assert found.exact == [Duplicate(2, 1, 1.0)] and [one.line for one in found.train] == [1]


def test_case_and_width_do_not_make_another_question():
    assert len(remove_duplicates(asks("ＨＰＶ疫苗"), asks("hpv疫苗")).exact) == 1


@pytest.mark.parametrize("a, b", [("HBsAg(+)", "HBsAg(-)"), ("血压>140", "血压<140"), ("？", "！")])
def test_signs_that_mean_something_do(a, b):
    found = remove_duplicates(asks(a), asks(b))
    assert not found.exact and not found.near


def test_an_equal_question_with_another_answer_is_a_duplicate():
    assert len(remove_duplicates([chat("q", "one")], [chat("q", "two")]).exact) == 1


def test_what_came_before_belongs_to_the_question_and_the_system_does_not():
    test = [chat("一", "二", "三", "四")]
    train = [chat("三", "四"), chat("一", "二", "三", "四", system="S")]
    assert len(remove_duplicates(train, test).exact) == 1


@pytest.mark.parametrize("threshold, near", [(0.7, 1), (0.71, 0)])
@pytest.mark.parametrize(
    "train, test", [("bcdefghijk1", "abcdefghij"), ("abcdefghijkl", "abcdefghi")]
)
def test_near_duplicates_share_their_pieces(train, test, threshold, near):
    """Seven of ten pieces of three letters are in both."""
    found = remove_duplicates(asks(train), asks("zzz", test), threshold=threshold)
    assert found.near == [Duplicate(1, 2, 0.7)] * near and len(found.train) == 1 - near


def test_the_test_data_stay_as_they_are_and_each_row_is_counted_once():
    test = asks("头痛怎么办", "头痛怎么办", "其他")
    found = remove_duplicates(asks("头痛怎么办"), test)
    assert found.test == test and found.exact == [Duplicate(1, 1, 1.0)] and found.train == []


@pytest.mark.parametrize("threshold", [0, 1.1, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(ParameterError, match="give a similarity above 0, up to 1"):
        remove_duplicates([], [], threshold=threshold)


def test_no_test_data_remove_nothing():
    assert len(remove_duplicates(asks("a", "b"), []).train) == 2


@pytest.mark.parametrize("threshold", [0.1, 0.25, 0.5])
def test_near_duplicates_are_those_that_all_pairs_give(threshold):
    draw = random.Random(0)
    texts = ["".join(draw.choices("甲乙丙", k=draw.randint(1, 12))) for _ in range(300)]
    train, test = asks(*texts[:200]), asks(*texts[200:])
    pieces = {text: {text[i : i + 3] for i in range(max(1, len(text) - 2))} for text in texts}
    expected = []
    for one in train:
        mine = pieces[one.question]
        others = [(pieces[two.question], -two.line) for two in test]
        best, line = max((len(mine & them) / len(mine | them), at) for them, at in others)
        if one.question not in texts[200:] and best >= threshold:
            expected.append(Duplicate(one.line, -line, best))
    assert expected and remove_duplicates(train, test, threshold=threshold).near == expected
