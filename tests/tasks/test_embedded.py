"""The embedded tasks: the files are what the builder makes, and the answers are in the texts."""

import json
import platform
import re

import pytest
from transformers import AutoTokenizer

from kvbook.lm.models import fetch_embedded
from kvbook.places import place
from kvbook.tasks import embedded
from kvbook.tasks.embedded import completion, counting, items, passages, questions, stories

FIELDS = [
    "input",
    "context",
    "answers",
    "length",
    "dataset",
    "language",
    "all_classes",
    "_id",
    "opening",
]
PROMPTS = {
    "narrativeqa": "You are given a story, which can be either a novel or a movie script, and a question. Answer the question asconcisely as you can, using a single phrase if possible. Do not provide any explanation.\n\nStory: {context}\n\nNow, answer the question based on the story asconcisely as you can, using a single phrase if possible. Do not provide any explanation.\n\nQuestion: {input}\n\nAnswer:",
    "2wikimqa": "Answer the question based on the given passages. Only give me the answer and do not output any other words.\n\nThe following are given passages.\n{context}\n\nAnswer the question based on the given passages. Only give me the answer and do not output any other words.\n\nQuestion: {input}\nAnswer:",
    "gov_report": "You are given a report by a government agency. Write a one-page summary of the report.\n\nReport:\n{context}\n\nNow, write a one-page summary of the report.\n\nSummary:",
    "trec": "Please determine the type of the question below. Here are some examples of questions.\n\n{context}\n{input}",
    "passage_count": "There are some paragraphs below sourced from Wikipedia. Some of them may be duplicates. Please carefully read these paragraphs and determine how many unique paragraphs there are after removing duplicates. In other words, how many non-repeating paragraphs are there in total?\n\n{context}\n\nPlease enter the final count of unique paragraphs after removing duplicates. The output format should only contain the number, such as 1, 2, 3, and so on.\n\nThe final answer is: ",
    "lcc": "Please complete the code given below. \n{context}",
}  # fmt: skip
WITHOUT_CHAT = ("trec", "lcc")


def text_of(task: str) -> str:
    return (place("data") / embedded.FOLDER / f"{task}.jsonl").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built():
    return items.build()


@pytest.fixture(scope="module")
def rows():
    return {task: [json.loads(line) for line in text_of(task).splitlines()] for task in items.KINDS}


@pytest.mark.parametrize("task", items.KINDS)
def test_the_file_is_what_the_builder_makes(task, built, rows):
    version = rows[task][0]["_id"].rpartition("python")[2]
    if task == "lcc" and version != platform.python_version():
        pytest.skip(f"the file quotes the library of Python {version}")
    assert text_of(task) == items.lines(built[task])


def test_another_seed_gives_other_items(built):
    other = items.build(seed=1, count=3)
    assert all(len(rows) == 3 and rows != built[task][:3] for task, rows in other.items())


@pytest.mark.parametrize("task", items.KINDS)
def test_every_row_has_longbenchs_fields(task, rows):
    assert len(rows[task]) >= 25
    for one in rows[task]:
        assert list(one) == FIELDS
        assert one["dataset"] == task and one["_id"].startswith(f"embedded_{task}_")
        assert one["language"] == ("python" if task == "lcc" else "en")
        assert one["length"] == len(one["context"].split())
        assert one["answers"] and all(type(answer) is str and answer for answer in one["answers"])
        assert (one["all_classes"] is None) == (task != "trec")
        assert (one["input"] == "") == (task in ("gov_report", "passage_count", "lcc"))
    for field in ("_id", "context"):
        assert len({one[field] for one in rows[task]}) == len(rows[task])
    assert len(
        {(one["input"], *one["answers"], one["context"][:200]) for one in rows[task]}
    ) == len(rows[task])


@pytest.mark.parametrize("task", items.KINDS)
def test_prompts_are_500_to_1200_tokens_long(task, rows):
    tokenizer = AutoTokenizer.from_pretrained(fetch_embedded(), local_files_only=True)
    lengths = []
    for one in rows[task]:
        prompt = PROMPTS[task].format(**one)
        if task not in WITHOUT_CHAT:
            said = [{"role": "user", "content": prompt}]
            prompt = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        lengths.append(len(tokenizer(prompt + one["opening"], add_special_tokens=False).input_ids))
    assert min(lengths) >= 500 and max(lengths) <= 1200
    assert sum(lengths) / len(lengths) <= 900


def test_a_story_tells_what_is_asked_exactly_once(rows):
    for one in rows["narrativeqa"]:
        told = f"{one['opening']} {one['answers'][0]}."
        assert one["context"].count(told) == one["context"].count(one["opening"]) == 1
        assert "{" not in one["context"] and len(one["answers"][0].split()) <= 5
    assert len({one["context"].split("\n")[0] for one in rows["narrativeqa"]}) == len(stories.PLOTS)


def test_asked_facts_lie_everywhere_in_the_stories(rows):
    depths = [
        one["context"].index(one["opening"]) / len(one["context"]) for one in rows["narrativeqa"]
    ]
    assert min(depths) < 0.3 and max(depths) > 0.75


def test_the_passages_lead_from_the_work_to_the_person_to_the_town(rows):
    for one in rows["2wikimqa"]:
        [role, kind] = re.match(r"The (.+?) of the (.+)", one["opening"]).groups()
        kind = next(name for name in passages.KINDS if kind.startswith(f"{name} "))
        verb, expected, titles = passages.KINDS[kind]
        work = next(title for title in titles if f"the {kind} {title} " in one["opening"])
        assert role == expected and work in one["input"]
        person = re.search(rf"The {kind} {work} was {verb} ([\w ]+)\.", one["context"])[1]
        [line] = [
            line
            for line in one["context"].splitlines()
            if line.startswith(f"{person}, ") and f" in {one['answers'][0]}." in line
        ]
        towns = [town for town in passages.TOWNS if town in one["context"]]
        assert len(towns) == passages.WORKS and one["context"].count(one["answers"][0]) == 1


def test_a_summary_has_no_figure_that_the_report_has_not(rows):
    for one in rows["gov_report"]:
        [summary] = one["answers"]
        assert 60 <= len(summary.split()) <= 110
        assert set(re.findall(r"[\d,]*\d", summary)) <= set(re.findall(r"[\d,]*\d", one["context"]))
        assert "{" not in one["context"] + summary
        why, found = summary.split(" We found that ")
        assert why in one["context"] and why.startswith(one["opening"])
        assert all(
            part in one["context"]
            for part in found.split(" We recommend that ")[1][:-1].split(" and ")
        )


def test_the_type_is_that_of_the_question_and_the_question_is_not_an_example(rows):
    kinds = {text: kind for kind, texts in questions.QUESTIONS.items() for text in texts}
    assert len(kinds) == sum(map(len, questions.QUESTIONS.values()))
    for one in rows["trec"]:
        asked = one["input"].removeprefix("Question: ").removesuffix("\nType:")
        assert one["answers"] == [kinds[asked]] and asked not in one["context"]
        assert one["all_classes"] == sorted(questions.QUESTIONS)
        shown = re.findall(r"Question: (.+)\nType: (.+)", one["context"])
        assert len(shown) == len(set(shown)) == questions.EXAMPLES * len(one["all_classes"])
        assert all(kinds[text] == kind for text, kind in shown)


def test_the_note_says_the_true_count(rows):
    assert len(set(counting.SENTENCES)) == len(counting.SENTENCES) >= 80
    assert not any(letter.isdigit() for letter in "".join(counting.SENTENCES))
    for one in rows["passage_count"]:
        found = re.findall(r"^Paragraph \d+: (.+)$", one["context"], re.MULTILINE)
        assert one["answers"] == [str(len(set(found)))] and len(found) > len(set(found))
        assert one["context"].count(counting.NOTE.format(one["answers"][0])) == 1
        assert one["opening"] == counting.OPENING


def test_the_line_asked_for_is_the_next_one_and_stands_earlier(rows):
    for one in rows["lcc"]:
        [answer] = one["answers"]
        lines = one["context"].split("\n")
        end, same = len(lines), completion.SAME
        after = {lines[i] for i in range(same, end) if lines[i - same : i] == lines[end - same :]}
        assert after == {answer}
        module, line, version = re.fullmatch(
            r"embedded_lcc_\d\d_(.+)_(\d+)_python(.+)", one["_id"]
        ).groups()
        if version == platform.python_version():
            source = completion._read(module.replace(".", "/"))
            assert source[int(line) - 1 - end : int(line)] == [*lines, answer]
