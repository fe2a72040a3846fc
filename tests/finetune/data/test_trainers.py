"""The trainers' forms: they say the same as the dialogues, and the same is trained of them."""

import json

import pytest
from finetune.rows import chat

from kvbook import load_model
from kvbook.errors import ParameterError
from kvbook.finetune.data import as_prompt_completion, encode, read_dialogues, write_llamafactory
from kvbook.finetune.data.trainers import read_template


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


def test_another_models_template_is_trls_copy(tiny):
    text = tiny.apply_chat_template(
        [{"role": "user", "content": "q"}],
        chat_template=read_template("llama3"),
        tokenize=False,
        bos_token="<B>",
    )
    assert text == "<B><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"


def test_a_template_that_trl_has_not_is_refused():
    with pytest.raises(ParameterError, match="no chat template 'llama33'"):
        read_template("llama33")
