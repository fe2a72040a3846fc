"""Published configurations, so that costs can be computed and random weights be made without
a model hub."""

from collections.abc import Callable

from transformers import LlamaConfig, PretrainedConfig, Qwen3Config


def _smollm2() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )


def _qwen3(hidden: int, intermediate: int) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=151936,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=40960,
        tie_word_embeddings=True,
    )


def _llama3() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=131072,
        tie_word_embeddings=False,
    )


PUBLISHED: dict[str, Callable[[], PretrainedConfig]] = {
    "SmolLM2-135M": _smollm2,
    "Qwen3-0.6B": lambda: _qwen3(1024, 3072),
    "Qwen3-1.7B": lambda: _qwen3(2048, 6144),
    "Llama-3.1-8B": _llama3,
}
"""From the models' own ``config.json``: shapes only (no RoPE scaling), for counting and timing."""
