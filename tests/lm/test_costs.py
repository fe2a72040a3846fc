"""The formula against real tensors and published facts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kvbook import create_method
from kvbook.lm.configs import PUBLISHED
from kvbook.lm.costs import SHAPES, ModelShape, kv_bytes, prefill_flops


def test_it_equals_the_tensors(model, prompt):
    with create_method("fullkv").attach(model) as run:
        model(prompt)
    assert run.kv_bytes == kv_bytes(
        ModelShape.of(model.config), prompt.shape[1], torch.float32.itemsize
    )


def test_qwen3_takes_114688_bytes_a_token():
    assert kv_bytes(SHAPES["Qwen3-0.6B"], 1) == 114_688


@pytest.mark.parametrize(
    "name, parameters, of_a_token",
    [
        ("SmolLM2-135M", 134_515_008, 23_040),
        ("Qwen3-0.6B", 596_049_920, 114_688),
        ("Qwen3-1.7B", 1_720_574_976, 114_688),
        ("Llama-3.1-8B", 8_030_261_248, 131_072),
    ],
)
def test_published_configurations_have_the_published_sizes(name, parameters, of_a_token):
    """Parameters as the model's own weights count them, bytes of a token's cache in bfloat16."""
    shape = ModelShape.of(PUBLISHED[name]())
    assert (shape.parameters, kv_bytes(shape, 1)) == (parameters, of_a_token)


def test_smollm2_is_the_embedded_model():
    from kvbook import load_model

    lm = load_model()
    shape = SHAPES["SmolLM2-135M"]
    assert shape.parameters == sum(p.numel() for p in lm.model.parameters())
    assert kv_bytes(ModelShape.of(lm.model.config), 7) == kv_bytes(shape, 7)


@pytest.mark.parametrize("name, parameters", [("fullkv", {}), ("gemfilter", dict(budget=9))])
def test_prefill_flops_equal_the_counter_of_pytorch(model, prompt, name, parameters):
    """The counter does not know the CPU's fused attention: that part is counted by hand."""
    with (
        FlopCounterMode(display=False) as counter,
        create_method(name, **parameters).attach(model) as run,
    ):
        model(prompt, logits_to_keep=1)
    lengths = [read.shape[1] for read in run.layer_inputs]
    attended = lengths + [30] * max(0, run.filter_layers - 1)
    pairs = sum(sum(range(1, n + 1)) for n in attended)  # a query and a key it sees
    attention = pairs * 8 * 8 * 4  # heads, head size, two products of a multiply and an add
    counted = sum(
        n for op, n in counter.get_flop_counts()["Global"].items() if "aten.mm" in str(op)
    )
    assert prefill_flops(model.config, lengths, 30, run.filter_layers) == counted + attention
