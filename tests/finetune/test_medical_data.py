"""The embedded pairs: counts, fields, lengths, and nothing of the test set in the training set."""

import json
import re
from itertools import combinations, product

import pytest

from kvbook.places import place

FOLDER = "medical"
FIELDS = ["instruction", "input", "output"]
ROWS = {"train": 240, "test": 60}
TOPICS = 15
SAME_FILE, ACROSS = 0.6, 0.5  # from here on two texts are near duplicates
HELP = re.compile(r"就医|就诊|复诊|急诊|门诊|医院|120|医生|医护|医嘱|药师|营养师|[到去]\w{1,9}科")


def read(name: str) -> list[dict]:
    text = (place("data") / FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def pairs():
    return {name: read(name) for name in ROWS}


@pytest.fixture(scope="module")
def general():
    return read("general")


def chinese_share(text: str) -> float:
    return len(re.findall(r"[\u4e00-\u9fff]", text)) / len(text)


def trigrams(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(len(text) - 2)}


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def of_field(rows: list[dict], field: str) -> list[set[str]]:
    return [trigrams(row[field]) for row in rows]


@pytest.mark.parametrize("name", ROWS)
def test_there_are_enough_rows_with_the_fields_of_medchatzh(name, pairs):
    assert len(pairs[name]) >= ROWS[name]
    for row in pairs[name]:
        assert list(row) == FIELDS
        assert all(type(row[field]) is str and row[field] == row[field].strip() for field in row)


@pytest.mark.parametrize("name", ROWS)
def test_the_readme_says_how_many_rows_of_each_topic_there_are(name, pairs):
    text = (place("data") / FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"| `{name}.jsonl` | {len(pairs[name])} |" in text
    counts = re.findall(r"^\| [\w,: ]+ \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    turns = [len(pairs[name][topic::TOPICS]) for topic in range(TOPICS)]
    assert [int(row[list(ROWS).index(name)]) for row in counts] == turns


@pytest.mark.parametrize("name", ROWS)
def test_questions_and_answers_have_their_lengths(name, pairs):
    for row in pairs[name]:
        assert 8 <= len(row["instruction"]) <= 60
        assert 40 <= len(row["output"]) <= 120
    lengths = sorted(len(row["output"]) for row in pairs[name])
    assert lengths[len(lengths) // 10] <= 65 and lengths[-len(lengths) // 10] >= 95


@pytest.mark.parametrize("name", ROWS)
def test_about_a_tenth_of_the_rows_has_a_detail_in_input(name, pairs):
    share = sum(row["input"] != "" for row in pairs[name]) / len(pairs[name])
    assert 0.08 <= share <= 0.15


@pytest.mark.parametrize("name", ROWS)
def test_the_pairs_are_chinese_and_punctuated_in_full_width(name, pairs):
    for row in pairs[name]:
        assert chinese_share(row["instruction"]) >= 0.5 and chinese_share(row["output"]) >= 0.75
        assert row["output"].endswith("。")
        assert not re.search(r'[,;:?!()"\s]', row["instruction"] + row["input"] + row["output"])


@pytest.mark.parametrize("name", ROWS)
def test_every_answer_says_whom_to_ask_or_where_to_go(name, pairs):
    assert [row["output"] for row in pairs[name] if not HELP.search(row["output"])] == []


@pytest.mark.parametrize("name", ROWS)
def test_no_two_questions_of_a_file_are_alike(name, pairs):
    grams = of_field(pairs[name], "instruction")
    assert max(jaccard(*two) for two in combinations(grams, 2)) < SAME_FILE


def test_no_test_question_is_like_a_training_question(pairs):
    train, test = (of_field(pairs[name], "instruction") for name in ("train", "test"))
    assert max(jaccard(*two) for two in product(test, train)) < ACROSS


def test_no_two_answers_are_alike(pairs):
    grams = of_field(pairs["train"] + pairs["test"], "output")
    assert max(jaccard(*two) for two in combinations(grams, 2)) < SAME_FILE


def test_the_general_questions_are_of_both_languages(general):
    languages = [row["language"] for row in general]
    assert languages.count("zh") >= 20 and languages.count("en") >= 30
    assert len(languages) == languages.count("zh") + languages.count("en")
    for row in general:
        assert list(row) == [*FIELDS, "language"] and row["input"] == ""
        for field in ("instruction", "output"):
            assert row[field] and (chinese_share(row[field]) >= 0.5) == (row["language"] == "zh")


def test_no_two_general_questions_are_alike(general):
    grams = of_field(general, "instruction")
    assert max(jaccard(*two) for two in combinations(grams, 2)) < SAME_FILE


def test_the_general_questions_are_not_medical(general):
    words = re.compile(r"[医药病症疼]|\b(doctor|medicine|disease|patient|pain)s?\b", re.IGNORECASE)
    assert [row for row in general if words.search(row["instruction"] + row["output"])] == []
