"""Fine-tuning data: what is read of a file, what of it is trained, and what the test data keep out."""

import json
import random

import pytest
from finetune.qwen3 import qwen3_tokenizer

from kvbook import load_model
from kvbook.errors import ParameterError
from kvbook.finetune.data import (
    Dialogue,
    Malformed,
    Pair,
    as_prompt_completion,
    encode,
    length_statistics,
    read_dialogues,
    remove_duplicates,
    write_llamafactory,
)

ROW = {"instruction": "头痛怎么办？", "input": "", "output": "多休息。"}


@pytest.fixture(scope="module")
def tiny():
    """The tiny model's tokenizer: a token a byte, and ChatML."""
    return load_model("tiny-random").tokenizer


@pytest.fixture(scope="module")
def qwen3():
    return qwen3_tokenizer()


def chat(*contents, system=None, line=1):
    """A dialogue of questions and answers in turn."""
    roles = ["user", "assistant"] * len(contents)
    turns = list(zip(roles, contents, strict=False))
    turns = [("system", system), *turns] if system else turns
    return Dialogue(tuple({"role": role, "content": content} for role, content in turns), line)


def asks(*questions):
    """Dialogues with these questions in lines 1, 2, ..."""
    return [chat(question, "ok", line=line) for line, question in enumerate(questions, 1)]


def file_of(folder, *rows, name="train.jsonl"):
    """A file with a line a row; a string is a line as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def messages(folder, row):
    """The roles' first letters and the contents of a file's only row."""
    (dialogue,) = read_dialogues(file_of(folder, row)).dialogues
    return [(message["role"][0], message["content"]) for message in dialogue.messages]


# ---- rows ---------------------------------------------------------------------------------------


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


# ---- tokens -------------------------------------------------------------------------------------


def trained(tokenizer, encoded):
    """The text that counts for the loss."""
    return tokenizer.decode([label for label in encoded.labels if label != -100])


def test_the_answer_and_its_end_are_trained_and_nothing_before(tiny):
    encoded = encode(tiny, chat("q", "old", "q2", "new", system="S"))
    start, end = "<|im_start|>", "<|im_end|>\n"
    prompt = f"{start}system\nS{end}{start}user\nq{end}{start}assistant\nold{end}{start}user\nq2{end}{start}assistant\n"
    assert tiny.decode(encoded.ids) == prompt + "new" + end
    ours = encoded.labels.index(encoded.ids[-5])  # n, e, w, the end of the turn, the newline
    assert encoded.labels == [-100] * ours + encoded.ids[ours:]
    assert (trained(tiny, encoded), encoded.trained, encoded.cut) == ("new" + end, 5, False)


@pytest.mark.parametrize("missing, left", [(0, "new<|im_end|>\n"), (1, "new<|im_end|>"), (4, "n")])
def test_an_answer_that_is_too_long_is_cut_at_its_end(missing, left, tiny):
    whole = encode(tiny, chat("q", "new"))
    encoded = encode(tiny, chat("q", "new"), max_length=len(whole.ids) - missing)
    assert (trained(tiny, encoded), encoded.cut) == (left, missing > 0)
    assert encoded.ids == whole.ids[: len(encoded.labels)]


def test_a_prompt_that_fills_the_length_leaves_nothing_to_train(tiny):
    encoded = encode(tiny, chat("q" * 100, "new"), max_length=50)
    assert (len(encoded.ids), encoded.trained, encoded.cut) == (50, 0, True)


def test_a_length_below_one_is_refused(tiny):
    with pytest.raises(ParameterError, match="max_length=0: give a number of tokens"):
        encode(tiny, chat("q", "a"), max_length=0)


def test_a_tokenizer_without_a_chat_template_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "chat_template", None)
    with pytest.raises(ParameterError, match="no chat template: take an instruct model"):
        encode(tiny, chat("q", "a"))


def test_what_a_template_refuses_is_one_message_with_the_line(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "chat_template", "{{ raise_exception('no system messages') }}")
    with pytest.raises(ParameterError, match=r"line 7: .* refuses it \(no system messages\)"):
        encode(tiny, chat("q", "a", system="S", line=7))


def test_a_template_that_changes_the_prompt_behind_an_answer_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(
        tiny,
        "chat_template",
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<think>{% endif %}",
    )
    with pytest.raises(ParameterError, match="line 7: the tokens of the prompt change"):
        encode(tiny, chat("q", "a", line=7))


def test_the_embedded_models_template_ignores_thinking():
    tokenizer = load_model().tokenizer
    encoded = encode(tokenizer, chat("What helps?", "Rest."))
    assert trained(tokenizer, encoded) == "Rest.<|im_end|>\n"
    assert tokenizer.decode(encoded.ids).endswith("<|im_start|>assistant\nRest.<|im_end|>\n")


# ---- Qwen3 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, ids",
    [
        (
            "高血压患者可以长期喝脱脂奶粉吗？",
            [109155, 101924, 73670, 101930, 100399, 99694, 100553, 107706, 101037, 11319],
        ),
        ("What should I do about a headache?", [3838, 1265, 358, 653, 911, 264, 46746, 30]),
        (
            "体温38.5℃，咳嗽3天。\n",
            [109207, 18, 23, 13, 20, 144105, 3837, 109244, 18, 35727, 8997],
        ),
        (
            "<|endoftext|><|im_start|><|im_end|><think></think>",
            [151643, 151644, 151645, 151667, 151668],
        ),
    ],
)
def test_the_rebuilt_tokenizer_gives_tiktokens_ids(text, ids, qwen3):
    """What tiktoken 0.14 makes of the same file of ranks, and Qwen3's published added tokens."""
    assert qwen3(text).input_ids == ids


def test_qwen3s_prompt_is_the_official_one_with_thinking_off(qwen3):
    dialogue = chat("头痛", "休息", "多久？", "三天。", system="你是医生。")
    encoded = encode(qwen3, dialogue)
    prompt = qwen3.apply_chat_template(
        dialogue.prompt, add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    assert encoded.ids[: len(prompt)] == prompt
    assert encoded.labels == [-100] * len(prompt) + encoded.ids[len(prompt) :]


def test_qwen3s_ids_by_hand(qwen3):
    encoded = encode(qwen3, chat("你好", "多喝水。"))
    user, assistant = [151644, 872, 198, 108386, 151645, 198], [151644, 77091, 198]
    think, answer = [151667, 271, 151668, 271], [42140, 111824, 1773, 151645, 198]
    assert encoded.ids == user + assistant + think + answer
    assert encoded.labels == [-100] * 13 + answer


@pytest.mark.parametrize("answer", ["多喝水。", "多喝水。\n\n", "38.5℃ is a fever", "(1) 休息"])
def test_qwen3s_ids_are_those_of_the_pieces_that_llamafactory_encodes(answer, qwen3):
    """Its template ``qwen3`` with ``enable_thinking: false`` encodes the question, an empty
    thought and the answer one by one; the last of them is trained."""
    pieces = [
        "<|im_start|>user\n头痛？<|im_end|>\n<|im_start|>assistant\n",
        "<think>\n\n</think>\n\n",
        f"{answer}<|im_end|>\n",
    ]
    question, thought, target = (qwen3(piece).input_ids for piece in pieces)
    encoded = encode(qwen3, chat("头痛？", answer))
    assert encoded.ids == question + thought + target
    assert encoded.labels == [-100] * len(question + thought) + target


# ---- lengths ------------------------------------------------------------------------------------


def test_length_statistics(tiny):
    """In the tiny model's tokens, bytes: 痛 is three; the template ends an answer with two."""
    template = len(encode(tiny, chat("q", "a")).ids) - 4
    found = length_statistics(tiny, [chat("q" * 4, "a" * 10), chat("痛", "a" * 20)])
    expected = {
        "prompt": {"tokens": (template + 3, template + 4), "characters": (1, 4)},
        "answer": {"tokens": (12, 22), "characters": (10, 20)},
        "whole": {"tokens": (template + 16, template + 25), "characters": (14, 21)},
    }
    assert found.pop("count") == 2
    for part, units in expected.items():
        for unit, (low, high) in units.items():
            middle, p95 = (low + high) / 2, low + 0.95 * (high - low)
            expected = {"min": low, "median": middle, "mean": middle, "p95": p95, "max": high}
            assert found[part][unit] == pytest.approx(expected)


def test_statistics_are_plain_numbers(tiny):
    json.dumps(length_statistics(tiny, [chat("q", "a")]))


def test_statistics_of_nothing_are_refused(tiny):
    with pytest.raises(ParameterError, match="no dialogues"):
        length_statistics(tiny, [])


# ---- for the trainers ---------------------------------------------------------------------------


def test_a_row_for_trl():
    assert as_prompt_completion(chat("一", "二", "三", "四")) == {
        "prompt": [
            {"role": "user", "content": "一"},
            {"role": "assistant", "content": "二"},
            {"role": "user", "content": "三"},
        ],
        "completion": [{"role": "assistant", "content": "四"}],
        "chat_template_kwargs": {"enable_thinking": False},
    }


ROWS = [chat("头痛？", "休息。\n"), chat("一", "二", "三", "四", system="S"), chat("q", "a" * 300)]


def test_llamafactorys_file_reads_back_as_the_same_dialogues(tmp_path):
    path = write_llamafactory(ROWS, tmp_path / "new", "med_train")
    read = read_dialogues(path)
    assert [one.messages for one in read.dialogues] == [one.messages for one in ROWS]


def test_llamafactorys_rows_have_all_the_fields_that_their_entry_names(tmp_path):
    path = write_llamafactory(ROWS, tmp_path, "med_train")
    info = json.loads((tmp_path / "dataset_info.json").read_text(encoding="utf-8"))["med_train"]
    assert (info["file_name"], info["formatting"]) == ("med_train.json", "alpaca")
    for row in json.loads(path.read_text(encoding="utf-8")):
        assert set(row) == set(info["columns"].values())


def test_other_data_sets_stay_in_dataset_info(tmp_path):
    for name in ("train", "test"):
        write_llamafactory(ROWS, tmp_path, name)
    assert set(json.loads((tmp_path / "dataset_info.json").read_text())) == {"train", "test"}


@pytest.mark.parametrize("name", ["", "a,b", "../a", "dataset_info"])
def test_names_that_llamafactory_cannot_have_are_refused(name, tmp_path):
    with pytest.raises(ParameterError, match="give one of letters"):
        write_llamafactory(ROWS, tmp_path, name)


@pytest.mark.parametrize("text", ["[]", "{", "\udcff"])
def test_a_damaged_dataset_info_is_left_alone(text, tmp_path):
    info = tmp_path / "dataset_info.json"
    info.write_text(text, errors="surrogateescape")
    with pytest.raises(ParameterError, match="cannot read .*give another folder"):
        write_llamafactory(ROWS, tmp_path, "train")
    assert list(tmp_path.iterdir()) == [info]


@pytest.mark.parametrize("max_length", [None, 200])
@pytest.mark.parametrize("model", ["tiny", "qwen3"])
def test_trl_trains_the_same_tokens(model, max_length, tmp_path, request):
    import datasets
    import trl

    tokenizer = request.getfixturevalue(model)
    trainer = trl.SFTTrainer(
        load_model("tiny-random").model,  # only asked for its kind
        trl.SFTConfig(str(tmp_path), max_length=max_length, report_to="none", use_cpu=True),
        processing_class=tokenizer,
        train_dataset=datasets.Dataset.from_list([*map(as_prompt_completion, ROWS)]),
    )
    ours = [encode(tokenizer, one, max_length=max_length) for one in ROWS]
    theirs = trainer.train_dataset
    assert theirs["input_ids"][:] == [one.ids for one in ours]
    assert theirs["labels"][:] == [one.labels for one in ours]


# ---- duplicates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question", ["头痛 怎么办", "头痛，怎么办？！", "头痛怎么办\n", "\u3000头痛怎么\u200b办"]
)
def test_signs_and_white_space_do_not_make_another_question(question):
    found = remove_duplicates(asks("其他", question), asks("头痛怎么办"))
    assert found.exact == [Pair(2, 1, 1.0)] and [one.line for one in found.train] == [1]


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
    assert found.near == [Pair(1, 2, 0.7)] * near and len(found.train) == 1 - near


def test_the_test_data_stay_as_they_are_and_each_row_is_counted_once():
    test = asks("头痛怎么办", "头痛怎么办", "其他")
    found = remove_duplicates(asks("头痛怎么办"), test)
    assert found.test == test and found.exact == [Pair(1, 1, 1.0)] and found.train == []


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
            expected.append(Pair(one.line, -line, best))
    assert expected and remove_duplicates(train, test, threshold=threshold).near == expected
