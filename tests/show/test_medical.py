"""Fine-tuning data as files: tables say what they are given, and nothing else."""

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
    assert body(show.template_answers({"none": ("a\nb", False)}, "q")) == [["none", "a↵ b", "no"]]


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


def test_duplicates_are_counted_and_the_nearest_pair_is_shown():
    train, test = [chat("a", "ok", line=1), chat("b", "ok", line=2)], [chat("c", "ok", line=5)]
    found = Deduplicated(train[:1], test, [Duplicate(2, 5, 1.0)], [])
    counts, nearest = show.duplicates_tables(found, Duplicate(1, 5, 0.25), train)
    assert body(counts) == [["2", "1", "0", "1"]] and body(nearest) == [["a", "c", "0.25"]]
    assert len(show.duplicates_tables(found, None, train)) == 1


def test_planted_questions_are_told_as_found_or_not():
    caught = Deduplicated([], [], [Duplicate(1, 1, 1.0)], [])
    every = Deduplicated([], [], [Duplicate(1, 1, 1.0)], [Duplicate(2, 1, 0.4)])
    shown = show.planted_table({"same": "a", "else": "b", "other": "c"}, caught, every)
    assert [row[2:] for row in body(shown)] == [["exact", "1.00"], ["no", "0.40"], ["no", "0.00"]]


def test_a_leak_that_explains_the_gain_is_a_quarter_of_what_was_missing():
    assert "*p* = **25%**, 125 of 500 items" in show.leak_sentence(REPORT, 0.001).data
