"""Every function of `kvbook.engine.attention` against dense arithmetic."""

import pytest
import torch
import torch.nn.functional as F
from conftest import make_method
from torch.utils._python_dispatch import TorchDispatchMode

from kvbook.engine import padding
from kvbook.engine.attention import (
    SUM_BLOCK,
    attend,
    attend_and_sum,
    attention_rows,
    lower_right,
    received,
    rotate,
)

HEADS, KV_HEADS, DIM, SCALING = 6, 2, 8, 8**-0.5


def tensors(queries, entries, batch=2):
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(batch, HEADS, queries, DIM, generator=generator)
    k, v = (torch.randn(batch, KV_HEADS, entries, DIM, generator=generator) for _ in range(2))
    return q, k, v


def dense(q, k, v, valid):
    """Weights ``[batch, heads, queries, entries]`` and output, by one masked softmax."""
    k, v = (x.repeat_interleave(HEADS // KV_HEADS, 1) for x in (k, v))
    queries, entries = q.shape[2], k.shape[2]
    mask = torch.ones(queries, entries).tril(entries - queries).bool() & valid[:, None, None, :]
    weights = (q @ k.mT * SCALING).masked_fill(~mask, float("-inf")).softmax(-1)
    return weights, weights @ v


@pytest.mark.parametrize("queries, entries", [(1, 1), (1, 9), (5, 5), (3, 9)])
def test_attend_equals_dense(queries, entries):
    q, k, v = tensors(queries, entries)
    _, expected = dense(q, k, v, torch.ones(2, entries).bool())
    assert torch.allclose(attend(q, k, v, SCALING), expected, atol=1e-5)


def test_the_bias_that_a_gpu_is_given_for_a_later_input_is_the_same_attention():
    q, k, v = tensors(3, 9)
    mask = lower_right(3, 9)
    assert not mask.untyped_storage().nbytes()  # of a long prompt it would be gigabytes
    how = {"attn_mask": mask, "scale": SCALING, "enable_gqa": True}
    assert torch.allclose(
        F.scaled_dot_product_attention(q, k, v, **how), attend(q, k, v, SCALING), atol=1e-5
    )


PADDED = torch.tensor([[True] * 9, [False] * 4 + [True] * 5])


def test_one_query_ignores_padding():
    q, k, v = tensors(1, 9)
    _, expected = dense(q, k, v, PADDED)
    assert torch.allclose(attend(q, k, v, SCALING, PADDED), expected, atol=1e-5)


@pytest.mark.parametrize("function", [attend, attend_and_sum])
def test_several_queries_with_padding_are_refused(function):
    with pytest.raises(ValueError, match="each row for itself"):
        function(*tensors(2, 9), SCALING, PADDED)


def test_attention_rows_are_the_last_rows_of_the_matrix():
    q, k, v = tensors(9, 9, batch=1)
    weights, _ = dense(q, k, v, torch.ones(1, 9).bool())
    assert torch.allclose(
        attention_rows(q[0, :, -4:], k[0], SCALING), weights[0, :, -4:], atol=1e-6
    )


@pytest.mark.parametrize("queries, block", [(9, 2), (9, 256), (4, 3)])
def test_column_sums_equal_dense(queries, block):
    q, k, v = tensors(queries, 9)
    weights, expected = dense(q, k, v, torch.ones(2, 9).bool())
    output, sums = attend_and_sum(q, k, v, SCALING, block=block)
    assert torch.allclose(output, expected, atol=1e-5)
    assert torch.allclose(sums, weights.sum(2), atol=1e-5)


@pytest.mark.parametrize("queries", [1, 200])
def test_in_bfloat16_the_blocks_are_about_as_exact_as_the_fused_kernel(queries):
    """Scores rounded to bfloat16 would cost several times the error."""
    few = [one.bfloat16() for one in tensors(queries, 200)]
    _, expected = dense(*(one.double() for one in few), torch.ones(2, 200).bool())
    q, k, v = few
    fused = F.scaled_dot_product_attention(
        q, k, v, is_causal=queries > 1, scale=SCALING, enable_gqa=True
    )
    output, _ = attend_and_sum(q, k, v, SCALING)
    error, least = ((one.double() - expected).square().mean().sqrt() for one in (output, fused))
    assert error < 1.5 * least


def test_column_sums_add_up_to_the_queries():
    _, sums = attend_and_sum(*tensors(9, 9), SCALING, block=2)
    assert torch.allclose(sums.sum(-1), torch.full((2, HEADS), 9.0), atol=1e-4)


def test_the_sums_of_one_query_leave_padding_out():
    q, k, v = tensors(1, 9)
    weights, expected = dense(q, k, v, PADDED)
    output, sums = attend_and_sum(q, k, v, SCALING, PADDED)
    assert torch.allclose(output, expected, atol=1e-5)
    assert torch.allclose(sums, weights.sum(2), atol=1e-5)


def test_no_query_attends_to_nothing_and_pays_nothing():
    output, sums = attend_and_sum(*tensors(0, 9), SCALING)
    assert output.shape == (2, HEADS, 0, DIM) and (sums == 0).all()


def test_received_is_the_weighted_sum_of_the_last_rows():
    q, k, _ = tensors(9, 9, batch=1)
    rows = attention_rows(q[0, :, -5:], k[0], SCALING)
    weights = torch.linspace(1, 2, 5)
    assert torch.allclose(received(q[0, :, -5:], k[0], SCALING, block=2), rows.sum(1), atol=1e-5)
    weighted = (rows * weights[None, :, None]).sum(1)
    assert torch.allclose(received(q[0, :, -5:], k[0], SCALING, weights, 2), weighted, atol=1e-5)


@pytest.mark.parametrize(
    "entries, pads, new_pads", [(5, [0, 0], [0, 2]), (9, [0, 3], [0, 0]), (9, [1, 2], [2, 1])]
)
def test_rows_apart_attend_as_dense_arithmetic_without_padding(entries, pads, new_pads):
    q, k, v = tensors(5, entries)
    output, sums = padding.attend_apart(
        lambda *row: attend_and_sum(*row, SCALING), q, k, v, pads, new_pads
    )
    before = entries - 5
    for row, (pad, new) in enumerate(zip(pads, new_pads, strict=True)):
        real = [*range(pad, before), *range(before + new, entries)]
        mine = slice(row, row + 1)
        weights, expected = dense(
            q[mine, :, new:], k[mine][:, :, real], v[mine][:, :, real], torch.ones(1, len(real)) > 0
        )
        assert torch.allclose(output[mine, :, new:], expected, atol=1e-5)
        assert (output[row, :, :new] == 0).all()
        assert torch.allclose(sums[row], weights.sum(2), atol=1e-5)


class Largest(TorchDispatchMode):
    """Numbers in the largest tensor that was made."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, tuple) else (out,):
            if isinstance(one, torch.Tensor):
                self.numbers = max(self.numbers, one.numel())
        return out


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("h2o", dict(budget=16)),
        ("h2o_published", dict(budget=16)),
        ("pyramidinfer", dict(recent_ratio=0.5)),
        ("snapkv", dict(budget=300, window=256)),
    ],
    ids=str,
)
def test_no_method_builds_a_square_of_the_prompt(llama, name, parameters):
    tokens = 1000
    ids = torch.randint(1, 97, (1, tokens), generator=torch.Generator().manual_seed(0))
    with make_method(name, **parameters).attach(llama), Largest() as largest:
        llama(ids)
    assert largest.numbers <= 8 * SUM_BLOCK * tokens < 8 * tokens * tokens / 7


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("fullkv", {}),
        ("streamingllm", dict(budget=64)),
        ("streamingllm", dict(budget=64, chunk=512)),
        ("snapkv", dict(budget=64)),
        ("h2o", dict(budget=64)),
        ("pyramidinfer", dict(recent_ratio=0.1)),
        ("gemfilter", dict(budget=64)),
        ("fastkv", dict(budget=64)),
    ],
    ids=str,
)
def test_rows_of_unequal_lengths_and_a_later_turn_need_no_square_either(llama, name, parameters):
    tokens = 1500
    ids = torch.randint(1, 97, (2, 2 * tokens), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, :400] = 0
    with make_method(name, **parameters).attach(llama) as run, Largest() as largest:
        llama(ids[:, :tokens], attention_mask=mask[:, :tokens], logits_to_keep=1)
        llama(ids[:, tokens:], attention_mask=mask, past_key_values=run.cache, logits_to_keep=1)
    assert largest.numbers <= 8 * SUM_BLOCK * 2 * tokens < tokens * 2 * tokens


def test_rotating_keys_equals_rope_at_the_new_position(llama):
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    x = torch.randn(1, 2, 3, 8)
    rotary = llama.model.rotary_emb
    at = [
        apply_rotary_pos_emb(x, x, *rotary(x, torch.tensor([[p, p + 1, p + 2]])))[1]
        for p in (2, 13)
    ]
    assert torch.allclose(rotate(at[0], 11, rotary.inv_freq), at[1], atol=1e-5)


def test_scores_of_bfloat16_are_computed_in_float32():
    q, k, _ = (one[0].bfloat16() for one in tensors(40, 40))
    scores = attention_rows(q, k, SCALING)
    assert torch.allclose(scores, attention_rows(q.float(), k.float(), SCALING), atol=1e-6)


def test_a_far_rotation_is_as_exact_as_a_near_one():
    x, steps = tensors(1, 1)[0], 100_003
    frequencies = 1 / 10_000 ** (torch.arange(0, DIM, 2) / DIM)
    angle = steps * frequencies.double()
    a, b = x.double().chunk(2, -1)
    turned = torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)
    assert torch.allclose(rotate(x, steps, frequencies).double(), turned, atol=1e-5)
