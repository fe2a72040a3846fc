"""Two tokenizers with chat templates."""

import pytest
from finetune.qwen3 import qwen3_tokenizer

from kvbook import load_model


@pytest.fixture(scope="session")
def tiny():
    """The tiny model's: a token a byte, and ChatML."""
    return load_model("tiny-random").tokenizer


@pytest.fixture(scope="session")
def qwen3():
    return qwen3_tokenizer()
