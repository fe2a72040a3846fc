"""A tiny random Llama in float32, as the package has it and as llama.cpp does."""

import json
import os

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from kvbook import load_model
from kvbook.finetune.export import export_gguf
from kvbook.ondevice import LlamaCpp, find_llamacpp


@pytest.fixture(scope="session")
def environment():
    if find_llamacpp() is None:
        if os.environ.get("CI"):  # there somebody has to run these tests
            raise RuntimeError("CI runs `make llamacpp` before the tests")
        pytest.skip("llama.cpp's environment is not there: make llamacpp")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The tiny model, with attention that is far from uniform and a tokenizer of bytes and two merges."""
    tokenizer = load_model("tiny-random").tokenizer
    letters = json.loads(tokenizer.backend_tokenizer.to_str())
    size = len(letters["model"]["vocab"])
    letters["model"]["vocab"] |= {"re": size, "Ġre": size + 1}
    letters["model"]["merges"] = [["r", "e"], ["Ġ", "re"]]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=size + 2,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=64,  # with less this llama.cpp ends when it shifts quantised keys
            max_position_embeddings=512,
            initializer_range=0.2,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=1,
        )
        model = LlamaForCausalLM(config)
    folder = tmp_path_factory.mktemp("tiny") / "model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(letters), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def lm(folder):
    return load_model(str(folder), dtype="float32", device="cpu")


@pytest.fixture(scope="session")
def gguf(folder):
    return export_gguf(folder, folder.parent / "model.gguf", "f32")


@pytest.fixture(scope="module")
def llama(environment, gguf):
    with LlamaCpp(gguf, threads=1) as one:
        yield one
