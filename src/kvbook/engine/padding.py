"""Rows of unequal lengths in one batch: padding is always on the left of its row.

Every row gives what it gives alone, so a method never sees padding. It has position -1 in
the cache, and no query looks at it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kvbook.engine.cache import KVLayer
from kvbook.engine.seen import Recent
from kvbook.errors import UnsupportedError


def real_columns(mask: Tensor | None, batch: int, columns: int) -> Tensor | None:
    """Which of the new columns are tokens ``[batch, columns]``; None when all are.

    Parameters
    ----------
    mask : Tensor [batch, tokens] or None
        The caller's attention mask; its last ``columns`` are the new ones.

    Raises
    ------
    UnsupportedError
        It does not cover the new columns, or there is padding on the right.
    """
    if mask is None:
        return None
    real = mask[:, -columns:].bool()
    if real.shape != (batch, columns):
        raise UnsupportedError(
            f"attention_mask {tuple(mask.shape)} does not cover the {columns} new tokens"
        )
    if real.all():
        return None
    if (real[:, 1:] < real[:, :-1]).any():
        raise UnsupportedError("padding must be on the left: set tokenizer.padding_side = 'left'")
    return real


def row_lengths(real: Tensor | None, batch: int, columns: int) -> list[int]:
    """Tokens of each row."""
    return [columns] * batch if real is None else real.sum(1).tolist()


def stack_left(rows: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
    """Rows ``[heads or 1, kept]`` of unequal lengths as one tensor.

    Returns
    -------
    LongTensor [batch, heads or 1, most kept]
        With -1 on the left.
    list of int
        How many -1 each row has.
    """
    width, heads = max(row.shape[1] for row in rows), max(row.shape[0] for row in rows)
    stacked = rows[0].new_full((len(rows), heads, width), -1)
    for out, row in zip(stacked, rows, strict=True):
        out[:, width - row.shape[1] :] = row
    return stacked, [width - row.shape[1] for row in rows]


def shift_rows(kept: Sequence[Tensor | None], pads: Sequence[int], columns: int) -> list[Tensor]:
    """A method's indices count from a row's first token; here they count from its first column.

    Parameters
    ----------
    kept : sequence of (LongTensor [..., kept] or None)
        By row; None is all tokens.
    pads : sequence of int
        Padding on the left of each row.
    columns : int
        Columns of a row, padding included.
    """
    like = next(indices for indices in kept if indices is not None)
    everything = torch.arange(columns, device=like.device).expand(*like.shape[:-1], -1)
    return [
        everything[..., pad:] if indices is None else indices + pad
        for indices, pad in zip(kept, pads, strict=True)
    ]


def chunks(
    inputs: Tensor, real: Tensor | None, chunk: int | None
) -> list[tuple[Tensor, Tensor | None]]:
    """The input in pieces of ``chunk`` tokens, each row's counted from its own first token.

    Parameters
    ----------
    inputs : Tensor [batch, columns] or [batch, columns, hidden]
        Token ids, or embeddings.
    real : BoolTensor [batch, columns] or None
        Which columns are tokens.
    chunk : int or None
        None: one piece.

    Returns
    -------
    list of (Tensor, BoolTensor or None)
        The pieces in order, and which of their columns are tokens. All rows end with the last
        piece; a row with fewer chunks joins later.
    """
    batch, columns = inputs.shape[:2]
    lengths = torch.tensor([columns] * batch) if real is None else real.sum(1).cpu()
    if chunk is None or int(lengths.max()) <= chunk:
        return [(inputs, real)]
    pieces = -(-lengths // chunk)
    made = []
    for back in range(int(pieces.max()), 0, -1):
        start = (pieces - back) * chunk
        size = (lengths - start).clamp(max=chunk).where(start >= 0, torch.tensor(0))
        width = int(size.max())
        step = torch.arange(width)[None] - (width - size)[:, None]
        token = (columns - lengths + start)[:, None] + step
        there = step >= 0
        index = token.where(there, torch.tensor(0)).to(inputs.device)
        rows = torch.arange(batch, device=inputs.device)[:, None]
        made.append((inputs[rows, index], None if there.all() else there.to(inputs.device)))
    return made


def next_positions(real: Tensor | None, read: Tensor, columns: int) -> Tensor:
    """The positions ``[batch, columns]`` of the tokens that come after ``read`` ones ``[batch]``; -1
    for padding."""
    start, device = read[:, None], read.device
    if real is None:
        return start + torch.arange(columns, device=device)
    return (start + real.cumsum(1) - 1).masked_fill(~real, -1)


def valid_entries(layer: KVLayer) -> Tensor | None:
    """Which entries are tokens ``[batch, entries]``; None when all are. Only right where the newest
    inputs have no padding."""
    return layer.positions[:, 0] >= 0 if any(layer.pads) else None


def attend_apart(
    attend: Callable, q: Tensor, k: Tensor, v: Tensor, pads: Sequence[int], new_pads: Sequence[int]
) -> tuple[Tensor, list]:
    """Attention of rows with padding, each row for itself and without it: so no mask over a long
    prompt is made, and each row gives what it gives alone.

    Parameters
    ----------
    attend : callable
        Of one row's queries, keys and values: the output, and what else was measured.
    q, k, v : Tensor
        As of `kvbook.engine.attention`; the newest entries are those of the queries.
    pads, new_pads : sequence of int
        Padding on the left of each row: of what was read before, and of the queries.

    Returns
    -------
    Tensor [batch, heads, queries, head_dim]
        0 where a query is padding.
    list
        What else was measured, by row.
    """
    output, also = torch.zeros_like(q), []
    before = k.shape[2] - q.shape[2]
    for row, (pad, new_pad) in enumerate(zip(pads, new_pads, strict=True)):
        one = slice(row, row + 1)
        keys, values = (_real(part[one], pad, before, new_pad) for part in (k, v))
        output[one, :, new_pad:], measured = attend(q[one, :, new_pad:], keys, values)
        also.append(measured)
    return output, also


def _real(entries: Tensor, pad: int, before: int, new_pad: int) -> Tensor:
    """Of one row's keys or values, those that are no padding."""
    if not before or not new_pad:
        return entries[:, :, pad if before else new_pad :]
    return torch.cat((entries[:, :, pad:before], entries[:, :, before + new_pad :]), dim=2)


def settle(layer: KVLayer, new_pads: Sequence[int], new: int) -> None:
    """Padding of the ``new`` newest inputs moves to the left of its row, where all padding is."""
    if not layer.pads:  # the first tokens of the prompt
        layer.pads = list(new_pads)
    elif any(new_pads):
        held = [layer.entries - new - pad for pad in layer.pads]
        layer.keep([Recent(old + gap, before=old) for old, gap in zip(held, new_pads, strict=True)])
