"""Every argument of transformers' ``generate`` and of a forward: it works, or it is refused by name
before anything runs. A newer transformers with another argument fails here until it is tried."""

import inspect

import pytest
import torch
from conftest import prompt_of
from transformers import GenerationConfig, LlamaForCausalLM
from transformers.utils.generic import TransformersKwargs

from kvbook import create_method
from kvbook.errors import UnsupportedError

SAMPLED = {
    "do_sample": True,
    "temperature": 0.7,
    "top_k": 5,
    "top_p": 0.5,
    "min_p": 0.1,
    "typical_p": 0.5,
    "top_h": 0.5,
    "epsilon_cutoff": 0.01,
    "eta_cutoff": 0.01,
}
WORKS = {
    "max_length": 36,
    "max_new_tokens": 4,
    "max_time": 60.0,
    "min_length": 34,
    "min_new_tokens": 3,
    "eos_token_id": 33,
    "pad_token_id": 0,
    "repetition_penalty": 5.0,
    "encoder_repetition_penalty": 2.0,
    "no_repeat_ngram_size": 2,
    "encoder_no_repeat_ngram_size": 2,
    "bad_words_ids": [[1]],
    "suppress_tokens": [1],
    "begin_suppress_tokens": [1],
    "sequence_bias": [[[5], 9.0]],
    "forced_eos_token_id": 5,
    "exponential_decay_length_penalty": (2, 1.5),
    "remove_invalid_values": True,
    "renormalize_logits": True,
    "num_beams": 3,
    "num_return_sequences": 1,
    "length_penalty": 2.0,
    "early_stopping": True,
    "use_cache": True,
}
REFUSED = {
    "num_beams": ({"num_beams": 2}, "beam_search"),
    "prompt_lookup_num_tokens": ({}, "assisted_generation"),
    "assistant_early_exit": ({}, "assisted_generation"),
    "penalty_alpha": ({"penalty_alpha": 0.6, "top_k": 4}, "contrastive_search"),
    "dola_layers": ({"dola_layers": "low"}, "dola_generation"),
    "force_words_ids": ({"force_words_ids": [[5]], "num_beams": 2}, "constrained_beam_search"),
    "constraints": ({"constraints": [object()], "num_beams": 2}, "constrained_beam_search"),
    "num_beam_groups": ({"num_beam_groups": 2, "num_beams": 2}, "group_beam_search"),
    "use_cache": ({"use_cache": False}, "use_cache=False"),
    "cache_implementation": ({"cache_implementation": "static"}, "cache_implementation='static'"),
    "prefill_chunk_size": ({"prefill_chunk_size": 8}, "prefill_chunk_size"),
    "guidance_scale": ({"guidance_scale": 1.5}, "guidance_scale=1.5"),
    "is_assistant": ({"is_assistant": True}, "assistant"),
    "use_mtp": ({"use_mtp": True}, "assisted_generation"),
    "speculation_type": ({"speculation_type": "mtp"}, "speculation_type='mtp'"),
    "output_attentions": ({"output_attentions": True}, "output_attentions"),
}
SHAPE_THE_ANSWER_ONLY = {"return_dict_in_generate", "output_scores", "output_logits", "output_hidden_states"}  # fmt: skip
NOT_READ_HERE = {
    "_from_model_config", "transformers_version", "bos_token_id", "decoder_start_token_id", "forced_bos_token_id",
    "assistant_confidence_threshold", "assistant_ensemble_weight", "assistant_lookbehind", "target_lookbehind",
    "num_assistant_tokens", "num_assistant_tokens_schedule", "max_matching_ngram_size",  # without an assistant
    "cache_config", "max_cache_len", "compile_config", "disable_compile", "continuous_batching_config",  # of other caches
    "diversity_penalty", "low_memory",  # of searches that are refused
    "stop_strings", "token_healing", "watermarking_config",  # of words, and of logits
}  # fmt: skip


def test_every_argument_of_generate_is_in_a_table():
    known = {*SAMPLED, *WORKS, *REFUSED} | SHAPE_THE_ANSWER_ONLY | NOT_READ_HERE
    assert set(GenerationConfig().to_dict()) <= known


@pytest.mark.parametrize("name", {**WORKS, **SAMPLED})
def test_it_works_as_without_us(llama, prompt, name):
    options = {"max_new_tokens": 6} if name != "max_length" else {}
    options |= {"eos_token_id": 33} if name.startswith("exponential") else {}
    options |= {name: (WORKS | SAMPLED)[name], "do_sample": name in SAMPLED}

    def answer():
        torch.manual_seed(1)
        return llama.generate(prompt, **options).tolist()

    expected = answer()
    with create_method("fullkv").attach(llama):
        assert answer() == expected


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_before_anything_runs(llama, prompt, name):
    options, says = REFUSED[name]
    options = options or {name: 2}
    with create_method("snapkv", budget=12).attach(llama) as run:
        with pytest.raises(UnsupportedError, match=says):
            llama.generate(prompt, max_new_tokens=4, **options)
        assert run.kv_bytes == 0 and run.state.read_lengths == []


@pytest.mark.parametrize("name", sorted(SHAPE_THE_ANSWER_ONLY))
def test_what_shapes_the_answer_leaves_the_words_alone(llama, prompt, name):
    plain = llama.generate(prompt, max_new_tokens=4, do_sample=False)
    options = {name: True, "return_dict_in_generate": True}
    with create_method("fullkv").attach(llama):
        out = llama.generate(prompt, max_new_tokens=4, do_sample=False, **options)
    assert torch.equal(out.sequences, plain)


def test_another_loop_and_an_attached_assistant_are_refused(llama, prompt):
    from conftest import make_model

    with create_method("fullkv").attach(llama) as run:
        with pytest.raises(UnsupportedError, match="custom_generate"):
            llama.generate(prompt, custom_generate=lambda *args, **kwargs: None)
        with pytest.raises(UnsupportedError, match="assistant of another"):
            make_model("llama").generate(prompt, assistant_model=llama, max_new_tokens=4)
        assert run.kv_bytes == 0


# ---- a forward ----------------------------------------------------------------------------------

N = 30
FORWARD_WORKS = {
    "attention_mask": {"attention_mask": torch.ones(1, N, dtype=torch.long)},
    "position_ids": {"position_ids": torch.arange(N)[None]},
    "labels": {"labels": prompt_of(N)},
    "num_items_in_batch": {"labels": prompt_of(N), "num_items_in_batch": torch.tensor(7)},
    "use_cache": {"use_cache": True},
    "logits_to_keep": {"logits_to_keep": 5},
    "output_hidden_states": {"output_hidden_states": True},
    "is_causal": {"is_causal": True},
}
FORWARD_REFUSED = {
    "position_ids": ({"position_ids": torch.arange(N)[None] * 2}, "position_ids of your own"),
    "attention_mask": ({"attention_mask": torch.ones(1, 1, N, N)}, "attention_mask must be"),
    "past_key_values": ({"past_key_values": ((torch.zeros(1),),)}, "past_key_values is a tuple"),
    "inputs_embeds": ({"inputs_embeds": torch.zeros(1, N, 32)}, "either input_ids or"),
    "use_cache": ({"use_cache": False}, "use_cache=False"),
    "output_attentions": ({"output_attentions": True}, "output_attentions"),
    "is_causal": ({"is_causal": False}, "is_causal=False"),
    "cu_seq_lens_q": ({"cu_seq_lens_q": torch.tensor([0, 9, N])}, "cu_seq_lens_q: several"),
    "cu_seq_lens_k": ({"cu_seq_lens_k": torch.tensor([0, 9, N])}, "cu_seq_lens_k: several"),
    "max_length_q": ({"max_length_q": 9}, "max_length_q: several"),
    "max_length_k": ({"max_length_k": 9}, "max_length_k: several"),
    "seq_idx": ({"seq_idx": torch.zeros(1, N)}, "seq_idx: several"),
}


def test_every_argument_of_a_forward_is_in_a_table():
    names = {
        *inspect.signature(LlamaForCausalLM.forward).parameters,
        *TransformersKwargs.__annotations__,
    }
    known = {*FORWARD_WORKS, *FORWARD_REFUSED, "self", "input_ids", "kwargs"}
    assert names <= known | {"output_router_logits"}  # of mixtures of experts


@pytest.mark.parametrize("name", FORWARD_WORKS)
def test_a_forward_works_as_without_us(llama, prompt, name):
    expected = llama(prompt, **FORWARD_WORKS[name])
    with create_method("fullkv").attach(llama):
        found = llama(prompt, **FORWARD_WORKS[name])
    for ours, plain in ((found.logits, expected.logits), (found.loss, expected.loss)):
        assert plain is None or torch.allclose(ours, plain, atol=1e-4)
    states = zip(found.hidden_states or (), expected.hidden_states or (), strict=True)
    assert all(torch.allclose(ours, plain, atol=1e-4) for ours, plain in states)


@pytest.mark.parametrize("name", FORWARD_REFUSED)
def test_a_forward_that_is_refused_leaves_the_run_as_it_was(llama, prompt, name):
    options, says = FORWARD_REFUSED[name]
    with create_method("snapkv", budget=12).attach(llama) as run:
        llama(prompt_of(9))
        state, cache = run.state, run.cache
        with pytest.raises(UnsupportedError, match=says):
            llama(prompt, **options)
        assert run.state is state and run.cache is cache and run.kv_lengths == [9] * 3
        assert run.state.forward is None


CUTTING = {
    "streamingllm": {"budget": 12, "chunk": 8},
    "pyramidinfer": {"min_length": 4},
    "gemfilter": {"budget": 12},
    "fastkv": {"budget": 12, "window": 4},
}


@pytest.mark.parametrize("asked", [{"labels": prompt_of(N)}, {"logits_to_keep": 5}, {"logits_to_keep": torch.tensor([3])}, {"output_hidden_states": True}], ids=str)  # fmt: skip
@pytest.mark.parametrize("name", CUTTING)
def test_no_output_for_tokens_that_were_not_read_by_all_layers(llama, prompt, name, asked):
    with create_method(name, **CUTTING[name]).attach(llama) as run:
        with pytest.raises(UnsupportedError, match=f"{next(iter(asked))}: {name}"):
            llama(prompt, **asked)
        assert run.kv_bytes == 0


def test_arguments_without_their_names_are_looked_at_too(llama, prompt):
    with create_method("fastkv", budget=12, window=4).attach(llama) as run:
        with pytest.raises(UnsupportedError, match="labels: fastkv"):
            llama(prompt, None, None, None, None, prompt)
        with pytest.raises(UnsupportedError, match="past_key_values is a list"):
            llama.model(prompt, None, None, [])
        assert run.kv_bytes == 0


@pytest.mark.parametrize("name", ["snapkv", "h2o", "streamingllm"])
def test_the_loss_of_a_prompt_that_all_layers_read_whole_is_the_models(llama, prompt, name):
    expected = llama(prompt, labels=prompt).loss
    with create_method(name, budget=12).attach(llama):
        assert torch.allclose(llama(prompt, labels=prompt).loss, expected, atol=1e-5)


def test_a_call_that_is_refused_is_not_counted(llama, prompt):
    with create_method("snapkv", budget=12).attach(llama) as run:
        llama.generate(prompt, max_new_tokens=4, do_sample=False)
        before = (run.decode_tokens, run.decode_seconds, run.prefill_seconds)
        with pytest.raises(UnsupportedError):
            llama(prompt_of(1), past_key_values=run.cache, output_attentions=True)
        assert (run.decode_tokens, run.decode_seconds, run.prefill_seconds) == before


# ---- later inputs -------------------------------------------------------------------------------


def test_positions_of_your_own_in_a_later_turn_are_refused(llama, prompt):
    with create_method("fullkv").attach(llama) as run:
        llama(prompt)
        with pytest.raises(UnsupportedError, match="position_ids of your own"):
            llama(prompt_of(4), past_key_values=run.cache, position_ids=torch.arange(40, 44)[None])
        llama(prompt_of(4), past_key_values=run.cache, position_ids=torch.arange(30, 34)[None])
        assert run.kv_lengths == [34] * 3


def test_several_answers_to_one_later_turn_are_refused(llama, prompt):
    with create_method("snapkv", budget=12).attach(llama) as run:
        llama(prompt)
        both = torch.cat((prompt, prompt_of(4, 2)), 1)
        with pytest.raises(UnsupportedError, match="holds 1 sequence, and 3 come"):
            llama.generate(both, past_key_values=run.cache, do_sample=True, num_return_sequences=3, max_new_tokens=2)  # fmt: skip
        assert run.kv_lengths == [12] * 3
