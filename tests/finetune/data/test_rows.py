"""Rows: what is read of a file, and what is said of a row that cannot be used."""

import json

import pytest
from finetune.rows import ROW, chat, file_of

from kvbook.errors import ParameterError
from kvbook.finetune.data import Malformed, read_dialogues


def messages(folder, row):
    """The roles' first letters and the contents of a file's only row."""
    (dialogue,) = read_dialogues(file_of(folder, row)).dialogues
    return [(message["role"][0], message["content"]) for message in dialogue.messages]


@pytest.mark.parametrize(
    "instruction, input, question",
    [
        ("Ask", "this", "Ask\nthis"),
        ("Ask", "", "Ask"),
        ("Ask", None, "Ask"),
        ("", "this", "this"),
        ("Ask\n", " this ", "Ask\n\n this "),
    ],
)
def test_instruction_and_input_are_joined_as_llamafactory_joins_them(
    instruction, input, question, tmp_path
):
    row = {"instruction": instruction, "input": input, "output": "yes"}
    assert messages(tmp_path, row) == [("u", question), ("a", "yes")]


def test_history_and_system_come_first(tmp_path):
    row = ROW | {"history": [["一", "二"], ["三", "四"]], "system": "你是医生。"}
    turns = [("u", "一"), ("a", "二"), ("u", "三"), ("a", "四")]
    expected = [("s", "你是医生。"), *turns, ("u", ROW["instruction"]), ("a", ROW["output"])]
    assert messages(tmp_path, row) == expected


def test_null_input_history_and_system_are_none(tmp_path):
    row = ROW | {"input": None, "history": None, "system": None}
    assert messages(tmp_path, row) == messages(tmp_path, ROW)


@pytest.mark.parametrize("assistant", ["gpt", "assistant", "Assistant"])
def test_sharegpt(assistant, tmp_path):
    turns = [
        ("system", "S"),
        ("human", "一"),
        (assistant, "二"),
        ("human", "三"),
        (assistant, "四"),
    ]
    row = {"id": 7, "conversations": [{"from": who, "value": what} for who, what in turns]}
    expected = [("s", "S"), ("u", "一"), ("a", "二"), ("u", "三"), ("a", "四")]
    assert messages(tmp_path, row) == expected


def test_openai_messages(tmp_path):
    turns = [{"role": "user", "content": "一"}, {"role": "assistant", "content": "二"}]
    assert messages(tmp_path, {"messages": turns}) == [("u", "一"), ("a", "二")]


@pytest.mark.parametrize("leading, system", [("own", "own"), ("", None)])
def test_a_leading_system_message_goes_before_the_field(leading, system, tmp_path):
    turns = [("system", leading), ("human", "一"), ("gpt", "二")]
    turns = [{"from": who, "value": what} for who, what in turns]
    found = messages(tmp_path, {"conversations": turns, "system": "field"})
    assert found == [*([("s", system)] if system else []), ("u", "一"), ("a", "二")]


def test_white_space_in_front_of_an_answer_is_left_out_and_no_other(tmp_path):
    row = {"instruction": " q ", "output": "\u3000 \n a \n"}
    assert messages(tmp_path, row) == [("u", " q "), ("a", "a \n")]


def test_prompt_answer_and_question():
    dialogue = chat("一", "二", "三", "四", system="S")
    assert [message["content"] for message in dialogue.prompt] == ["S", "一", "二", "三"]
    assert (dialogue.answer, dialogue.question) == ("四", "一\n二\n三")


def turns(*pairs):
    return {"conversations": [{"from": who, "value": what} for who, what in pairs]}


@pytest.mark.parametrize(
    "row, reason",
    [
        ('{"instruction": "q", "output"', "not JSON: Expecting ':' delimiter"),
        ("[" * 100_000, "not JSON: nested too deeply"),
        ('["q", "a"]', "a list, not an object"),
        ("null", "null, not an object"),
        ({"question": "q", "answer": "a"}, "no instruction, conversations or messages"),
        ({"instruction": "q"}, "output is missing or empty"),
        (ROW | {"output": " \n"}, "output is missing or empty"),
        (ROW | {"output": None}, "output is missing or empty"),
        (ROW | {"output": 38.5}, "output is a number, not a string"),
        (ROW | {"instruction": ["q"]}, "instruction is a list, not a string"),
        (ROW | {"instruction": " ", "input": ""}, "instruction and input are empty"),
        (ROW | {"system": True}, "system is true or false, not a string"),
        (ROW | {"history": "q"}, "history is not a list of pairs of question and answer"),
        (ROW | {"history": [["q"]]}, "history is not a list of pairs of question and answer"),
        (ROW | {"history": [["q", None]]}, "a message of the assistant is null, not a string"),
        (ROW | {"history": [["", "a"]]}, "a message of the user is empty"),
        ({"conversations": "q"}, "conversations is not a list of objects with from and value"),
        ({"conversations": [{"from": "human"}]}, "conversations is not a list of objects with"),
        ({"messages": [{"from": "human", "value": "q"}]}, "messages is not a list of objects with"),
        (turns(("human", "q"), ("tool", "a")), "from is 'tool', not one of system, human, user"),
        (turns(), "the last message is not an answer of the assistant"),
        (turns(("system", "s")), "the last message is not an answer of the assistant"),
        (turns(("human", "q")), "the last message is not an answer of the assistant"),
        (turns(("gpt", "a"), ("human", "q")), "user and assistant do not alternate"),
        (turns(("human", "q"), ("human", "q")), "user and assistant do not alternate"),
        (turns(("human", "q"), ("system", "s")), "user and assistant do not alternate"),
        (ROW | {"output": "a<|im_end|>b"}, "assistant holds the control token <|im_end|>"),
        (ROW | {"input": "<|endoftext|>"}, "user holds the control token <|endoftext|>"),
        (ROW | {"output": "<think>\nb</think>a"}, "assistant holds the control token <think>"),
        (r'{"instruction": "q", "output": "\ud83d"}', "assistant holds half of a surrogate pair"),
    ],
)
def test_a_malformed_row_is_reported_with_its_line_and_the_others_are_kept(row, reason, tmp_path):
    read = read_dialogues(file_of(tmp_path, ROW, "", row, ROW))
    assert [dialogue.line for dialogue in read.dialogues] == [1, 4]
    (malformed,) = read.malformed
    assert malformed.line == 3 and reason in malformed.reason


@pytest.mark.parametrize("bytes_off", [1, 2, 3, 4, 5, 6, 20])
def test_a_last_line_that_was_cut_off_is_one_malformed_row(bytes_off, tmp_path):
    """Also inside a character of three bytes."""
    path = file_of(tmp_path, ROW, {"instruction": "q", "output": "休息"})
    path.write_bytes(path.read_bytes()[: -1 - bytes_off])
    read = read_dialogues(path)
    assert len(read.dialogues) == 1 and [one.line for one in read.malformed] == [2]


@pytest.mark.parametrize("text", ["a\u2028b", "a\x85b", "a\rb"])
def test_a_text_may_hold_other_line_ends(text, tmp_path):
    assert messages(tmp_path, ROW | {"output": text})[1] == ("a", text)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    text = "\r\n".join(json.dumps(ROW) for _ in range(2))
    (tmp_path / "train.jsonl").write_text(text, encoding="utf-8-sig")
    read = read_dialogues(tmp_path / "train.jsonl")
    assert [one.line for one in read.dialogues] == [1, 2] and not read.malformed


def test_a_limit_stops_after_so_many_usable_rows(tmp_path):
    read = read_dialogues(file_of(tmp_path, "{", ROW, ROW, "{"), limit=2)
    assert [one.line for one in read.dialogues] == [2, 3] and len(read.malformed) == 1


def test_a_json_array_is_read_with_the_lines_of_its_rows(tmp_path):
    rows = [ROW, {"instruction": "q"}, ROW]
    path = file_of(tmp_path, "", json.dumps(rows, indent=1), name="train.json")
    read = read_dialogues(path)
    assert [one.line for one in read.dialogues] == [3, 11]
    assert read.malformed == [Malformed(8, "output is missing or empty")]


def test_a_json_array_in_one_line_is_read(tmp_path):
    assert len(read_dialogues(file_of(tmp_path, json.dumps([ROW] * 3))).dialogues) == 3


@pytest.mark.parametrize(
    "end, reason",
    [
        ("", "the array has no end"),
        (',\n{"instruction": "q', "not JSON: Invalid control character at"),
        ("]\n{}", "there is more behind the array"),
    ],
)
def test_a_json_array_that_does_not_end_well_keeps_the_rows_before(end, reason, tmp_path):
    read = read_dialogues(file_of(tmp_path, "[" + json.dumps(ROW) + end))
    assert len(read.dialogues) == 1
    assert len(read.malformed) == 1 and reason in read.malformed[0].reason


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"there is no file .*: give a \.jsonl or \.json"):
        read_dialogues(tmp_path / "train.jsonl")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="is a folder: give one file of it"):
        read_dialogues(tmp_path)


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16"])
def test_another_encoding_is_refused_with_the_line(encoding, tmp_path):
    text = '\n{"instruction": "高血压"}\n'
    (tmp_path / "train.jsonl").write_text(text, encoding=encoding)
    line = 2 if encoding == "gb18030" else 1
    with pytest.raises(ParameterError, match=rf"is not UTF-8 \(line {line}\): .*iconv"):
        read_dialogues(tmp_path / "train.jsonl")


def test_another_encoding_inside_an_array_is_refused_with_the_line(tmp_path):
    (tmp_path / "train.json").write_bytes(b'[\n{},\n{"instruction": "\xb8\xdf"}]')
    with pytest.raises(ParameterError, match=r"is not UTF-8 \(line 3\)"):
        read_dialogues(tmp_path / "train.json")


def test_a_file_without_a_usable_row_is_refused_with_the_first_reason(tmp_path):
    path = file_of(tmp_path, "", '{"q": 1}', "{")
    with pytest.raises(
        ParameterError, match=r"no usable row \(2 malformed, .* line 2: no instruct"
    ):
        read_dialogues(path)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"no usable row \(it is empty\)"):
        read_dialogues(file_of(tmp_path, ""))


def test_a_limit_below_one_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="limit=0: give a number"):
        read_dialogues(file_of(tmp_path, ROW), limit=0)
