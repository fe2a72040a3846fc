"""The formula against real tensors and published facts."""

import torch

from kvbook import create_method
from kvbook.costs import SHAPES, CacheShape, kv_bytes


def test_it_equals_the_tensors(model, prompt):
    with create_method("fullkv").attach(model) as run:
        model(prompt)
    assert run.kv_bytes == kv_bytes(
        CacheShape.of(model.config, torch.float32.itemsize), prompt.shape[1]
    )


def test_qwen3_takes_114688_bytes_a_token():
    assert kv_bytes(SHAPES["Qwen3-0.6B"], 1) == 114_688


def test_smollm2_is_the_embedded_model():
    from kvbook import load_model

    lm = load_model()
    shape = SHAPES["SmolLM2-135M"]
    assert shape.parameters == sum(p.numel() for p in lm.model.parameters())
    assert kv_bytes(CacheShape.of(lm.model.config), 7) == kv_bytes(shape, 7)
