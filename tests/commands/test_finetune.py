"""A whole fine-tuning: what is prepared, what is refused before it begins, what is written down."""

import json

import numpy as np
import pytest
from finetune.rows import ROW, file_of

from kvbook import load_model
from kvbook.commands.finetune_prepare import prepare_finetuning
from kvbook.commands.finetune_run import CHINESE, run_finetuning
from kvbook.errors import ParameterError, UnsupportedError
from kvbook.finetune.data import read_dialogues
from kvbook.finetune.export import export_gguf
from kvbook.finetune.score import reference_nll
from kvbook.places import place

MODEL = "tiny-random"
QUICK = ["max_steps=2", "bf16=false", "learning_rate=1e-2", "per_device_train_batch_size=2"]
QUESTIONS = ["头痛怎么办？", "咳嗽怎么办？", "How long does a cold last?", "发烧了要看医生吗？"]


def rows(*questions):
    return [ROW | {"instruction": question} for question in questions]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Five training rows of which two are asked, nearly or exactly, and four that are none."""
    folder = tmp_path_factory.mktemp("files")
    asked = ["头痛，怎么办", "How long does a cold last now?"]
    train = [*rows("腰痛怎么办？", *asked, "失眠怎么办？", "流鼻血怎么办？"), "{", "[]", {}, "null"]
    test = rows(QUESTIONS[0], "一天喝多少水？", QUESTIONS[2], QUESTIONS[3])
    general = rows("一年有几个月？", "What is the capital of France?", "天空是什么颜色？")
    return {
        "data": file_of(folder, *train),
        "test": file_of(folder, *test, name="test.jsonl"),
        "general": file_of(folder, *general, name="general.jsonl"),
    }


def prepare_quickly(files, output, **options):
    return prepare_finetuning(**files, model=MODEL, output=output, keys=QUICK, **options)


@pytest.fixture(scope="module")
def prepared(files, tmp_path_factory):
    return prepare_quickly(files, tmp_path_factory.mktemp("runs") / "run", items=3, gguf="f16")


@pytest.fixture(scope="module")
def done(prepared):
    return run_finetuning(prepared)


@pytest.fixture(scope="module")
def numbers(done):
    return json.loads(done.numbers.read_text(encoding="utf-8"))["data"]


# ---- prepared -----------------------------------------------------------------------------------


def test_what_is_left_out_of_the_files_is_told(prepared):
    assert prepared.notes == [
        "train: 4 malformed, left out: line 6 (not JSON: Expecting property name enclosed in double "
        "quotes), line 7 (a list, not an object), line 8 (no instruction, conversations or "
        "messages), and 1 more",
        "train: 1 left out, since test asks the same question: line 2 (line 1 there)",
        "train: 1 left out, since test asks nearly the same question: line 3 (line 3 there)",
    ]
    assert [row.line for row in prepared.train] == [1, 4, 5]


def test_lengths_are_told_of_what_is_left(prepared):
    assert [(row["data"], row["rows"]) for row in prepared.rows] == [
        ("train", "3"),
        ("test", "4"),
        ("general", "3"),
    ]


def test_the_share_is_that_of_the_training(prepared, done):
    assert (prepared.trainable, prepared.parameters) == (
        done.trained.trainable,
        done.trained.parameters,
    )
    assert prepared.share.endswith(f"of {prepared.parameters:,} numbers ({done.trained.share:.2%})")


def test_without_files_the_embedded_ones_are_taken(tmp_path):
    prepared = prepare_finetuning(model=MODEL, output=tmp_path / "run")
    assert {name: of["count"] for name, of in prepared.lengths.items()} == {
        "train": 270,
        "test": 66,
        "general": 58,
    }
    assert prepared.notes == []


def test_general_rows_in_chinese_are_told_from_others():
    path = place("data") / "medical/general.jsonl"
    languages = [json.loads(line)["language"] for line in path.read_text("utf-8").splitlines()]
    found = [bool(CHINESE.search(row.question)) for row in read_dialogues(path).dialogues]
    assert found == [language == "zh" for language in languages]


def test_training_rows_without_test_rows_are_refused(files, tmp_path):
    with pytest.raises(ParameterError, match="give --data and --test, or neither"):
        prepare_finetuning(data=files["data"], model=MODEL, output=tmp_path / "run")


def test_training_rows_that_are_all_asked_are_refused(files, tmp_path):
    with pytest.raises(ParameterError, match=r"test.jsonl asks every question of .*test.jsonl"):
        prepare_quickly(files | {"data": files["test"]}, tmp_path / "run")


@pytest.mark.parametrize(
    "options, says",
    [
        ({"gguf": "q4"}, "dtype='q4': give 'f32'"),
        ({"backend": "tlr"}, "unknown backend 'tlr'"),
        ({"keys": ["lora_rnk=3"]}, "Did you mean 'lora_rank'"),
        ({"keys": ["lora_target=qproj"]}, "no linear layer qproj"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(options, says, tmp_path):
    with pytest.raises(ParameterError, match=says):
        prepare_finetuning(**{"model": MODEL, "output": tmp_path / "run"} | options)
    assert not (tmp_path / "run").exists()


def test_a_model_that_cannot_be_exported_is_refused(tmp_path):
    lm = load_model(MODEL)
    lm.model.config.rope_parameters = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
    lm.model.save_pretrained(tmp_path / "scaled")
    lm.tokenizer.save_pretrained(tmp_path / "scaled")
    with pytest.raises(UnsupportedError, match="cannot export this RoPE"):
        prepare_finetuning(model=str(tmp_path / "scaled"), output=tmp_path / "run", gguf="f16")


# ---- what comes out -----------------------------------------------------------------------------


def test_the_comparison_is_of_the_base_model_and_the_merged_one(prepared, done):
    found = done.comparisons["NLL of the reference"]
    for model, mean in ((MODEL, found.before), (str(done.merged), found.after)):
        lm = load_model(model, dtype="float32")
        assert mean == pytest.approx(
            np.mean(reference_nll(lm.model, lm.tokenizer, prepared.asked)), abs=1e-5
        )
    assert found.gain > 0


def test_as_many_items_are_compared_as_asked_for_and_all_general_rows(done):
    assert {name: one.items for name, one in done.comparisons.items()} == {
        "BERTScore F1, raw": 3,
        "BERTScore F1, rescaled": 3,
        "BLEU-4": 3,
        "ROUGE-L": 3,
        "NLL of the reference": 3,
        "NLL, general, Chinese": 2,
        "NLL, general, other": 1,
    }


def test_every_answer_is_written_down_beside_its_question(numbers):
    assert [item["question"] for item in numbers["items"]] == [
        QUESTIONS[0],
        "一天喝多少水？",
        QUESTIONS[2],
    ]
    for item in numbers["items"]:
        assert item["reference"] == ROW["output"] and item["base"] != item["merged"]


def test_the_numbers_are_those_of_the_table(done, numbers):
    told = {name: one.data() for name, one in done.comparisons.items()}
    assert numbers["comparisons"] == told
    assert numbers["training"]["held_out_losses"] == [*map(list, done.trained.held_out_losses)]


def test_what_zero_means_is_told_for_data_of_ones_own(done):
    assert done.notes[-1] == "rescaled: 0 is what unrelated Chinese medical answers score"


def test_the_file_for_llama_cpp_is_the_merged_model(done, tmp_path):
    assert done.gguf.read_bytes() == export_gguf(done.merged, tmp_path / "m.gguf").read_bytes()


def test_the_same_again_trains_nothing(prepared, done):
    before = (prepared.output / "adapter_model.safetensors").stat().st_mtime_ns
    assert run_finetuning(prepared).trained == done.trained
    assert (prepared.output / "adapter_model.safetensors").stat().st_mtime_ns == before
