"""Tiny random models that every test can afford: 8 query heads, 2 KV heads, 3 layers, float32."""

import dataclasses
import signal

import pytest
import torch
from hypothesis import settings
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from kvbook.methods import CATALOGUE, METHODS, PublishedH2O, create_method

# started in the background of a script, a process ignores Ctrl-C, and so would those of the tests
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("the same every time", derandomize=True, deadline=None)
settings.load_profile("the same every time")
VOCABULARY = 97
SHAPE = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=8,
    initializer_range=0.3,  # large enough that attention is far from uniform
    max_position_embeddings=512,
)
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {"hidden_size": 64}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": None}),
}

BUDGETED = [
    name
    for name in METHODS
    if "budget" in {one.name for one in dataclasses.fields(CATALOGUE[name])}
    and name != "summarykv"  # it writes: it has tests of its own
]


def make_model(family, **changes):
    cls, config, own = FAMILIES[family]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = cls(config(**SHAPE | own | changes)).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


def make_method(name, **parameters):
    """`create_method`, and the one of the package that it does not list."""
    if name == "h2o_published":
        return PublishedH2O(**parameters)
    return create_method(name, **parameters)


@pytest.fixture(autouse=True)
def same_catalogue():
    """A method that a test defines is none of the next one's."""
    kept = dict(CATALOGUE)
    yield
    CATALOGUE.clear()
    CATALOGUE.update(kept)


@pytest.fixture(scope="session")
def llama():
    return make_model("llama")


@pytest.fixture(scope="session", params=["llama", "qwen3"])
def model(request, llama):
    return llama if request.param == "llama" else make_model(request.param)


@pytest.fixture
def prompt():
    return prompt_of(30)


def prompt_of(length, seed=1):
    return torch.randint(1, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(seed))


def continue_greedily(model, ids, count=20, **kwargs):
    """The new tokens as lists, and the logits that chose them ``[count, batch, vocabulary]``."""
    out = model.generate(
        ids,
        max_new_tokens=count,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
        **kwargs,
    )
    return out.sequences[:, ids.shape[1] :].tolist(), torch.stack(out.logits)


def left_pad(rows):
    """A batch ``[batch, longest]`` and its attention mask."""
    width = max(row.shape[1] for row in rows)
    ids, mask = (
        torch.zeros(len(rows), width, dtype=torch.long),
        torch.zeros(len(rows), width, dtype=torch.long),
    )
    for i, row in enumerate(rows):
        ids[i, width - row.shape[1] :], mask[i, width - row.shape[1] :] = row[0], 1
    return ids, mask
