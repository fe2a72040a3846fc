"""Attention as pure functions: the output, and what a method may measure on the way.

Shapes: ``q [batch, heads, queries, head_dim]``, ``k`` and ``v [batch, kv_heads, entries,
head_dim]``, all after RoPE. The queries are always the last of the entries, in order: entry
``entries - queries + i`` is query ``i`` itself. A group is the ``g = heads // kv_heads``
query heads that share a KV head (GQA). Everything measured is in float32.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.bias import CausalBias, CausalVariant

QUERY_BLOCK = 64
"""Queries per block when scores are built explicitly: few enough that the scores stay in the
processor's caches, and enough for full-speed products. Memory is then linear in the number of
entries."""
SUM_BLOCK = 128
"""Queries per block where the whole attention is built explicitly (`attend_and_sum`). There the
larger block saves time, because it makes fewer steps; the price is twice the memory."""
SMALL_MASK = 2**15
"""Queries times entries up to which a mask costs less time than blocks: a few tokens after many.
Measured in milliseconds per layer, with a mask and with blocks: 0.72 and 0.85 for 64 queries after
256 entries, 0.17 and 0.35 for 12 after 288 (one core of an AMD EPYC, bfloat16, SmolLM2's heads)."""


def fold(q: Tensor, kv_heads: int) -> Tensor:
    """Stack the queries of a group as rows of one product with their KV head.

    ``[batch, heads, queries, d] -> [batch, kv_heads, g * queries, d]``. So the keys need not be
    repeated for every query head of a group.
    """
    batch, heads, queries, dim = q.shape
    return q.reshape(batch, kv_heads, heads // kv_heads * queries, dim)


def attend(q: Tensor, k: Tensor, v: Tensor, scaling: float, valid: Tensor | None = None) -> Tensor:
    """Causal attention of the last ``queries`` entries over all entries. No mask of more than
    `SMALL_MASK` queries times entries is made, however long the prompt.

    Parameters
    ----------
    q, k, v : Tensor
        See the module's shapes.
    scaling : float
        Usually ``head_dim ** -0.5``.
    valid : BoolTensor [batch, entries], optional
        False for padding. Only with one query per row: rows of several queries are attended
        without their padding (`kvbook.engine.padding.attend_apart`).

    Returns
    -------
    Tensor [batch, heads, queries, head_dim]

    Raises
    ------
    ValueError
        ``valid`` is given with several queries.
    """
    batch, heads, queries, dim = q.shape
    kv_heads, entries = k.shape[1:3]
    if queries == 1:  # one decoded token sees all that is kept
        mask = None if valid is None else valid[:, None, None]
        out = F.scaled_dot_product_attention(fold(q, kv_heads), k, v, attn_mask=mask, scale=scaling)
        return out.reshape(batch, heads, queries, dim)
    _check_alone(valid)
    how = {"scale": scaling, "enable_gqa": heads != kv_heads}
    device, bfloat16 = q.device.type, q.dtype == torch.bfloat16
    if queries == entries and not (device == "cpu" and bfloat16):  # a prompt
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, **how)
    if queries and device == "cuda":  # behind what was read before: its fused kernels know that
        mask = lower_right(queries, entries)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, **how)
    if queries * entries <= SMALL_MASK:
        mask = torch.ones(queries, entries, dtype=torch.bool, device=q.device)
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask.tril(entries - queries), **how
        )
    # Two cases are left. Many queries after earlier entries, not on CUDA: a kernel would need a
    # large mask. A prompt in bfloat16 on the CPU: this is quicker than PyTorch's kernel, and about
    # as exact.
    return attend_and_sum(q, k, v, scaling)[0]


def lower_right(queries: int, entries: int) -> CausalBias:
    """The mask that tells the fused kernels that the queries are the last of the entries. It holds
    no numbers. torch's own ``causal_lower_right`` gives the same mask, but makes a tensor of
    queries times entries on the way."""
    bias = torch.Tensor.__new__(CausalBias)
    CausalBias.__init__(bias, CausalVariant.LOWER_RIGHT, queries, entries)
    return bias


def _check_alone(valid: Tensor | None) -> None:
    if valid is not None:
        raise ValueError("several queries a row have no padding: attend to each row for itself")


def attention_rows(q: Tensor, k: Tensor, scaling: float) -> Tensor:
    """The last rows of the attention matrix, and only those.

    Parameters
    ----------
    q : Tensor [heads, rows, head_dim]
        The last ``rows`` queries of one sequence.
    k : Tensor [kv_heads, entries, head_dim]
        All its keys; the last ``rows`` belong to the queries.
    scaling : float
        Usually ``head_dim ** -0.5``.

    Returns
    -------
    Tensor [heads, rows, entries]
        float32; each row is causal and sums to 1.
    """
    heads, rows, dim = q.shape
    kv_heads, entries = k.shape[:2]
    scores = (q.float() * scaling).reshape(kv_heads, -1, dim) @ k.float().mT
    scores = scores.view(heads, rows, entries)
    future = torch.ones(rows, rows, dtype=torch.bool, device=q.device).triu(1)
    scores[..., entries - rows :].masked_fill_(future, float("-inf"))  # the earlier ones have none
    return scores.softmax(-1)


def received(
    q: Tensor,
    k: Tensor,
    scaling: float,
    weights: Tensor | None = None,
    block: int = QUERY_BLOCK,
) -> Tensor:
    """How much attention each entry receives from the last queries, block by block of rows.

    Parameters
    ----------
    q, k, scaling
        As for `attention_rows`.
    weights : Tensor [rows], optional
        The factor of each row in the sum; 1 when left out.
    block : int
        Rows that are computed at a time, so that memory is O(block x entries) per head.

    Returns
    -------
    Tensor [heads, entries]
        float32: the (weighted) sum of the rows.
    """
    rows, entries = q.shape[1], k.shape[1]
    k = k.float()  # once, and not again for every block
    sums = torch.zeros(len(q), entries, dtype=torch.float32, device=q.device)
    for start in range(0, rows, block):
        stop = min(start + block, rows)
        end = entries - rows + stop
        part = attention_rows(q[:, start:stop], k[:, :end], scaling)
        sums[:, :end] += (
            part.sum(1) if weights is None else torch.einsum("hre,r->he", part, weights[start:stop])
        )
    return sums


def attend_and_sum(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scaling: float,
    valid: Tensor | None = None,
    block: int = SUM_BLOCK,
) -> tuple[Tensor, Tensor]:
    """`attend`, and how much attention each entry received: the column sums of the
    attention matrix. ``valid`` as there.

    The softmax is explicit, block by block of queries, so memory is O(block x entries) and
    never queries x entries. Scores are in float32: scores in bfloat16 would make the error of the
    output several times as large.

    Returns
    -------
    output : Tensor [batch, heads, queries, head_dim]
    sums : Tensor [batch, heads, entries]
        float32; over all queries. A head's sums add up to its number of queries.
    """
    batch, heads, queries, dim = q.shape
    kv_heads, entries = k.shape[1:3]
    if queries == 1:  # one decoded token sees all that is kept
        scores = (fold(q, kv_heads).float() * scaling) @ k.float().mT
        if valid is not None:
            scores.masked_fill_(~valid[:, None, None], float("-inf"))
        weights = scores.softmax(-1)
        seen = (weights @ v.float()).to(q.dtype)
        return seen.view_as(q), weights.view(batch, heads, entries)
    _check_alone(valid)
    block = max(1, min(block, queries))
    output = torch.empty(batch, queries, heads, dim, dtype=q.dtype, device=q.device).transpose(1, 2)
    sums = torch.zeros(batch, heads, entries, dtype=torch.float32, device=q.device)
    # On a CPU one KV head after the other: what is made of a block stays in the processor's caches.
    rows, kv = (1, 1) if q.device.type == "cpu" else (batch, kv_heads)
    group = heads // kv_heads
    room = sums.new_empty(rows * kv * group * block * entries)  # for the weights of every block
    for row in range(0, batch, rows):
        for head in range(0, kv_heads, kv):
            one = slice(row, row + rows), slice(head, head + kv)
            at = one[0], slice(head * group, (head + kv) * group)
            parts = q[at].float() * scaling, k[one].float(), v[one], output[at], sums[at]
            attend_by_blocks(*parts, block, room)
    return output, sums


def measure(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scaling: float,
    valid: Tensor | None = None,
    *,
    sums: bool,
) -> tuple[Tensor, Tensor | None]:
    """`attend_and_sum` where the sums are asked for, `attend` elsewhere."""
    if sums:
        return attend_and_sum(q, k, v, scaling, valid)
    return attend(q, k, v, scaling, valid), None


def attend_by_blocks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    output: Tensor,
    sums: Tensor,
    block: int,
    room: Tensor,
) -> None:
    """The work of `attend_and_sum` for some of the rows and heads.

    Parameters
    ----------
    q, k, v, block
        As of `attend_and_sum`; queries and keys in float32, the queries multiplied by ``scaling``.
    output, sums : Tensor
        Of the shapes that `attend_and_sum` returns: the results are written into them.
    room : Tensor
        float32, one dimension: memory for the scores of one block, which become its weights in
        place. Every block uses the same memory.
    """
    batch, heads, queries, dim = q.shape
    kv_heads, entries = k.shape[1:3]
    future = torch.ones(block, block, dtype=torch.bool, device=q.device).triu(1)
    for start in range(0, queries, block):
        rows = min(block, queries - start)
        end = entries - queries + start + rows
        scores = room[: batch * heads * rows * end].view(batch, kv_heads, -1, end)
        torch.matmul(fold(q[:, :, start : start + rows], kv_heads), k[:, :, :end].mT, out=scores)
        weights = scores.view(batch, heads, rows, end)
        # only the newest columns have a future to hide
        weights[..., end - rows :].masked_fill_(future[:rows, :rows], float("-inf"))
        torch.softmax(weights, dim=-1, out=weights)
        seen = scores.to(v.dtype) @ v[:, :, :end]
        output[:, :, start : start + rows] = seen.view(batch, heads, rows, dim)
        sums[..., :end] += weights.sum(-2)


def rotate(keys: Tensor, steps: int, inv_freq: Tensor) -> Tensor:
    """Move keys by ``steps`` positions: RoPE is relative, so one more rotation does it exactly.

    Parameters
    ----------
    keys : Tensor [..., head_dim]
        Keys after RoPE, in the half-split layout of Llama, Qwen and Mistral.
    steps : int
        How many positions further.
    inv_freq : Tensor [head_dim // 2]
        The model's RoPE frequencies, in radians a position.

    References
    ----------
    RoFormer (Su et al., 2024), section 3.4.
    """
    cos, sin = turn(steps, inv_freq)
    wide = keys.float()
    other = wide.roll(keys.shape[-1] // 2, -1)  # of each pair, the partner
    return (wide * cos + other * sin).to(keys.dtype)


@lru_cache(maxsize=16)  # every layer asks for the same one
def turn(steps: int, inv_freq: Tensor) -> tuple[Tensor, Tensor]:
    """What a key and its partner are multiplied by, ``[head_dim]`` each, to move it so many
    positions; computed in float64, so also exact for many positions, and rounded to float32."""
    angle = steps * inv_freq.double()
    cos, sin = angle.cos().float(), angle.sin().float()
    return torch.cat((cos, cos)), torch.cat((-sin, sin))
