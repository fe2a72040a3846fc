"""What a method keeps in fewer bits: the same entries, rounded as naive arithmetic rounds them."""

from math import gcd

import pytest
import torch
from conftest import SHAPE, continue_greedily, left_pad, prompt_of
from naive_quantized import NaiveQuantized

from kvbook import Panel, create_method
from kvbook.engine.packed import PackedLayer
from kvbook.errors import ParameterError, UnsupportedError
from kvbook.laws.naive_rules import NaiveFastKV, NaiveSnapKV
from kvbook.methods import METHODS, PublishedH2O, Quantized

LAYERS, KV_HEADS, DIM = (
    SHAPE[name] for name in ("num_hidden_layers", "num_key_value_heads", "head_dim")
)
INNER = {
    "fullkv": create_method("fullkv"),
    "streamingllm": create_method("streamingllm", budget=19, rolling=False),
    "snapkv": create_method("snapkv", budget=19, window=4),
    "h2o_published": PublishedH2O(budget=19),
    "pyramidinfer": create_method("pyramidinfer", min_length=2),
    "gemfilter": create_method("gemfilter", budget=18),
    "fastkv": create_method("fastkv", budget=12, window=3, tsp_length=21, tsp_layer=1),
}
POLICIES = {
    "fullkv": None,
    "snapkv": NaiveSnapKV(19, KV_HEADS, window=4),
    "fastkv": NaiveFastKV(12, KV_HEADS, tsp_layer=1, tsp_length=21, window=3),
}


def packed_bytes(entries, bits, group):
    """Of a layer of the tiny models, in float32: codes, two float16 a group, and the rest."""
    full, part = entries // group * group, gcd(group, DIM)
    keys = DIM * (full * bits / 8 + full / group * 4)
    values = full * (DIM * bits / 8 + DIM / part * 4)
    return KV_HEADS * (keys + values + 2 * (entries - full) * DIM * 4)


def read_on(model, run, count=6):
    """The logits of a later turn of five tokens, and of some more, one by one."""
    logits = [model(prompt_of(5, 9), past_key_values=run.cache).logits[0, -1]]
    for token in prompt_of(count, 7)[0]:
        logits.append(model(token.view(1, 1), past_key_values=run.cache).logits[0, -1])
    return torch.stack(logits)


# ---- what is kept, and what is read of it ----------------------------------------------------------


@pytest.mark.parametrize("name", INNER)
def test_it_keeps_what_the_method_inside_keeps(model, prompt, name):
    with INNER[name].attach(model) as inner:
        expected = model(prompt, logits_to_keep=1).logits
        read_on(model, inner)
    with Quantized(INNER[name], bits=2, group=8).attach(model) as run:
        assert model(prompt, logits_to_keep=1).logits.equal(expected)  # the prompt is read as it is
        read_on(model, run)
    for mine, its in zip(run.kept_positions, inner.kept_positions, strict=True):
        assert mine.equal(its)
    for mine, its in zip(run.layer_inputs, inner.layer_inputs, strict=True):
        assert mine.equal(its)
    assert run.kv_lengths == inner.kv_lengths and run.filter_layers == inner.filter_layers
    assert all(
        mine.positions.expand(-1, KV_HEADS, -1).equal(its.positions.expand(-1, KV_HEADS, -1))
        for mine, its in zip(run.cache.layers, inner.cache.layers, strict=True)
    )


@pytest.mark.parametrize("name, bits", [("fullkv", 2), ("fullkv", 4), ("fullkv", 8), ("snapkv", 4), ("fastkv", 2)])  # fmt: skip
def test_what_is_read_later_equals_naive(model, name, bits):
    """A turn and six tokens, over which one or two more groups fill."""
    prompt = prompt_of(22)
    naive = NaiveQuantized(model, POLICIES[name], bits=bits, group=8)
    first = naive.prompt(prompt[0].tolist())
    expected = [naive.forward(prompt_of(5, 9)[0].tolist(), None)]
    expected += [naive.more([token]) for token in prompt_of(6, 7)[0].tolist()]
    with Quantized(INNER[name], bits=bits, group=8).attach(model) as run:
        got_first = model(prompt, logits_to_keep=1).logits[0, -1]
        got = read_on(model, run)
    assert [kept[0].tolist() for kept in run.kept_positions] == naive.kept
    assert torch.allclose(got_first.double(), first, atol=2e-4)
    assert torch.allclose(got.double(), torch.stack(expected), atol=2e-4)


def test_fewer_bits_are_further_from_what_was_kept(model, prompt):
    logits = {}
    for bits in (None, 8, 4, 2):
        method = INNER["fullkv"] if bits is None else Quantized(bits=bits, group=8)
        with method.attach(model) as run:
            model(prompt)
            logits[bits] = read_on(model, run)
    apart = [(logits[bits] - logits[None]).abs().mean() for bits in (8, 4, 2)]
    assert 1e-3 < apart[0] < apart[1] / 4 < apart[2] / 8


def test_a_group_that_never_fills_rounds_nothing(model, prompt):
    with INNER["fullkv"].attach(model) as full:
        model(prompt)
        expected = read_on(model, full)
    with Quantized(bits=2, group=64).attach(model) as run:
        model(prompt)
        assert read_on(model, run).equal(expected)
    assert run.kv_bytes == full.kv_bytes


@pytest.mark.parametrize("name", INNER)
def test_what_is_generated_is_one_token_after_the_other(model, prompt, name):
    method = Quantized(INNER[name], bits=4, group=8)
    with method.attach(model):
        tokens, logits = continue_greedily(model, prompt, 12)
    with method.attach(model) as run:
        out = model(prompt, logits_to_keep=1).logits
        for token, expected in zip(tokens[0], logits, strict=True):
            assert out[:, -1].equal(expected)
            out = model(torch.tensor([[token]]), past_key_values=run.cache).logits


def test_two_prompts_in_a_row_equal_two_fresh_runs(llama):
    method, later = Quantized(INNER["snapkv"], bits=4, group=8), []
    with method.attach(llama) as run:
        llama(prompt_of(25, 5))
        read_on(llama, run)
        llama(prompt_of(30, 6))
        later.append(read_on(llama, run))
    with method.attach(llama) as fresh:
        llama(prompt_of(30, 6))
        later.append(read_on(llama, fresh))
    assert later[0].equal(later[1]) and run.kv_bytes == fresh.kv_bytes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_entries_come_back_in_the_models_own_type(dtype, prompt):
    from conftest import make_model

    model = make_model("llama").to(dtype)
    with Quantized(bits=4, group=8).attach(model) as run:
        model(prompt)
        assert read_on(model, run).isfinite().all()
        assert {layer.keys.dtype for layer in run.cache.layers} == {dtype}


# ---- bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [8, 16])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_bytes_are_those_of_the_codes_and_of_the_unpacked_rest(llama, prompt, bits, group):
    with Quantized(bits=bits, group=group).attach(llama) as run:
        llama(prompt)
        assert run.prompt_bytes == run.kv_bytes == LAYERS * packed_bytes(30, bits, group)
        llama(prompt_of(3), past_key_values=run.cache)
        assert run.kv_bytes == LAYERS * packed_bytes(33, bits, group)


@pytest.mark.parametrize("name", INNER)
def test_layers_that_keep_unlike_many_pack_their_own(model, prompt, name):
    with Quantized(INNER[name], bits=2, group=8).attach(model) as run:
        model(prompt)
        read_on(model, run)
    assert run.kv_bytes == sum(packed_bytes(entries, 2, 8) for entries in run.kv_lengths)


def test_only_one_layer_is_unpacked_at_a_time(llama, prompt):
    """The peak: one layer holds all unpacked beside its full groups, the others are packed."""
    with Quantized(bits=4, group=8).attach(llama) as run:
        llama(prompt)
        read_on(llama, run, count=5)
    whole = KV_HEADS * 2 * 40 * DIM * 4
    assert run.kv_lengths == [40] * LAYERS
    others = (LAYERS - 1) * packed_bytes(39, 4, 8)
    assert run.kv_bytes_peak == whole + packed_bytes(32, 4, 8) + others


# ---- several rows, and several states --------------------------------------------------------------


@pytest.mark.parametrize("lengths", [(9, 4), (1, 14)])
def test_every_row_of_a_panel_is_its_method_alone(llama, lengths):
    packed = [Quantized(one, bits=2, group=8) for one in INNER.values()]
    others = [create_method("streamingllm", budget=14), INNER["snapkv"], INNER["fullkv"]]
    panel = Panel([*packed, *others, Quantized(bits=8, group=16)])
    rows = len(panel)
    prompts, turns = [prompt_of(30, 1), prompt_of(21, 2)], [prompt_of(n, 7 + n) for n in lengths]
    ids, mask = stacked(prompts, rows)
    more, more_mask = stacked(turns, rows)
    with panel.attach(llama) as run:
        words, _ = continue_greedily(llama, ids, 9, attention_mask=mask)
        read = torch.cat((ids, torch.tensor(words)[:, :-1], more), 1)
        mask = torch.cat((mask, torch.ones(2 * rows, 8, dtype=torch.long), more_mask), 1)
        later, _ = continue_greedily(llama, read, 5, attention_mask=mask, past_key_values=run.cache)
    for row in range(2 * rows):
        which, method = row // rows, panel.methods[row % rows]
        with method.attach(llama) as alone:
            [said], _ = continue_greedily(llama, prompts[which], 9)
            whole = torch.cat((prompts[which], torch.tensor([said[:-1]]), turns[which]), 1)
            [said_later], _ = continue_greedily(llama, whole, 5, past_key_values=alone.cache)
        assert (words[row], later[row]) == (said, said_later), method
        same(run.rows[row], alone)


def stacked(prompts, rows):
    """Each prompt in so many rows, padded on the left, and the mask."""
    width = max(one.shape[1] for one in prompts)
    parts = []
    for one in prompts:
        room = width - one.shape[1], 0
        mask = torch.ones_like(one)
        parts.append([torch.nn.functional.pad(two, room).repeat(rows, 1) for two in (one, mask)])
    return [torch.cat(part) for part in zip(*parts, strict=True)]


def same(run, alone):
    for name in ("kv_lengths", "kv_bytes", "kv_bytes_peak", "prompt_bytes", "tokens_seen"):
        assert getattr(run, name) == getattr(alone, name), name
    for mine, its in zip(run.kept_positions, alone.kept_positions, strict=True):
        assert mine.equal(its)
    for mine, its in zip(run.cache.layers, alone.cache.layers, strict=True):
        assert mine.positions.equal(its.positions)


@pytest.mark.parametrize("name", ["fullkv", "snapkv", "fastkv"])
def test_a_snapshot_brings_everything_back_as_often_as_one_likes(llama, prompt, name):
    logits, held = [], []
    with Quantized(INNER[name], bits=2, group=8).attach(llama) as run:
        llama(prompt)
        state, before = run.snapshot(), (run.kv_bytes, run.kv_lengths)
        for _ in range(3):
            run.restore(state)
            assert (run.kv_bytes, run.kv_lengths) == before
            logits.append(read_on(llama, run, count=12))
            held.append((run.kv_bytes, run.kv_lengths))
    assert logits[0].equal(logits[1]) and logits[1].equal(logits[2])
    assert held[0] == held[1] == held[2] != before


def test_what_a_run_does_is_not_in_its_snapshot(llama, prompt):
    with Quantized(bits=2, group=8).attach(llama) as run:
        llama(prompt)
        state = run.snapshot()
        held = [(one.entries, one.nbytes, one.positions.clone()) for one in state.cache.layers]
        read_on(llama, run, count=12)
        run.restore(state)
        read_on(llama, run, count=20)
    for one, (entries, nbytes, positions) in zip(state.cache.layers, held, strict=True):
        assert (one.entries, one.nbytes) == (entries, nbytes) and one.positions.equal(positions)


def test_two_answers_to_one_snapshot_leave_each_other_alone(llama, prompt):
    """One goes on where the other has filled a group, and back."""
    with Quantized(bits=2, group=8).attach(llama) as run:
        llama(prompt)
        first = run.snapshot()
        read_on(llama, run, count=2)
        later = run.snapshot()
        on = read_on(llama, run, count=8)
        run.restore(first)
        read_on(llama, run, count=12)
        run.restore(later)
        assert read_on(llama, run, count=8).equal(on)


def test_rows_of_a_panel_go_on_from_one_snapshot(llama, prompt):
    panel = Panel([Quantized(bits=2, group=8), INNER["snapkv"]])
    with panel.attach(llama) as run:
        llama(prompt.repeat(2, 1))
        state = run.snapshot().pick([0, 1, 0, 1])
        later = []
        for _ in range(2):
            run.restore(state)
            out = llama(prompt_of(11, 4).repeat(4, 1), past_key_values=run.cache).logits[:, -1]
            later.append(out)
    assert later[0].equal(later[1]) and later[0][:2].allclose(later[0][2:])
    with panel.methods[0].attach(llama) as alone:
        llama(prompt)
        expected = llama(prompt_of(11, 4), past_key_values=alone.cache).logits[0, -1]
    assert torch.allclose(later[0][0], expected, atol=2e-4)


# ---- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        create_method("streamingllm", budget=9),
        create_method("streamingllm", budget=9, chunk=4),
        create_method("h2o", budget=9),
        create_method("summarykv", budget=40),
        create_method("pyramidinfer", generation=True),
        Quantized(),
    ],
    ids=str,
)
def test_a_method_that_changes_what_it_holds_is_refused_with_those_that_do_not(method):
    with pytest.raises(ParameterError, match=f"{method.name} changes what it holds.*snapkv"):
        Quantized(method)


@pytest.mark.parametrize("given", [None, 3, "snapkv", "snapvk"], ids=str)
def test_what_is_no_method_is_refused(given):
    with pytest.raises(ParameterError, match="give .*create_method"):
        Quantized(given)


@pytest.mark.parametrize("group", [4, 12, 63])
def test_a_group_that_does_not_fill_bytes_is_refused(group):
    with pytest.raises(ParameterError, match=f"group={group}: give a multiple of 8"):
        Quantized(group=group)


@pytest.mark.parametrize("given", [{"bits": 3}, {"bits": 16}, {"bits": "4"}])
def test_other_bits_are_refused(given):
    with pytest.raises(ValueError, match="2, 4 or 8"):
        Quantized(**given)


def test_a_batch_is_refused_and_nothing_is_lost(llama, prompt):
    with Quantized(group=8).attach(llama) as run:
        llama(prompt)
        with pytest.raises(UnsupportedError, match="rows of a Panel"):
            llama(prompt.repeat(2, 1))
        assert run.kv_lengths == [30] * LAYERS
        llama(prompt_of(1), past_key_values=run.cache)


@pytest.mark.parametrize("how", [{"num_beams": 2}, {"num_return_sequences": 2, "do_sample": True}])
def test_several_answers_at_once_are_refused(llama, prompt, how):
    with Quantized(group=8).attach(llama), pytest.raises(UnsupportedError, match="quantized"):
        llama.generate(prompt, max_new_tokens=2, **how)


def test_an_assistant_is_refused(llama, prompt):
    with Quantized(group=8).attach(llama), pytest.raises(UnsupportedError, match="quantized"):
        llama.generate(prompt, max_new_tokens=2, assistant_model=llama)


@pytest.mark.parametrize("name", ["fullkv", "snapkv"])
def test_words_that_are_packed_cannot_be_taken_back(llama, prompt, name):
    """FullKV alone can forget an answer that ended early; its groups cannot."""
    mask = torch.ones(1, 38, dtype=torch.long)
    mask[0, 31:33] = 0
    with Quantized(INNER[name], group=8).attach(llama) as run:
        llama(prompt)
        for token in prompt_of(3, 3)[0]:
            llama(token.view(1, 1), past_key_values=run.cache)
        before = run.kv_lengths, run.kv_bytes
        with pytest.raises(UnsupportedError, match="cannot be taken back"):
            llama(prompt_of(5, 4), attention_mask=mask, past_key_values=run.cache)
        assert (run.kv_lengths, run.kv_bytes) == before
        llama(prompt_of(5, 4), past_key_values=run.cache)


def test_what_the_method_inside_refuses_is_refused(llama):
    method = Quantized(create_method("fastkv", budget=9, tsp_layer=7))
    with pytest.raises(ParameterError, match="tsp_layer=7"), method.attach(llama):
        pass


# ---- the method itself -----------------------------------------------------------------------------


def test_it_is_not_one_of_the_methods_that_choose():
    assert "quantized" not in METHODS
    with pytest.raises(ParameterError, match="unknown method 'quantized'"):
        create_method("quantized")


def test_a_name_that_is_enough_is_the_method_inside():
    assert Quantized("fullkv") == Quantized() == Quantized(create_method("fullkv"))


def test_its_layers_are_packed_as_it_says(llama, prompt):
    with Quantized(bits=2, group=16).attach(llama) as run:
        llama(prompt)
    assert {(type(one), one.bits, one.group) for one in run.cache.layers} == {(PackedLayer, 2, 16)}


@pytest.mark.parametrize("hook", ["keep", "evict", "pass_on", "first_pass", "chunk", "budget"])
def test_it_has_the_hooks_of_the_method_inside_and_no_others(hook):
    for one in INNER.values():
        assert hasattr(Quantized(one), hook) == hasattr(one, hook)


def test_one_row_with_padding_is_refused(llama):
    ids, mask = left_pad([prompt_of(9)])
    ids, mask = torch.cat((ids[:, :2], ids), 1), torch.cat((0 * mask[:, :2], mask), 1)
    with Quantized(bits=4, group=8).attach(llama), pytest.raises(UnsupportedError, match="padding"):
        llama(ids, attention_mask=mask)
