"""Fine-tuning data as files: tables say what they are given, and nothing else."""

import pytest
from finetune.rows import chat
from tables import cells

from kvbook import show
from kvbook.finetune.data import Duplicate, Malformed, Read
from kvbook.finetune.data.duplicates import Deduplicated

REPORT = {"items": 500, "bertscore_f1": {"before": 0.6, "after": 0.7}}


def body(shown):
    """The texts of a table, without the names of its columns."""
    return cells(shown)[1:]


def test_the_reports_scores_are_those_of_its_file():
    assert body(show.finetuning_report(REPORT))[-1] == ["BERTScore F1", "0.60 before, 0.70 after"]


def test_newlines_of_a_rendered_text_are_seen():
    assert body(show.template_texts({"m": "a\nb"})) == [["m", "a↵ b"]]
    shown = show.template_answers({"none": ("a\nb", False)}, "q", "a")
    assert body(shown) == [["none", "a↵ b", "yes", "no"]]


@pytest.mark.parametrize(
    "answers, says",
    [
        ({"own": ("Ottawa.", True), "none": ("Quebec.", True)}, "with: own. It is wrong"),
        ({"own": ("Ottawa.", True), "none": ("Ottawa", False)}, "or does not stop, with: none."),
        ({"own": ("Ottawa.", True)}, "With every template"),
        ({"own": ("#", False)}, "With none of the templates"),
    ],
)
def test_a_template_is_good_if_the_answer_is_right_and_ends(answers, says):
    assert says in str(show.template_sentence(answers, "Ottawa"))


def test_a_malformed_row_stands_beside_its_reason():
    read = Read([chat("q", "ok", line=1), chat("q", "ok", line=3)], [Malformed(2, "not JSON")])
    shown = show.malformed_rows("{}\n{oops\n{}", read)
    assert body(shown) == [["2", "{oops", "not JSON"]]
    assert "3 lines, of which 1 are malformed; lines 1 and 3 are usable" in shown.data


def test_the_first_malformed_row_of_a_file_is_told():
    bad = Read([], [Malformed(7, "empty"), Malformed(9, "null")])
    assert body(show.files_table({"a": bad, "b": Read([chat("q", "ok")], [])}, "")) == [
        ["a", "0", "2", "line 7: empty"],
        ["b", "1", "0", "–"],
    ]


def test_keys_are_shown_as_yaml_has_them():
    shown = show.yaml_keys({"a": True, "b": 512, "c": 1}, ["a", "b"]).data
    assert "\na: true\nb: 512\n```" in shown


@pytest.mark.parametrize(
    "same, says",
    [
        ({"tokens": 3, "labels": 3}, "In all 3 rows, TRL's"),
        ({"tokens": 3, "labels": 1}, "of 3 rows, 3 have the same tokens and 1 the same labels"),
    ],
)
def test_another_trainer_agrees_in_all_rows_or_not(same, says):
    assert says in str(show.same_rows_sentence(same, 3))


def test_duplicates_are_counted_and_the_nearest_pair_is_shown():
    train, test = [chat("a", "ok", line=1), chat("b", "ok", line=2)], [chat("c", "ok", line=5)]
    found = Deduplicated(train[:1], test, [Duplicate(2, 5, 1.0)], [])
    says = "Of 2 training questions, 1 are test questions word for word and 0 nearly so; 1 rows"
    assert says in str(show.duplicates_sentence(found))
    clean = show.duplicates_sentence(Deduplicated(train, test, [], []))
    assert str(clean).startswith("None of the 2 training questions is one of the 1 test questions")
    assert body(show.nearest_pair(Duplicate(1, 5, 0.25), train, test)) == [["a", "c", "0.25"]]


def test_planted_questions_are_told_as_found_or_not():
    caught = Deduplicated([], [], [Duplicate(1, 1, 1.0)], [])
    every = Deduplicated([], [], [Duplicate(1, 1, 1.0)], [Duplicate(2, 1, 0.4)])
    shown = show.planted_table({"same": "a", "else": "b", "other": "c"}, caught, every)
    assert [row[2:] for row in body(shown)] == [["exact", "1.00"], ["no", "0.40"], ["no", "0.00"]]


def test_a_leak_that_explains_the_gain_is_a_quarter_of_what_was_missing():
    text = str(show.leak_sentence(REPORT, 0.001))
    assert "*p* = **25%**, that is 125 of 500 items, takes the score from 0.60 to 0.70" in text
    assert "it took 0.001 seconds" in text
