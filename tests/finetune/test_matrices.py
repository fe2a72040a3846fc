"""The matrices that LoRA changes: which they are, how many numbers it adds, what it changed."""

import pytest
import torch
from safetensors.torch import save_file

from kvbook import load_model
from kvbook.finetune.config import read_config
from kvbook.finetune.matrices import (
    ADAPTER,
    change_sizes,
    count_dimensions,
    count_numbers,
    kind_of,
    linear_layers,
    lora_numbers,
)
from kvbook.finetune.train import count_trainable


@pytest.fixture(scope="module")
def model():
    return load_model("tiny-random", dtype="float32", device="cpu").model


def test_the_linear_layers_are_those_of_attention_and_mlp_without_the_output(model):
    kinds = {kind_of(name) for name in linear_layers(model)}
    assert kinds == {f"{one}_proj" for one in ("q", "k", "v", "o", "gate", "up", "down")}
    assert len(linear_layers(model)) == 7 * model.config.num_hidden_layers


def test_two_thin_matrices_have_the_rank_times_both_sides():
    layer = torch.nn.Linear(in_features=10, out_features=7)
    assert lora_numbers(layer, 3) == 3 * 10 + 7 * 3


def test_numbers_are_counted_without_the_weights(model):
    every, few = count_numbers(model.config, 4)
    assert every == sum(one.numel() for one in model.parameters())
    assert few == count_trainable(model, read_config(lora_rank=4))


def test_a_changes_size_is_a_share_of_its_matrix(tmp_path):
    model = torch.nn.Module()
    model.one = torch.nn.Module()
    model.one.proj, model.proj = (
        torch.nn.Linear(2, 2, bias=False),
        torch.nn.Linear(2, 2, bias=False),
    )
    layers = {"one.proj": model.one.proj, "proj": model.proj}
    state = {}
    for share, (name, layer) in zip((1.0, 3.0), layers.items(), strict=True):
        layer.weight.data = torch.eye(2) * 4  # its norm is 4 times the root of 2
        state[f"base_model.model.{name}.lora_A.weight"] = torch.tensor([[1.0, 1.0]])
        state[f"base_model.model.{name}.lora_B.weight"] = torch.tensor([[share], [0.0]])
    save_file(state, tmp_path / ADAPTER)
    config = read_config(lora_rank=1, lora_alpha=2)
    assert change_sizes(layers, tmp_path, config) == {
        "proj": [pytest.approx(2 / 4), pytest.approx(2 * 3 / 4)]
    }


@pytest.mark.parametrize("values, dimensions", [([3.0, 1.0, 0.0], 1), ([1.0, 2.0, 2.0], 3)])
def test_dimensions_are_counted_by_their_squares(values, dimensions):
    """9 of 10 are nine tenths; 8 of 9 are not."""
    assert count_dimensions(values) == dimensions
    assert count_dimensions([2.0, 2.0, 1.0], share=0.85) == 2
