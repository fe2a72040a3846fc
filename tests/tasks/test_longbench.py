"""LongBench's published protocol, on strings and numbers worked out by hand."""

import json
import zipfile

import huggingface_hub
import pytest

from kvbook import load_model
from kvbook.errors import ParameterError, ResultError
from kvbook.tasks.longbench import TASKS, Benchmark, cut_middle, official_length, task_named

ROW = {
    "_id": "a1",
    "input": "Who?",
    "context": "Ada met {{ Bo }}.\n",
    "answers": ["Bo"],
    "length": 3,
    "dataset": "x",
    "language": "en",
    "all_classes": None,
}
PROMPTS = {
    "narrativeqa": "You are given a story, which can be either a novel or a movie script, and a question. Answer the question asconcisely as you can, using a single phrase if possible. Do not provide any explanation.\n\nStory: Ada met {{ Bo }}.\n\n\nNow, answer the question based on the story asconcisely as you can, using a single phrase if possible. Do not provide any explanation.\n\nQuestion: Who?\n\nAnswer:",
    "2wikimqa": "Answer the question based on the given passages. Only give me the answer and do not output any other words.\n\nThe following are given passages.\nAda met {{ Bo }}.\n\n\nAnswer the question based on the given passages. Only give me the answer and do not output any other words.\n\nQuestion: Who?\nAnswer:",
    "gov_report": "You are given a report by a government agency. Write a one-page summary of the report.\n\nReport:\nAda met {{ Bo }}.\n\n\nNow, write a one-page summary of the report.\n\nSummary:",
    "trec": "Please determine the type of the question below. Here are some examples of questions.\n\nAda met {{ Bo }}.\n\nWho?",
    "passage_count": "There are some paragraphs below sourced from Wikipedia. Some of them may be duplicates. Please carefully read these paragraphs and determine how many unique paragraphs there are after removing duplicates. In other words, how many non-repeating paragraphs are there in total?\n\nAda met {{ Bo }}.\n\n\nPlease enter the final count of unique paragraphs after removing duplicates. The output format should only contain the number, such as 1, 2, 3, and so on.\n\nThe final answer is: ",
    "lcc": "Please complete the code given below. \nAda met {{ Bo }}.\nNext line of code:\n",
}  # fmt: skip
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def tokenizer():
    """Of the tiny model: a token a byte, and a chat template."""
    return load_model("tiny-random").tokenizer


def write(folder, task, *rows):
    """A file in LongBench's format; each row is `ROW` but for what is given."""
    lines = [json.dumps(ROW | {"_id": f"a{i}"} | row) for i, row in enumerate(rows, 1)]
    (folder / f"{task}.jsonl").write_text("".join(line + "\n" for line in lines))
    return folder


def benchmark(folder, task, **row):
    return Benchmark(task, write(folder, task, row))


def ask(tokenizer, made, max_length=10_000):
    return made.prompt(tokenizer, made.rows[0], max_length)


# ---- prompts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_prompts_are_the_official_ones_and_chat_is_for_all_but_few_shot_and_code(
    task, tokenizer, tmp_path
):
    words = PROMPTS[task] if task in ("trec", "lcc") else CHAT.format(PROMPTS[task])
    assert ask(tokenizer, benchmark(tmp_path, task)) == words


def test_a_model_without_a_chat_template_reads_the_bare_prompt(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", None)
    assert ask(tokenizer, benchmark(tmp_path, "2wikimqa")) == PROMPTS["2wikimqa"]


def test_a_prompt_is_encoded_as_it_is(tokenizer, tmp_path):
    made = benchmark(tmp_path, "2wikimqa")
    words = ask(tokenizer, made)
    assert tokenizer.decode(made.encode(tokenizer, words)) == words


ASKED = {
    "narrativeqa": "Now, answer",
    "2wikimqa": "Answer the question",
    "gov_report": "Now, write",
    "trec": "Who?",
    "passage_count": "Please enter",
}
"""What the part that is asked begins with."""


@pytest.mark.parametrize("task", ASKED)
def test_a_prompt_in_two_parts_is_the_same_prompt(task, tokenizer, tmp_path):
    made = benchmark(tmp_path, task)
    whole = ask(tokenizer, made)
    context, asked = made.encode_apart(tokenizer, made.rows[0], 10_000)
    assert context + asked == made.encode(tokenizer, whole)
    assert tokenizer.decode(context).endswith(
        "Ada met {{ Bo }}.\n"
        + ("" if task == "trec" else "\n\n")
        + ("\n" if task == "trec" else "")
    )
    assert tokenizer.decode(asked).startswith(ASKED[task])


def test_a_prompt_in_two_parts_loses_its_middle_and_not_what_is_asked(tokenizer, tmp_path):
    made = benchmark(tmp_path, "2wikimqa", context="Ada met Bo. " * 100)
    context, asked = made.encode_apart(tokenizer, made.rows[0], 500)
    assert tokenizer.decode(asked).startswith("Answer the question")
    assert context + asked == made.encode(tokenizer, ask(tokenizer, made, 500))


@pytest.mark.parametrize("task, context", [("narrativeqa", "Who"), ("trec", "Who?")])
def test_a_context_that_the_question_repeats_is_not_taken_for_it(
    task, context, tokenizer, tmp_path
):
    made = benchmark(tmp_path, task, context=context)
    first, asked = made.encode_apart(tokenizer, made.rows[0], 10_000)
    assert tokenizer.decode(asked).startswith(ASKED[task])
    assert tokenizer.decode(first).rstrip().endswith(context)


@pytest.mark.parametrize("row", [{"context": " "}, {"input": ""}])
def test_an_item_without_a_context_or_a_question_is_named(row, tokenizer, tmp_path):
    made = benchmark(tmp_path, "trec", **row)
    with pytest.raises(ParameterError, match="item a1 of trec has no context with something asked"):
        made.encode_apart(tokenizer, made.rows[0], 10_000)


def test_a_length_that_cuts_into_what_is_asked_is_refused(tokenizer, tmp_path):
    made = benchmark(tmp_path, "2wikimqa", context="Ada met Bo. " * 100)
    with pytest.raises(ParameterError, match="give a longer max_length"):
        made.encode_apart(tokenizer, made.rows[0], 100)


def test_where_nothing_is_asked_no_question_comes_after():
    with pytest.raises(ParameterError, match="lcc .* asks nothing.* tasks that ask are"):
        task_named("lcc", "after")
    with pytest.raises(ParameterError, match="'before' or 'after'"):
        task_named("trec", "later")


def test_new_tokens():
    assert {name: task.new_tokens for name, task in TASKS.items()} == {
        "narrativeqa": 128,
        "2wikimqa": 32,
        "gov_report": 512,
        "trec": 64,
        "passage_count": 32,
        "lcc": 64,
    }


# ---- the middle of what is too long -------------------------------------------------------------


@pytest.mark.parametrize("length, left", [(10, "0123456789"), (9, "01236789"), (4, "0189")])
def test_the_middle_is_cut_by_tokens(length, left, tokenizer):
    assert cut_middle(tokenizer, "0123456789", length) == left


def test_a_cut_to_one_token_leaves_nothing(tokenizer):
    assert cut_middle(tokenizer, "0123456789", 1) == ""


def test_the_halves_are_decoded_apart(tokenizer):
    """A letter of two bytes that the cut goes through is lost, and not put together wrongly."""
    assert cut_middle(tokenizer, "aaé" + "b" * 9 + "éaa", 6) == "aa\ufffd\ufffdaa"


def test_the_template_is_never_cut(tokenizer, tmp_path):
    halves = PROMPTS["gov_report"][:10] + PROMPTS["gov_report"][-10:]
    assert ask(tokenizer, benchmark(tmp_path, "gov_report"), 20) == CHAT.format(halves)


def test_a_prompt_of_exactly_the_length_is_not_cut(tokenizer, tmp_path):
    made, size = benchmark(tmp_path, "trec"), len(PROMPTS["trec"])
    assert ask(tokenizer, made, size) == PROMPTS["trec"]
    assert len(ask(tokenizer, made, size - 1)) == (size - 1) // 2 * 2


@pytest.mark.parametrize(
    "context, length", [(4096, 3500), (8192, 7500), (32768, 31500), (131072, 127500)]
)
def test_the_length_is_longbenchs_for_the_context(context, length):
    assert official_length(context) == length


# ---- scores -------------------------------------------------------------------------------------

F1 = 2 * (2 / 3) * (2 / 2) / (2 / 3 + 2 / 2)
"""Two of three words of the answer are right, and both that it should have are there."""


@pytest.mark.parametrize(
    "task, answers, words, score",
    [
        ("narrativeqa", ["Ada Bo"], " The Ada, met Bo!", F1),
        ("narrativeqa", ["Ada Bo"], "ada bo", 1),
        ("narrativeqa", ["Ada Bo"], "", 0),
        ("2wikimqa", ["nobody", "Ada Bo", "Ada"], "Ada met Bo", F1),
        ("2wikimqa", ["Ada Bo"], "Ada met\nBo", F1),  # all lines count
        # words in common, in order: two of three; three of three have to be found
        ("gov_report", ["one two three"], "one four two", 2 / 3),
        ("gov_report", ["one two three"], "", 0),
        ("trec", ["City"], "City", 1),
        ("trec", ["City"], "\nCity or Animal\nAnimal", 1 / 2),
        ("trec", ["City"], "City\nAnimal", 1),
        ("trec", ["City"], "Animal\nCity", 0),
        ("passage_count", ["7"], "7", 1),
        ("passage_count", ["7"], "7 of 17 and 7 more", 2 / 3),
        ("passage_count", ["7"], "seven", 0),
        ("lcc", ["abcd"], "abcd\nxyz", 1),
        ("lcc", ["abcd"], "\n# a comment\n```python\n// another\nabxd", 0.75),
        ("lcc", ["    abcd"], "    abcd", 1),
        ("lcc", ["abcd"], "# a comment\n  \nabcd", 1),  # every blank line is skipped, and not
        ("lcc", ["abcd"], "  \nabcd", 1),  # only empty ones at the very start
    ],
)
def test_scores(task, answers, words, score, tmp_path):
    made = benchmark(tmp_path, task, answers=answers, all_classes=["City", "Animal"])
    assert made.score(made.rows[0], words) == pytest.approx(score, abs=1e-6)


# ---- data ---------------------------------------------------------------------------------------


def test_an_unknown_task_is_refused_with_those_that_there_are():
    with pytest.raises(ParameterError, match="unknown task 'squad'; tasks are: narrativeqa, "):
        Benchmark("squad")


def test_a_missing_file_names_what_is_there(tmp_path):
    write(tmp_path, "lcc", {})
    with pytest.raises(ResultError, match=r"no trec.jsonl in .* \(there: lcc.jsonl\)"):
        Benchmark("trec", tmp_path)


def test_a_missing_folder_is_one_message(tmp_path):
    with pytest.raises(ResultError, match="no trec.jsonl in .*no .jsonl files"):
        Benchmark("trec", tmp_path / "nowhere")


@pytest.mark.parametrize(
    "line, field",
    [
        ('{"_id": "b", "input"', "the line: Invalid JSON"),
        ('{"_id": "b", "input": "", "context": ""}', "answers: Field required"),
        ('{"_id": "b", "input": "", "context": "", "answers": []}', "answers"),
        ('{"_id": "b", "input": "", "context": "", "answers": [1]}', "answers.0"),
    ],
)
def test_a_bad_line_is_named_with_its_field(line, field, tmp_path):
    path = write(tmp_path, "trec", {}) / "trec.jsonl"
    path.write_text(path.read_text() + "\n" + line + "\n")  # the empty line counts as one
    with pytest.raises(ResultError, match=rf"line 3 is not an item .*\({field}"):
        Benchmark("trec", tmp_path)


def test_a_file_without_items_is_refused(tmp_path):
    (tmp_path / "trec.jsonl").touch()
    with pytest.raises(ResultError, match="has no items"):
        Benchmark("trec", tmp_path)


def test_two_items_of_one_id_are_refused(tmp_path):
    write(tmp_path, "trec", {"_id": "b"}, {}, {"_id": "b"})
    with pytest.raises(ResultError, match="two items with the _id 'b'"):
        Benchmark("trec", tmp_path)


@pytest.mark.parametrize("text", ["a\u2028b", "a\x85b"])
def test_a_text_may_hold_other_line_ends(text, tmp_path):
    line = json.dumps(ROW | {"context": text}, ensure_ascii=False)
    (tmp_path / "trec.jsonl").write_text(line + "\n", encoding="utf-8")
    assert Benchmark("trec", tmp_path).rows[0].context == text


def zip_of(folder, compression=zipfile.ZIP_DEFLATED):
    write(folder, "trec", *[{"context": f"{i} " * 400} for i in range(20)])
    with zipfile.ZipFile(folder / "data.zip", "w", compression) as archive:
        archive.write(folder / "trec.jsonl", "data/trec.jsonl")
    return folder / "data.zip"


def test_the_archive_gives_the_rows_of_the_folder(tmp_path):
    packed = Benchmark("trec", zip_of(tmp_path))
    assert packed.rows == Benchmark("trec", tmp_path).rows and len(packed.rows) == 20


def test_a_task_that_is_not_in_the_archive_is_named(tmp_path):
    with pytest.raises(ResultError, match="cannot read lcc.jsonl from .*data.zip"):
        Benchmark("lcc", zip_of(tmp_path))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_damaged_archive_is_one_message(compression, tmp_path):
    path = zip_of(tmp_path, compression)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(range(215, 255))
    path.write_bytes(content)
    with pytest.raises(ResultError, match="cannot read trec.jsonl from .*data.zip"):
        Benchmark("trec", path)


def test_an_archive_that_was_cut_off_is_one_message(tmp_path):
    path = zip_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ResultError, match="cannot read trec.jsonl from .*data.zip"):
        Benchmark("trec", path)


def test_the_hub_without_a_network_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ResultError, match="cannot fetch LongBench from the hub .*--data"):
        Benchmark("trec", "hub")


# ---- the embedded items -------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_the_embedded_items_can_be_asked_and_their_answers_score_in_full(task, tokenizer):
    made = Benchmark(task)
    row = made.rows[0]
    assert row.context in made.prompt(tokenizer, row, 100_000)
    assert made.score(row, row.answers[0]) == pytest.approx(1)
