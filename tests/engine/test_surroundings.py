"""The process and what is wrapped around a model: it works as transformers' own cache does there, or
it is refused by name; afterwards all is as it was."""

import threading

import pytest
import torch
from accelerate import cpu_offload
from conftest import FAMILIES, continue_greedily, make_model, prompt_of
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from transformers.generation.utils import DeferredStopCheck

from kvbook import create_method
from kvbook.errors import UnsupportedError
from kvbook.methods import METHODS, with_budget

OWN = {
    "snapkv": {"window": 4},
    "pyramidinfer": {"min_length": 4},
    "fastkv": {"window": 4},
    "summarykv": {"segment": 4, "sinks": 2, "summary_tokens": 2, "summarizer": "extractive"},
}
"""Beside the budget: so small that each method drops entries of these prompts."""


@pytest.fixture(params=METHODS)
def method(request):
    return with_budget(request.param, 12, **OWN.get(request.param, {}))


def two_turns(model, method, first_under=torch.no_grad):
    prompt, turn = prompt_of(30), prompt_of(5, 2)
    with method.attach(model) as run:
        with first_under():
            logits = model(prompt, past_key_values=None).logits[:, -1:].clone()
        logits = torch.cat((logits, model(turn, past_key_values=run.cache).logits[:, -1:]), 1)
        for token in (3, 4):
            out = model(torch.tensor([[token]]), past_key_values=run.cache).logits
            logits = torch.cat((logits, out), 1)
    return logits


def test_a_turn_in_inference_mode_and_the_next_one_outside(llama, method):
    expected = two_turns(llama, method)
    assert torch.equal(two_turns(llama, method, torch.inference_mode), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_another_default_dtype_changes_nothing(llama, method, dtype):
    expected = two_turns(llama, method)
    torch.set_default_dtype(dtype)
    try:
        assert torch.allclose(two_turns(llama, method), expected, atol=1e-5)
    finally:
        torch.set_default_dtype(torch.float32)


def test_weights_that_accelerate_keeps_elsewhere(llama, method):
    expected = two_turns(llama, method)
    assert torch.allclose(two_turns(cpu_offload(make_model("llama"), "cpu"), method), expected)


def test_peft_runs_the_model_inside(method):
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"])
    model = get_peft_model(make_model("llama"), lora)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight += 0.3
    merged = get_peft_model(make_model("llama"), lora)
    merged.load_state_dict(model.state_dict())
    merged = merged.merge_and_unload()
    with method.attach(merged):
        expected, _ = continue_greedily(merged, prompt_of(30), 5)
    with method.attach(model) as run:
        assert continue_greedily(model, prompt_of(30), 5)[0] == expected
    assert run.prefill_seconds > 0 and run.decode_tokens == 4


def test_an_adapter_that_writes_into_the_cache_is_refused():
    prefix = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    model = get_peft_model(make_model("llama"), prefix)
    with (
        pytest.raises(UnsupportedError, match="prefix tuning"),
        create_method("fullkv").attach(model),
    ):
        pass


@pytest.mark.parametrize("where", ["model", "in place", "layer"])
def test_a_compiled_model_is_refused(where):
    model = make_model("llama")
    if where == "model":
        model = torch.compile(model, backend="eager")
    elif where == "in place":
        model.compile(backend="eager")
    else:
        model.model.layers[1].compile(backend="eager")
    with pytest.raises(UnsupportedError, match="compiled"), create_method("fullkv").attach(model):
        pass


@pytest.mark.parametrize("what", ["gradient checkpointing", "attention_dropout=0.1"])
def test_training_mode_is_refused_where_it_changes_what_is_read(what):
    model = make_model("llama", attention_dropout=0.1 if "dropout" in what else 0.0)
    if "dropout" not in what:
        model.gradient_checkpointing_enable()
    with create_method("snapkv", budget=12).attach(model) as run:
        model(prompt_of(9))
        model.train()
        with pytest.raises(UnsupportedError, match=what):
            model(prompt_of(30))
        assert run.kv_lengths == [9] * 3
        model.eval()
        model(prompt_of(30))
        assert run.kv_lengths == [12] * 3


def test_a_model_of_the_same_configuration_object_is_left_alone(llama, prompt):
    cls, _, _ = FAMILIES["llama"]
    other = cls(llama.config).eval()
    expected = other(prompt).logits
    with create_method("snapkv", budget=12).attach(llama) as run:
        llama(prompt)
        with torch.no_grad():
            assert torch.equal(other(prompt).logits, expected)
        assert run.layer_inputs[0].shape == (1, 30) and other.config is not llama.config
    assert other.config is llama.config and llama.model.config is llama.config


def test_of_two_threads_that_attach_at_once_one_is_refused(llama):
    outcomes, both = [], threading.Barrier(2)

    def attach():
        both.wait()
        try:
            with create_method("fullkv").attach(llama):
                outcomes.append("attached")
                both.wait(timeout=10)
        except UnsupportedError:
            outcomes.append("refused")
            both.wait(timeout=10)

    threads = [threading.Thread(target=attach) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["attached", "refused"]


def test_two_models_in_two_threads_do_not_touch_each_other():
    models = [make_model("llama"), make_model("qwen3")]
    method, expected, found = create_method("h2o", budget=12), [], {}
    for model in models:
        expected.append(two_turns(model, method))

    def run(i):
        found[i] = two_turns(models[i], method)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[i], expected[i]) for i in range(2))


# ---- in the middle of a forward -----------------------------------------------------------------


class Stop(Exception):
    pass


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_after_an_interruption_gradients_are_on_and_the_cache_is_refused(llama, prompt, error):
    def stop(*_):
        raise error

    with create_method("snapkv", budget=12).attach(llama) as run:
        llama(prompt)
        before = run.snapshot()
        handle = llama.model.layers[1].register_forward_pre_hook(stop)
        with pytest.raises(error):
            llama(prompt_of(4), past_key_values=run.cache)
        handle.remove()
        assert torch.is_grad_enabled()
        with pytest.raises(UnsupportedError, match="interrupted.*restore"):
            llama(prompt_of(4), past_key_values=run.cache)
        run.restore(before)
        on = llama(prompt_of(4), past_key_values=run.cache).logits
        assert run.kv_lengths == [16] * 3
    assert llama(prompt_of(5), labels=prompt_of(5)).loss.requires_grad
    with create_method("snapkv", budget=12).attach(llama) as run:
        llama(prompt)
        assert torch.equal(llama(prompt_of(4), past_key_values=run.cache).logits, on)


def test_what_stood_in_front_of_the_model_stands_there_again(llama, prompt):
    """Another library's function in the instance, such as accelerate's."""
    model, plain = make_model("llama"), llama.generate
    model.generate = plain
    with create_method("fullkv").attach(model):
        assert model.generate is not plain
    assert vars(model)["generate"] is plain and "forward" not in vars(model)


def test_generate_never_reads_a_token_that_it_would_have_to_take_back(llama):
    """Where transformers defers its stop check it reads one more, and H2O would have evicted for it."""
    with create_method("h2o", budget=12).attach(llama) as run:
        out = llama.generate(prompt_of(20), max_new_tokens=4, return_dict_in_generate=True)
    returned = getattr(out.past_key_values, "_is_user_defined", False)
    assert run.cache is out.past_key_values and returned
    assert not DeferredStopCheck.is_supported(torch.device("mps"), run.cache, returned, False)
