"""Merging: the merged model is the model with its adapter, in a folder of its own or not at all."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from finetune.rows import chat
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from kvbook import load_model
from kvbook.errors import ModelError, ParameterError
from kvbook.finetune import merge as merging
from kvbook.finetune.config import read_config
from kvbook.finetune.merge import merge
from kvbook.finetune.train import train

MODEL = "tiny-random"
IDS = torch.arange(2, 60)[None]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A short training's folder."""
    rows, folder = [chat("headache", "Rest.")] * 4, tmp_path_factory.mktemp("runs") / "run"
    config = read_config(bf16=False, max_steps=4, learning_rate=1e-2, warmup_steps=0.0)
    return train(MODEL, rows, rows[:1], folder, config=config, progress=False).adapter


@pytest.fixture(scope="module")
def merged(adapter, tmp_path_factory):
    return merge(adapter, tmp_path_factory.mktemp("merged") / "model")


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


def test_merged_logits_are_those_of_the_adapter(adapter, merged):
    base = load_model(MODEL, dtype="float32").model
    before = logits(base)
    expected = logits(PeftModel.from_pretrained(base, adapter))
    found = logits(load_model(str(merged), dtype="float32").model)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (found - before).abs().max() > 0.1


def test_a_merged_weight_is_the_frozen_one_and_the_product(adapter, merged):
    from safetensors.torch import load_file

    name = "model.layers.1.mlp.down_proj"
    parts = load_file(adapter / "adapter_model.safetensors")
    a, b = (parts[f"base_model.model.{name}.lora_{x}.weight"] for x in "AB")
    base = load_model(MODEL, dtype="float32").model.state_dict()[f"{name}.weight"]
    found = load_file(merged / "model.safetensors")[f"{name}.weight"]
    torch.testing.assert_close(found, base + 32 / 16 * b @ a)


def test_a_pickle_beside_the_adapter_is_not_looked_at(adapter, tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    other = shutil.copytree(adapter, tmp_path / "run")
    (other / "adapter_model.bin").write_bytes(pickle.dumps(Trap()))
    merge(other, tmp_path / "merged")
    assert not (tmp_path / "sprung").exists()


def test_the_folder_has_the_tokenizer_and_the_chat_template(merged):
    base, found = load_model(MODEL).tokenizer, load_model(str(merged)).tokenizer
    assert found("a cold").input_ids == base("a cold").input_ids
    assert found.chat_template == base.chat_template


def test_the_model_can_be_named(adapter, tmp_path):
    assert merge(adapter, tmp_path / "model", base=MODEL).is_dir()


def test_other_weights_than_the_trained_ones_are_refused(adapter, merged, tmp_path):
    with pytest.raises(ParameterError, match="was trained on other weights than those of"):
        merge(adapter, tmp_path / "model", base=merged)
    assert not any(tmp_path.iterdir())


def test_another_configuration_than_the_trained_one_is_refused(adapter, tmp_path):
    """The same weights, and other numbers come out."""
    lm = load_model(MODEL, dtype="float32")
    lm.model.config.rms_norm_eps = 1e-2
    lm.model.save_pretrained(tmp_path / "base")
    lm.tokenizer.save_pretrained(tmp_path / "base")
    with pytest.raises(ParameterError, match="was trained on other configuration than"):
        merge(adapter, tmp_path / "model", base=tmp_path / "base")


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_another_adapter_in_the_folder_is_refused(adapter, tmp_path, file):
    """One that can be read as well as the one that was trained."""
    copy = shutil.copytree(adapter, tmp_path / "run")
    if file.endswith(".json"):
        path = copy / file
        path.write_text(path.read_text().replace('"lora_alpha": ', '"lora_alpha": 1'))
    else:
        weights = {name: -one for name, one in load_file(copy / file).items()}
        save_file(weights, copy / file, {"format": "pt"})
    with pytest.raises(ParameterError, match="is not the one that its training.json tells of"):
        merge(copy, tmp_path / "model")


def test_a_record_of_before_adapters_had_a_digest_is_read(adapter, tmp_path):
    copy = shutil.copytree(adapter, tmp_path / "run")
    record = json.loads((copy / "training.json").read_text())
    del record["data"]["adapter"], record["data"]["run"]["configuration"]
    (copy / "training.json").write_text(json.dumps(record))
    assert merge(copy, tmp_path / "model").is_dir()


def test_an_adapter_of_peft_needs_the_models_name(tmp_path):
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])
    get_peft_model(load_model(MODEL).model, lora).save_pretrained(tmp_path / "adapter")
    with pytest.raises(ParameterError, match="does not say which model .* give base="):
        merge(tmp_path / "adapter", tmp_path / "model")
    assert merge(tmp_path / "adapter", tmp_path / "model", base=MODEL).is_dir()


def test_an_earlier_merge_is_replaced(merged, adapter, tmp_path):
    folder = shutil.copytree(merged, tmp_path / "model")
    (folder / "config.json").write_text("{")
    assert load_model(str(merge(adapter, folder))).source == "a local folder"


def test_another_folder_is_refused_and_left_alone(adapter, tmp_path):
    with pytest.raises(ParameterError, match="exists and is no merge of kvbook"):
        merge(adapter, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="no adapter in"):
        merge(tmp_path, tmp_path / "model")


@pytest.mark.parametrize(
    "found, reason",
    [
        (([1, 2], torch.ones(2, 3)), "chooses other tokens"),
        (([1], torch.full((1, 3), 1.001)), "1.0e-03 away"),
        (([1], torch.full((1, 3), float("nan"))), "nan away"),
    ],
)
def test_a_merged_model_that_answers_in_another_way_is_refused(found, reason):
    with pytest.raises(ModelError, match=reason):
        merging._check(([1], torch.ones(1, 3)), found)


def test_the_folder_says_what_was_merged(adapter, merged):
    mark = json.loads((merged / "kvbook_merge.json").read_text(encoding="utf-8"))
    assert mark == {"adapter": str(adapter), "base": MODEL}
