"""The record, the state behind it, and what a method may do aside."""

import gc
import weakref

import pytest
import torch
from conftest import continue_greedily, prompt_of
from transformers import StoppingCriteria

from kvbook import Panel, create_method
from kvbook.engine.state import PromptState


def test_a_snapshot_is_a_copy_of_the_state(llama, prompt):
    """What happens after it, and after going back to it, does not touch it."""
    with create_method("streamingllm", budget=12).attach(llama) as run:
        llama(prompt)
        taken = run.snapshot()
        answers = []
        for _ in range(2):
            run.restore(taken)
            out = llama(prompt_of(4, 2), past_key_values=run.cache)
            answers.append((out.logits, run.kv_lengths, run.tokens_seen))
    assert isinstance(taken, PromptState)
    assert taken.read_lengths == [30] and taken.cache is not run.cache
    (first, *_), (second, *_) = answers
    assert torch.equal(first, second) and answers[0][1:] == answers[1][1:] == ([12] * 3, 34)


def test_what_a_method_writes_after_a_snapshot_is_not_in_it(llama, prompt):
    """StreamingLLM turns the keys of its sinks at every token."""
    with create_method("streamingllm", budget=12).attach(llama) as run:
        continue_greedily(llama, prompt, 2)
        taken = run.snapshot()
        before = [layer.keys.clone() for layer in taken.cache.layers]
        for token in (3, 4):
            llama(torch.tensor([[token]]), past_key_values=run.cache)
    assert all(
        torch.equal(layer.keys, keys)
        for layer, keys in zip(taken.cache.layers, before, strict=True)
    )


def test_no_call_of_the_model_is_left_in_the_state(llama, prompt):
    with create_method("snapkv", budget=12).attach(llama) as run:
        continue_greedily(llama, prompt, 2)
        assert run.state.forward is None
        llama.model(prompt)  # without the head
        assert run.state.forward is None


def test_the_stack_alone_is_read_and_not_timed(llama, prompt):
    with create_method("snapkv", budget=12).attach(llama) as run:
        llama.model(prompt)
    assert run.kv_lengths == [12] * 3 and run.prefill_seconds == 0


def test_before_the_first_prompt_the_record_is_empty(llama):
    with create_method("fullkv").attach(llama) as run:
        assert (run.kv_lengths, run.kv_bytes, run.kept_positions) == ([0] * 3, 0, [])


def test_positions_of_a_first_pass_are_those_of_the_prompt():
    state = PromptState(chosen=torch.tensor([[3, 5, 9], [-1, 2, 4]]))
    cached = torch.tensor([[[0, 1, 2]], [[-1, 0, 1]]])
    assert state.in_prompt(cached).tolist() == [[[3, 5, 9]], [[-1, 2, 4]]]


def test_something_aside_that_fails_leaves_the_run_as_it_was(llama, prompt):
    with create_method("snapkv", budget=12).attach(llama) as run:
        llama(prompt)
        state, method = run.state, run.method
        try:
            with run.aside(create_method("fullkv")):
                llama(prompt_of(5))
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        assert run.state is state and run.method is method


@pytest.mark.parametrize("panel", [False, True], ids=["alone", "panel"])
def test_a_caches_memory_is_free_as_soon_as_nobody_holds_the_run(llama, panel):
    """Not some time later, when Python looks for circles: on a GPU that may be too late."""
    methods = [create_method("fullkv"), create_method("summarykv", budget=40, segment=8)]
    ids = prompt_of(30)
    gc.collect()
    gc.disable()
    try:
        for method in methods:
            with (Panel([method, method]) if panel else method).attach(llama) as run:
                llama(ids.repeat(2, 1) if panel else ids)
            keys = weakref.ref((run.rows[0] if panel else run).cache.layers[0])
            del run
            assert keys() is None, method
    finally:
        gc.enable()


def test_one_token_read_aside_under_generate_is_a_prompt_of_its_own(llama):
    seen = []

    class Reads(StoppingCriteria):
        def __call__(self, input_ids, scores, **kwargs):
            with run.aside():
                seen.append(llama(torch.tensor([[7]])).logits[0, -1].argmax().item())
            return torch.zeros(len(input_ids), dtype=torch.bool)

    with create_method("fullkv").attach(llama) as run:
        llama.generate(prompt_of(9), max_new_tokens=4, stopping_criteria=[Reads()])
    assert seen == [llama(torch.tensor([[7]])).logits[0, -1].argmax().item()] * 4
