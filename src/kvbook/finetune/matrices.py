"""The matrices that LoRA trains: how many numbers its ``A`` and ``B`` have, and what they changed.

LoRA (Hu et al., 2022, section 4.1) adds ``alpha / r * B A`` to a frozen matrix ``W``, with ``A``
of ``[r, inputs]`` and ``B`` of ``[outputs, r]``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PretrainedConfig

from kvbook.finetune.config import TrainingConfig

ADAPTER = "adapter_model.safetensors"
"""Peft's file with all ``A`` and ``B``."""


def linear_layers(model: torch.nn.Module) -> dict[str, torch.nn.Linear]:
    """Every linear layer of attention and MLP, by its name: all but the output's, as
    ``lora_target: all`` has it."""
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer is not model.get_output_embeddings()
    }


def kind_of(name: str) -> str:
    """``down_proj`` of ``model.layers.3.mlp.down_proj``."""
    return name.rpartition(".")[2]


def lora_numbers(layer: torch.nn.Linear, rank: int) -> int:
    """Numbers in the ``A`` and ``B`` of one layer."""
    return rank * (layer.in_features + layer.out_features)


def count_numbers(config: PretrainedConfig, rank: int) -> tuple[int, int]:
    """All numbers of a model, and those of its LoRA; on no device, so it takes no memory."""
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config)
    trained = sum(lora_numbers(layer, rank) for layer in linear_layers(empty).values())
    return sum(one.numel() for one in empty.parameters()), trained


def change_sizes(
    layers: Mapping[str, torch.nn.Linear], adapter: Path, config: TrainingConfig
) -> dict[str, list[float]]:
    """How large the change of each matrix is, as a share of the matrix (Frobenius norms).

    Parameters
    ----------
    layers : mapping of str to Linear
        From `linear_layers`, of the model as it was.
    adapter : Path
        The folder of the training.
    config : TrainingConfig
        Of the training, for alpha and rank.

    Returns
    -------
    dict of str to list of float
        By kind of matrix, a value a layer.
    """
    state, scale = load_file(adapter / ADAPTER), config.lora_alpha / config.lora_rank
    sizes: dict[str, list[float]] = {}
    with torch.no_grad():
        for name, layer in layers.items():
            a, b = (state[f"base_model.model.{name}.lora_{part}.weight"].float() for part in "AB")
            share = scale * (b @ a).norm() / layer.weight.float().norm()
            sizes.setdefault(kind_of(name), []).append(float(share))
    return sizes


def count_dimensions(singular_values: Sequence[float], share: float = 0.9) -> int:
    """How many of the largest singular values carry a share of a matrix's squared size."""
    squares = torch.as_tensor(singular_values).square().sort(descending=True).values
    return int((squares.cumsum(0) < share * squares.sum()).sum()) + 1
