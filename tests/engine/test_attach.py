"""The engine under transformers' own generate: laws, refusals, and what is left behind."""

import gc
import weakref
from dataclasses import dataclass

import pytest
import torch
from conftest import continue_greedily, left_pad, make_model, prompt_of
from transformers import (
    AttentionInterface,
    BertConfig,
    BertModel,
    DynamicCache,
    StoppingCriteriaList,
    TextStreamer,
)

from kvbook import create_method
from kvbook.engine.attach import attach
from kvbook.errors import UnsupportedError

METHODS = {
    "fullkv": {},
    "streamingllm": dict(budget=12),
    "snapkv": dict(budget=12, window=4),
}


@pytest.fixture(params=list(METHODS))
def method(request):
    return create_method(request.param, **METHODS[request.param])


# ---- laws ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [30, 31, 1000, 1.0])
@pytest.mark.parametrize("name", ["streamingllm", "snapkv"])
def test_a_budget_of_the_whole_prompt_is_the_model_alone(model, prompt, name, budget):
    expected, logits = continue_greedily(model, prompt)
    with create_method(name, budget=budget).attach(model):
        got, got_logits = continue_greedily(model, prompt)
    assert got == expected
    assert torch.allclose(got_logits, logits, atol=1e-4)


def test_fullkv_is_the_model_alone(model, prompt):
    expected, _ = continue_greedily(model, prompt)
    with create_method("fullkv").attach(model):
        assert continue_greedily(model, prompt)[0] == expected


def test_two_prompts_in_a_row_equal_two_fresh_runs(model, method):
    first, second = prompt_of(30, 1), prompt_of(25, 2)
    with method.attach(model) as run:
        continue_greedily(model, first)
        again = continue_greedily(model, second)
        kept = run.kept_positions
    with method.attach(model) as run:
        fresh = continue_greedily(model, second)
    assert again[0] == fresh[0]
    assert torch.equal(again[1], fresh[1])
    assert all(torch.equal(a, b) for a, b in zip(kept, run.kept_positions, strict=True))


@pytest.mark.parametrize("length", [1, 2, 3, 5])
@pytest.mark.parametrize("budget", [1, 2, 0.5])
@pytest.mark.parametrize("name", ["streamingllm", "snapkv"])
def test_short_prompts_and_small_budgets(llama, name, budget, length):
    with create_method(name, budget=budget).attach(llama) as run:
        tokens, logits = continue_greedily(llama, prompt_of(length), 5)
    expected = min(length, max(1, int(budget * length)) if isinstance(budget, float) else budget)
    assert [kept.shape[-1] for kept in run.kept_positions] == [expected] * 3
    assert len(tokens[0]) == 5 and logits.isfinite().all()


def test_chunked_reading_has_bounded_memory(llama):
    with create_method("streamingllm", budget=12, chunk=8).attach(llama) as run:
        llama(prompt_of(200))
    entry = run.kv_bytes // (12 * 3)
    assert run.kv_lengths == [12] * 3
    assert run.kv_bytes_peak <= entry * 3 * (12 + 8)


def test_rolling_stays_at_the_budget(llama, prompt):
    with create_method("streamingllm", budget=12).attach(llama) as run:
        continue_greedily(llama, prompt, 30)
    assert run.kv_lengths == [12] * 3


@pytest.mark.parametrize("name", ["snapkv", "h2o", "streamingllm"])
def test_bf16_and_f32_keep_nearly_the_same(prompt, name):
    """Scores are float32 in both; the queries and keys are rounded to three digits."""
    model, kept = make_model("llama"), []
    for dtype in (torch.float32, torch.bfloat16):
        with create_method(name, budget=12).attach(model.to(dtype)) as run:
            _, logits = continue_greedily(model, prompt)
        kept.append({tuple(one) for one in run.kept_positions[0][0].tolist()})
        assert logits.isfinite().all()
    shared = [len({*a} & {*b}) for a, b in zip(*map(sorted, kept), strict=True)]
    assert min(shared) >= (12 if name == "streamingllm" else 9)


def test_a_turn_counts_for_what_the_budget_is_held_against(llama):
    """A prompt that fits is not cut, until the turns after it are more than the budget."""
    with create_method("streamingllm", budget=33).attach(llama) as run:
        llama(prompt_of(30))
        assert (run.kv_lengths, run.decode_tokens) == ([30] * 3, 0)
        llama(prompt_of(9, 2), past_key_values=run.cache)
    assert (run.kv_lengths, run.decode_tokens) == ([33] * 3, 0)


def test_what_is_read_aside_counts_for_the_peak_and_not_for_the_time(llama):
    with create_method("fullkv").attach(llama) as run:
        llama(prompt_of(30))
        held, seconds = run.kv_bytes, run.prefill_seconds
        with run.aside():
            llama(prompt_of(60))
    assert (run.kv_bytes, run.kv_bytes_peak) == (held, 3 * held)
    assert run.prefill_seconds == seconds


# ---- generate -----------------------------------------------------------------------------------------------


def test_sampling_is_the_model_alone_with_the_same_seed(llama, prompt):
    def sample():
        torch.manual_seed(3)
        return llama.generate(
            prompt, max_new_tokens=20, do_sample=True, top_k=10, num_return_sequences=3
        )

    expected = sample()
    with create_method("snapkv", budget=30).attach(llama):
        assert torch.equal(sample(), expected)


def test_num_return_sequences_keep_the_same(llama, prompt, method):
    with method.attach(llama) as run:
        out = llama.generate(prompt, max_new_tokens=4, do_sample=True, num_return_sequences=3)
    assert out.shape[0] == 3
    assert all((kept == kept[:1]).all() for kept in run.kept_positions)


def test_streamer_and_stopping_criteria(llama, prompt, method):
    class Streamer(TextStreamer):
        def __init__(self):
            self.seen = []

        def put(self, value):
            self.seen.append(value)

        def end(self):
            self.seen.append("end")

    streamer = Streamer()
    stop = StoppingCriteriaList([lambda ids, scores, **_: torch.tensor([ids.shape[1] >= 35])])
    with method.attach(llama):
        out = llama.generate(
            prompt, max_new_tokens=50, do_sample=False, streamer=streamer, stopping_criteria=stop
        )
    assert out.shape[1] == 35
    assert len(streamer.seen) == 7 and streamer.seen[-1] == "end"


def test_beam_search_works_with_fullkv(llama, prompt):
    expected = llama.generate(prompt, max_new_tokens=8, num_beams=3)
    with create_method("fullkv").attach(llama):
        assert torch.equal(llama.generate(prompt, max_new_tokens=8, num_beams=3), expected)


def test_an_empty_cache_of_the_callers_is_filled(llama, prompt, method):
    cache = DynamicCache(config=llama.config)
    with method.attach(llama) as run:
        llama.generate(prompt, max_new_tokens=2, past_key_values=cache)
        assert [layer.entries for layer in cache.layers] == run.kv_lengths


def test_the_next_turn_through_generate(llama, prompt, method):
    """generate slices the turn by the logical length, and the turn is not taken for a prefill."""
    with method.attach(llama) as run:
        first = llama.generate(prompt, max_new_tokens=4, return_dict_in_generate=True)
        kept = run.kept_positions
        turn = torch.cat((first.sequences, prompt_of(6, 8)), 1)
        second = llama.generate(turn, max_new_tokens=4, past_key_values=first.past_key_values)
    assert second.shape[1] == 30 + 4 + 6 + 4
    assert run.kept_positions is kept
    lengths = {"fullkv": 30 + 3 + 7 + 3, "streamingllm": 12, "snapkv": 12 + 3 + 7 + 3}
    assert run.kv_lengths == [lengths[method.name]] * 3


# ---- the run record -----------------------------------------------------------------------------------------


def test_the_record_counts_real_bytes_and_tokens(llama, prompt, method):
    with method.attach(llama) as run:
        continue_greedily(llama, prompt, 5)
    layers = run.cache.layers
    assert run.kv_bytes == sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    assert run.kv_bytes == sum(2 * 2 * 8 * 4 * length for length in run.kv_lengths)
    assert run.kv_bytes_peak >= run.kv_bytes
    assert run.decode_tokens == 4
    assert run.prefill_seconds > 0 and run.decode_seconds > 0


def test_kept_positions_have_a_row_a_kv_head(llama, prompt, method):
    with method.attach(llama) as run:
        llama(prompt)
    for kept in run.kept_positions:
        assert kept.dtype == torch.long
        assert kept.shape[:2] == (1, 2)
        assert (kept.diff(dim=-1) > 0).all()


def test_entries_are_freed_layer_by_layer_during_the_prefill(llama, prompt):
    """When the last layer attends, the full keys of the layers before it are gone."""
    alive, counts = [], []
    run = None

    def note(module, args, output):
        gc.collect()
        counts.append(sum(ref() is not None for ref in alive))
        alive.append(weakref.ref(module.given))
        del module.given

    def remember(module, args, kwargs):
        original = kwargs["past_key_values"].layers[module.layer_idx]
        update = original.update

        def seen(k, v, **more):
            module.given = k
            return update(k, v, **more)

        original.update = seen

    attentions = [layer.self_attn for layer in llama.model.layers]
    handles = [a.register_forward_pre_hook(remember, with_kwargs=True) for a in attentions]
    handles += [a.register_forward_hook(note) for a in attentions]
    try:
        with create_method("snapkv", budget=4, window=2).attach(llama) as run:
            llama(prompt)
    finally:
        for handle in handles:
            handle.remove()
    assert counts == [0, 0, 0]
    assert run.kv_bytes_peak <= (30 + 2 * 4) * 2 * 2 * 8 * 4


# ---- what the engine offers to methods that cut more ----------------------------------------------------------


@dataclass(frozen=True)
class HalfAfterFirst:
    """Passes on the second half of the tokens after layer 0."""

    name = "half"

    def pass_on(self, seen):
        n = seen.entries
        return torch.arange(n // 2, n) if seen.layer == 0 else None


@dataclass(frozen=True)
class LastThree:
    """Reads only the last three tokens, chosen at layer 1."""

    name = "three"

    def first_pass(self, layers, prompt_length):
        return 1

    def choose(self, seen):
        return torch.arange(seen.entries - 3, seen.entries)


@dataclass(frozen=True)
class LeastAttended:
    """Drops the least attended entry after every token."""

    name = "least"
    column_sums = True

    def evict(self, seen):
        received = seen.column_sums.view(2, -1, seen.entries).sum(1)
        return received.topk(seen.entries - 1).indices.sort().values


def test_passing_on_fewer_tokens_gives_layers_of_unequal_lengths(model, prompt):
    with attach(HalfAfterFirst(), model) as run:
        tokens, _ = continue_greedily(model, prompt, 3)
    assert run.kv_lengths == [32, 17, 17]
    assert run.kept_positions[1][0, 0].tolist() == list(range(15, 30))


def test_passed_on_tokens_keep_their_positions_and_values(model, prompt):
    """Layer 1 sees the same hidden states at the same positions, so its keys are those of the full run."""
    with attach(HalfAfterFirst(), model) as run:
        model(prompt)
        cut = run.cache.layers[1].keys
    with create_method("fullkv").attach(model) as full:
        model(prompt)
    assert torch.allclose(cut, full.cache.layers[1].keys[:, :, 15:], atol=1e-5)


def test_a_first_pass_reads_the_chosen_tokens_at_their_own_positions(model, prompt):
    expected, logits = continue_greedily(model, prompt[:, -3:], 6)
    with attach(LastThree(), model) as run:
        got, got_logits = continue_greedily(model, prompt, 6)
    assert got == expected
    assert torch.allclose(got_logits, logits, atol=1e-4)
    assert run.kept_positions[0][0, 0].tolist() == [27, 28, 29]


def test_evicting_by_attention_received(model, prompt):
    with attach(LeastAttended(), model) as run:
        continue_greedily(model, prompt, 6)
    assert run.kv_lengths == [30] * 3


@pytest.mark.parametrize(
    "toy", [HalfAfterFirst(), LastThree(), LeastAttended()], ids=lambda toy: toy.name
)
def test_cuts_work_in_padded_batches(model, toy):
    rows = [prompt_of(30, 1), prompt_of(9, 2)]
    ids, mask = left_pad(rows)
    with attach(toy, model):
        together, logits = continue_greedily(model, ids, 6, attention_mask=mask)
    for i, row in enumerate(rows):
        with attach(toy, model):
            alone, alone_logits = continue_greedily(model, row, 6)
        assert together[i] == alone[0]
        assert torch.allclose(logits[:, i], alone_logits[:, 0], atol=2e-4)


# ---- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kwargs, says",
    [
        (dict(num_beams=2), "beam_search"),
        (dict(prompt_lookup_num_tokens=2), "assisted_generation"),
        (dict(use_cache=False), "use_cache=False"),
        (dict(cache_implementation="static"), "cache_implementation='static'"),
        (dict(prefill_chunk_size=8), "prefill_chunk_size"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(llama, prompt, kwargs, says):
    with create_method("snapkv", budget=12).attach(llama) as run:
        with pytest.raises(UnsupportedError, match=says):
            llama.generate(prompt, max_new_tokens=4, **kwargs)
        assert run.kv_bytes == 0


@pytest.mark.parametrize(
    "kwargs, says",
    [
        (dict(output_attentions=True), "output_attentions"),
        (dict(position_ids=torch.arange(30)[None] * 2), "position_ids of your own"),
        (dict(attention_mask=torch.ones(1, 1, 30, 30)), "attention_mask must be"),
        (dict(attention_mask=torch.ones(1, 20)), "does not cover the 30 new tokens"),
        (dict(attention_mask=torch.zeros(1, 30)), "a prompt of the batch is empty"),
    ],
)
def test_a_call_that_would_be_read_wrongly_is_refused(llama, prompt, kwargs, says):
    with create_method("snapkv", budget=9).attach(llama):
        with pytest.raises(UnsupportedError, match=says):
            llama(prompt, **kwargs)


def test_an_unknown_architecture_is_refused_by_name():
    shape = dict(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        vocab_size=20,
    )
    model = BertModel(BertConfig(**shape))
    with (
        pytest.raises(UnsupportedError, match="'bert'.*llama, qwen2, qwen3, mistral"),
        attach(HalfAfterFirst(), model),
    ):
        pass


@pytest.mark.parametrize(
    "family, changes",
    [
        ("mistral", dict(sliding_window=16)),
        ("qwen2", dict(use_sliding_window=True, sliding_window=16, max_window_layers=1)),
    ],
)
def test_sliding_window_layers_are_refused(family, changes):
    model = make_model(family, **changes)
    with (
        pytest.raises(UnsupportedError, match="sliding-window"),
        create_method("fullkv").attach(model),
    ):
        pass


def test_right_padding_is_refused(llama, prompt):
    mask = torch.ones_like(prompt)
    mask[:, -3:] = 0
    with create_method("fullkv").attach(llama), pytest.raises(UnsupportedError, match="left"):
        llama(prompt, attention_mask=mask)


def test_a_second_attach_is_refused(llama):
    with create_method("fullkv").attach(llama), pytest.raises(UnsupportedError, match="already"):
        with create_method("fullkv").attach(llama):
            pass


@pytest.mark.parametrize("name", ["streamingllm", "summarykv"])
def test_a_cache_of_the_callers_goes_on_as_our_own_does(llama, prompt, name):
    """A loop of the caller's own, with the cache that the caller made."""
    logits = []
    for mine in (None, DynamicCache()):
        with create_method(name, budget=8).attach(llama) as run:
            llama(prompt, past_key_values=mine)
            for token in range(1, 5):
                given = mine if mine is not None else run.cache
                out = llama(torch.tensor([[token]]), past_key_values=given)
            logits.append(out.logits)
    torch.testing.assert_close(*logits)


def test_a_cache_of_another_kind_is_refused(llama, prompt):
    with create_method("fullkv").attach(llama):
        with pytest.raises(UnsupportedError, match="past_key_values is a tuple"):
            llama(prompt, past_key_values=((torch.zeros(1), torch.zeros(1)),))


def test_a_foreign_cache_is_refused(llama, prompt):
    cache = llama(prompt).past_key_values
    with (
        create_method("fullkv").attach(llama),
        pytest.raises(UnsupportedError, match="past_key_values"),
    ):
        llama(prompt, past_key_values=cache)


def test_rope_that_changes_with_length_cannot_be_moved():
    rope = dict(rope_type="dynamic", factor=2.0, rope_theta=10000.0)
    model = make_model("llama", rope_parameters=rope)
    with (
        pytest.raises(UnsupportedError, match="original"),
        create_method("streamingllm", budget=9).attach(model),
    ):
        pass


# ---- what is left behind ------------------------------------------------------------------------------------


def traces(model):
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    return (
        sum(hooks),
        model.config._attn_implementation,
        sorted(AttentionInterface._global_mapping),
        "generate" in vars(model),
    )


@pytest.mark.parametrize("raises", [False, True])
def test_nothing_outlives_attach(llama, prompt, method, raises):
    before, grad = traces(llama), torch.is_grad_enabled()
    try:
        with method.attach(llama):
            llama.generate(prompt, max_new_tokens=2)
            if raises:
                llama(prompt, attention_mask=torch.ones(1, 2, 3, 4))
    except UnsupportedError:
        assert raises
    assert traces(llama) == before
    assert torch.is_grad_enabled() == grad


def test_an_error_in_the_middle_leaves_a_usable_run(llama, prompt):
    method = create_method("snapkv", budget=12, window=4)
    with method.attach(llama):
        expected, _ = continue_greedily(llama, prompt)
    with method.attach(llama):
        with pytest.raises(IndexError):
            llama(torch.full((1, 8), 10_000))
        assert continue_greedily(llama, prompt)[0] == expected


def test_a_cache_cannot_be_used_after_its_block(llama, prompt):
    with create_method("fullkv").attach(llama) as run:
        llama(prompt)
    with pytest.raises(RuntimeError, match="has ended"):
        llama(prompt, past_key_values=run.cache)
