"""Loading models: what is read, and what is refused."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from kvbook import load_model
from kvbook.errors import ModelError, ParameterError
from kvbook.lm import models
from kvbook.lm.number_format import NumberFormat


@pytest.mark.parametrize(
    "name, says", [("smollm3", "unknown model 'smollm3'"), ("./nowhere", "config.json")]
)
def test_unknown_names_are_refused_with_the_known(name, says):
    with pytest.raises(ModelError, match=says):
        load_model(name)


@pytest.mark.parametrize("option", [dict(dtype="bf16"), dict(device="gpu")])
def test_unknown_options_are_refused(option):
    with pytest.raises(ParameterError, match="'auto'"):
        load_model("tiny-random", **option)


@pytest.mark.parametrize("quicker", ["bfloat16", "float32"])
def test_auto_dtype_on_a_cpu_is_what_was_measured_to_be_quicker(monkeypatch, quicker):
    found = NumberFormat(dtype=quicker, float32=1, bfloat16=1, threads=1)
    monkeypatch.setattr(models, "find_number_format", lambda: found)
    assert models.resolve_dtype("auto", torch.device("cpu")) == getattr(torch, quicker)


@pytest.mark.parametrize("supported, dtype", [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_dtype_on_cuda_is_bfloat16_where_it_is_supported(monkeypatch, supported, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    assert models.resolve_dtype("auto", torch.device("cuda")) == dtype


def test_a_dtype_that_is_given_decides_and_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(models, "find_number_format", lambda: pytest.fail("measured"))
    assert models.resolve_dtype("float32", torch.device("cpu")) == torch.float32


def test_tiny_is_the_same_every_time_and_leaves_the_random_state():
    before = torch.get_rng_state()
    a, b = (load_model("tiny-random", dtype="float32").model.lm_head.weight for _ in range(2))
    assert torch.equal(a, b) and torch.equal(torch.get_rng_state(), before)


def test_tiny_tokenizer_reads_and_writes_any_text():
    tokenizer = load_model("tiny-random").tokenizer
    assert tokenizer.decode(tokenizer("KV 缓存, né?").input_ids) == "KV 缓存, né?"


@pytest.fixture
def saved(tmp_path):
    lm = load_model("tiny-random", dtype="float32")
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_gives_the_model_that_was_saved(saved):
    ids = torch.tensor([[5, 6, 7]])
    there, here = (
        load_model(name, dtype="float32").model(ids).logits for name in (str(saved), "tiny-random")
    )
    assert torch.equal(there, here)


def test_a_folder_may_be_a_path(saved):
    assert load_model(saved).source == "a local folder"


@pytest.mark.parametrize("name", ["~nobody-here/model", "/" + "long" * 100])
def test_a_path_that_cannot_be_is_one_message(name):
    with pytest.raises(ModelError, match="no model at"):
        load_model(name)


def test_weights_that_are_cut_off_are_refused(saved):
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="damaged or cut off"):
        load_model(str(saved))


@pytest.mark.parametrize(
    "name, content",
    [
        ("config.json", "{"),
        ("config.json", "{}"),
        ("config.json", "[]"),
        ("config.json", '{"model_type": "llama", "hidden_size": "many"}'),
        ("tokenizer.json", "{}"),
        ("tokenizer_config.json", "nothing"),
    ],
)
def test_a_damaged_file_of_a_model_is_one_message(saved, name, content):
    (saved / name).write_text(content)
    with pytest.raises(ModelError, match="cannot read the model in"):
        load_model(str(saved))


def test_weights_that_are_missing_are_not_drawn_anew(saved):
    """transformers would fill them with random numbers, and only warn."""
    weights = load_file(saved / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, saved / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="1 are missing, such as model.layers.1.mlp.up_proj"):
        load_model(str(saved))


def test_a_hub_id_without_network_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="give its path"):
        load_model("nobody/nothing-at-all")


def test_the_embedded_model_knows_a_capital():
    lm = load_model()
    question = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = lm.tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = lm.model.generate(**inputs, max_new_tokens=12, do_sample=False)
    assert "Paris" in lm.tokenizer.decode(out[0])
