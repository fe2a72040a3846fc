"""What a model costs on paper, from its configuration alone: no weights are loaded."""

from collections.abc import Sequence
from dataclasses import dataclass

from kvbook.errors import wanted
from kvbook.lm.configs import PUBLISHED


@dataclass(frozen=True)
class ModelShape:
    """The numbers of a configuration that decide what a token costs.

    Attributes
    ----------
    layers, hidden, intermediate, heads, kv_heads, head_dim, vocabulary : int
        As in the configuration of a Llama, Qwen2, Qwen3 or Mistral.
    parameters : int
        Weights of the whole model; an embedding that is also the output layer counts once.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    parameters: int

    @classmethod
    def of(cls, config) -> "ModelShape":
        """Read it from a transformers configuration.

        Raises
        ------
        ParameterError
            Something else, such as a model's name.
        """
        if not hasattr(config, "num_hidden_layers"):
            raise wanted("a configuration of transformers", config, "lm.model.config")
        hidden, heads = config.hidden_size, config.num_attention_heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        dim = getattr(config, "head_dim", None) or hidden // heads
        layers, inner = config.num_hidden_layers, config.intermediate_size
        kind = config.model_type
        projections = hidden * (heads + 2 * kv_heads) * dim + heads * dim * hidden
        bias = (heads + 2 * kv_heads) * dim
        small = 2 * hidden  # two norms a layer
        if kind == "qwen2":
            small += bias
        elif getattr(config, "attention_bias", False):
            small += bias + hidden
        if kind == "qwen3":
            small += 2 * dim  # norms of queries and keys
        if getattr(config, "mlp_bias", False):
            small += 2 * inner + hidden
        embeddings = config.vocab_size * hidden * (1 if config.tie_word_embeddings else 2)
        total = layers * (projections + 3 * hidden * inner + small) + hidden + embeddings
        return cls(layers, hidden, inner, heads, kv_heads, dim, config.vocab_size, total)


SHAPES = {name: ModelShape.of(PUBLISHED[name]()) for name in ("SmolLM2-135M", "Qwen3-0.6B")}
"""Shapes of the two models that the book speaks of, from their published configurations."""


def kv_bytes(shape: ModelShape, tokens: int, bytes_per_number: int = 2) -> int:
    """Bytes of the keys and values of ``tokens`` tokens; 2 bytes a number for bfloat16."""
    keys_and_values = 2
    return (
        keys_and_values * shape.layers * shape.kv_heads * shape.head_dim * bytes_per_number * tokens
    )


def causal_pairs(queries: int, entries: int | None = None) -> int:
    """Pairs of a query and a key that it sees, when the queries are the last of the entries."""
    entries = queries if entries is None else entries
    return queries * entries - queries * (queries - 1) // 2


def layer_flops(shape: ModelShape, tokens: int, pairs: int) -> dict[str, int]:
    """Floating-point operations of the matrix products of one layer; a multiply and an add
    are two.

    Parameters
    ----------
    tokens : int
        Tokens that the layer reads.
    pairs : int
        Pairs of a query and a key that attention visits, per head: `causal_pairs`.
    """
    wide = shape.heads * shape.head_dim
    narrow = 2 * shape.kv_heads * shape.head_dim
    return {
        "projections": 2 * tokens * shape.hidden * (wide + narrow + wide),
        "attention": 2 * 2 * wide * pairs,
        "mlp": 3 * 2 * tokens * shape.hidden * shape.intermediate,
    }


def scan_flops(shape: ModelShape, tokens: int) -> int:
    """The last layer of a first pass: its queries, keys and values, and nothing after them."""
    return 2 * tokens * shape.hidden * (shape.heads + 2 * shape.kv_heads) * shape.head_dim


def prefill_flops(
    config, layer_inputs: Sequence[int], prompt_length: int = 0, filter_layers: int = 0
) -> float:
    """Floating-point operations of reading a prompt: of the matrix products of all layers, and of
    the output layer for the last token. The method's own scores are left out.

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
    shape = ModelShape.of(config)

    def layer(tokens: int) -> int:
        return sum(layer_flops(shape, tokens, causal_pairs(tokens)).values())

    first = 0
    if filter_layers:
        first = (filter_layers - 1) * layer(prompt_length) + scan_flops(shape, prompt_length)
    return first + sum(map(layer, layer_inputs)) + 2 * shape.hidden * shape.vocabulary
