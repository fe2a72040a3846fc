"""The bytes that a prefill leaves: they stay in the record while the answer is written."""

import pytest
import torch
from conftest import SHAPE, left_pad, prompt_of

from kvbook import Panel, create_method
from kvbook.methods import Quantized

METHODS = {
    "fullkv": create_method("fullkv"),
    "streamingllm": create_method("streamingllm", budget=9),
    "streamingllm in chunks": create_method("streamingllm", budget=9, chunk=7),
    "snapkv": create_method("snapkv", budget=12, window=4),
    "h2o": create_method("h2o", budget=12),
    "pyramidinfer": create_method("pyramidinfer", min_length=2),
    "gemfilter": create_method("gemfilter", budget=12),
    "fastkv": create_method("fastkv", budget=12, window=3),
    "summarykv": create_method(
        "summarykv", budget=16, segment=6, summary_tokens=4, summarizer="extractive"
    ),
    "quantized": Quantized(bits=2, group=8),
}
ENTRY = SHAPE["num_key_value_heads"] * SHAPE["head_dim"] * 2 * 4


def read_on(model, run):
    for token in prompt_of(20, 3)[0]:
        model(token.view(1, 1), past_key_values=run.cache)


@pytest.mark.parametrize("name", METHODS)
def test_it_is_what_is_held_after_the_prompt_and_stays(llama, prompt, name):
    with METHODS[name].attach(llama) as run:
        assert run.prompt_bytes == 0
        llama(prompt)
        left = run.kv_bytes
        assert run.prompt_bytes == left > 0
        read_on(llama, run)
        llama(prompt_of(5, 4), past_key_values=run.cache)
    assert run.prompt_bytes == left


@pytest.mark.parametrize("name", [name for name in METHODS if name != "quantized"])
def test_it_is_the_entries_that_the_prefill_left(llama, prompt, name):
    with METHODS[name].attach(llama) as run:
        llama(prompt)
        read_on(llama, run)
    assert run.prompt_bytes == sum(kept.shape[2] for kept in run.kept_positions) * ENTRY


def test_another_prompt_has_its_own(llama):
    with METHODS["fullkv"].attach(llama) as run:
        for length in (30, 11):
            llama(prompt_of(length))
            assert run.prompt_bytes == 3 * length * ENTRY


def test_of_a_batch_it_has_the_padding(llama):
    ids, mask = left_pad([prompt_of(30, 1), prompt_of(9, 2)])
    with METHODS["fullkv"].attach(llama) as run:
        llama(ids, attention_mask=mask)
    assert run.prompt_bytes == 2 * 3 * 30 * ENTRY


def test_every_row_of_a_panel_has_its_own(llama, prompt):
    panel = Panel(list(METHODS.values()))
    with panel.attach(llama) as run:
        llama(prompt.repeat(len(panel), 1), logits_to_keep=1)
        left = [row.kv_bytes for row in run.rows]
        for token in prompt_of(9, 3)[0]:
            llama(token.expand(len(panel), 1), past_key_values=run.cache)
    assert [row.prompt_bytes for row in run.rows] == left and len(set(left)) > 5


def test_it_goes_back_with_a_snapshot(llama, prompt):
    with METHODS["snapkv"].attach(llama) as run:
        llama(prompt)
        left, state = run.prompt_bytes, run.snapshot()
        llama(prompt_of(5))
        assert run.prompt_bytes != left
        run.restore(state)
        assert torch.equal(run.kept_positions[0], state.kept_positions[0])
        assert run.prompt_bytes == left
