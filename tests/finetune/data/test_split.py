"""Training and test rows: the embedded ones, and a folder's."""

import json

import pytest

from kvbook.errors import ParameterError, ResultError
from kvbook.finetune.data.split import load_split, read_general, read_parts


def write(folder, part, questions, ending="jsonl"):
    rows = [
        {"instruction": text, "input": "", "output": "请多休息，多喝水。"} for text in questions
    ]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / f"{part}.{ending}").write_text(lines, encoding="utf-8")


def test_the_embedded_rows_share_no_question():
    split = load_split()
    asked = {one.question for one in split.test}
    assert (len(split.train), len(split.test), split.notes) == (270, 66, [])
    assert split.name == "the book's own pairs"
    assert not any(one.question in asked for one in split.train)


def test_a_folder_of_your_own_is_read(tmp_path):
    write(tmp_path, "train", ["头疼怎么办？", "发烧怎么办？"])
    write(tmp_path, "test", ["咳嗽三天了要紧吗？"], "json")
    split = load_split(tmp_path)
    assert [one.question for one in split.train] == ["头疼怎么办？", "发烧怎么办？"]
    assert [one.question for one in split.test] == ["咳嗽三天了要紧吗？"]
    assert split.name == tmp_path.name


def test_only_the_first_training_rows_are_read(tmp_path):
    write(tmp_path, "train", ["头疼怎么办？", "发烧怎么办？"])
    write(tmp_path, "test", ["咳嗽三天了要紧吗？"])
    assert [one.question for one in load_split(tmp_path, train_rows=1).train] == ["头疼怎么办？"]


def test_a_question_of_the_test_is_not_trained_and_said(tmp_path):
    write(tmp_path, "train", ["头疼怎么办？", "咳嗽三天了要紧吗？"])
    write(tmp_path, "test", ["咳嗽三天了，要紧吗"])
    split = load_split(tmp_path)
    assert [one.question for one in split.train] == ["头疼怎么办？"]
    assert split.notes == [
        "train: 1 left out, since test asks the same question: line 2 (line 1 there)"
    ]


def test_nothing_left_to_train_is_an_error(tmp_path):
    for part in ("train", "test"):
        write(tmp_path, part, ["头疼怎么办？"])
    with pytest.raises(ParameterError, match="asks every question of"):
        load_split(tmp_path)


def test_a_malformed_row_is_said_with_its_line(tmp_path):
    write(tmp_path, "train", ["头疼怎么办？"])
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write("\n{oops\n")
    write(tmp_path, "test", ["咳嗽三天了要紧吗？"])
    assert (
        load_split(tmp_path).notes[0].startswith("train: 1 malformed, left out: line 2 (not JSON")
    )


def test_a_folder_without_them_says_what_is_wanted(tmp_path):
    with pytest.raises(ParameterError, match=r"has no train\.jsonl: give a folder"):
        load_split(tmp_path)


def test_without_a_network_the_hub_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ResultError, match="download it elsewhere"):
        load_split("hub")


def test_to_look_at_nothing_given_are_the_embedded_rows():
    _, train, test = read_parts("")
    assert (len(train), len(test)) == (270, 66)


def test_to_look_at_a_folder_is_read_as_it_is(tmp_path):
    write(tmp_path, "train", ["头疼怎么办？", "咳嗽怎么办？"])
    write(tmp_path, "test", ["咳嗽怎么办？"])
    with (tmp_path / "test.jsonl").open("a") as file:
        file.write("\n{oops\n")
    reads, train, test = read_parts(tmp_path)
    assert [one.question for one in train] == ["头疼怎么办？", "咳嗽怎么办？"]
    assert [one.question for one in test] == ["咳嗽怎么办？"]
    assert {name: len(read.malformed) for name, read in reads.items()} == {"train": 0, "test": 1}


def test_a_fifth_of_a_file_is_held_out_and_the_seed_draws_it(tmp_path):
    questions = [f"第{i}个问题" for i in range(11)]
    write(tmp_path, "mine", questions)
    reads, train, test = read_parts(tmp_path / "mine.jsonl", seed=1)
    drawn = [one.question for one in test]
    assert (
        list(reads) == ["mine.jsonl"]
        and len(drawn) == 2
        and drawn == sorted(drawn, key=questions.index)
    )
    assert [one.question for one in train] == [each for each in questions if each not in drawn]
    again = [read_parts(tmp_path / "mine.jsonl", seed=seed)[2] for seed in range(1, 6)]
    assert again[0] == test and any(other != test for other in again)


def test_the_general_rows_are_told_by_language():
    general = read_general()
    assert {language: len(rows) for language, rows in general.items()} == {"zh": 24, "en": 34}
    assert all(one.question.isascii() for one in general["en"])
