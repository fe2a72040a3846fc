"""What a cache costs on paper: bytes from a model's configuration, with no weights loaded."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CacheShape:
    """The numbers of a model's configuration that decide what a token costs.

    Attributes
    ----------
    layers, kv_heads, head_dim : int
        As the configuration has them; query heads do not count.
    parameters : int
        Weights of the model, to compare with.
    bytes_per_number : int
        2 for bfloat16.
    """

    layers: int
    kv_heads: int
    head_dim: int
    parameters: int = 0
    bytes_per_number: int = 2

    @classmethod
    def of(cls, config, bytes_per_number: int = 2) -> "CacheShape":
        """Read it from a transformers configuration."""
        return cls(
            config.num_hidden_layers,
            config.num_key_value_heads,
            config.head_dim,
            0,
            bytes_per_number,
        )


SHAPES = {
    "SmolLM2-135M": CacheShape(layers=30, kv_heads=3, head_dim=64, parameters=134_515_008),
    "Qwen3-0.6B": CacheShape(layers=28, kv_heads=8, head_dim=128, parameters=596_049_920),
}
"""Shapes of the two models that the book speaks of, from their published configurations."""


def kv_bytes(shape: CacheShape, tokens: int) -> int:
    """Bytes of the keys and values of ``tokens`` tokens."""
    keys_and_values = 2
    return (
        keys_and_values
        * shape.layers
        * shape.kv_heads
        * shape.head_dim
        * shape.bytes_per_number
        * tokens
    )


def prefill_flops(
    config, layer_inputs: Sequence[int], prompt_length: int = 0, filter_layers: int = 0
) -> float:
    """Floating-point operations of reading a prompt; a multiply and an add are two.

    Parameters
    ----------
    config
        Of transformers, for a Llama, Qwen2, Qwen3 or Mistral.
    layer_inputs : sequence of int
        Tokens that each layer reads.
    prompt_length, filter_layers : int
        A first pass that takes the whole prompt through so many layers, of which the last
        only computes its queries, keys and values.
    """
    hidden, dim = config.hidden_size, config.head_dim
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    projections = 2 * hidden * (heads + 2 * kv_heads) * dim
    rest = 2 * heads * dim * hidden + 3 * 2 * hidden * config.intermediate_size

    def layer(tokens: int) -> float:
        attention = 2 * 2 * heads * dim * tokens * (tokens + 1) / 2
        return tokens * (projections + rest) + attention

    first = 0.0
    if filter_layers:
        first = (filter_layers - 1) * layer(prompt_length) + prompt_length * projections
    return first + sum(map(layer, layer_inputs)) + 2 * hidden * config.vocab_size
