"""An attention mask that hides tokens which were read before. Where possible, they are taken out of
the cache, and the row is as if it had never read them. Where not, the call is refused."""

import torch
from torch import Tensor

from kvbook.engine.refuse import DROPPING, changes_later
from kvbook.engine.seen import Recent
from kvbook.engine.state import PromptState
from kvbook.errors import UnsupportedError

HIDDEN = (
    "attention_mask hides tokens that were read before, and what they changed in the cache cannot be "
    "taken back. Only the last tokens of a row can be hidden (an answer that ended early), of its "
    "prompt only with FullKV, of its answer with methods that neither evict nor pack while decoding: give "
    "such a row a run of its own"
)


def shown(mask: Tensor | None, columns: int, known: Tensor) -> Tensor | None:
    """The part of a mask that is about what was read before; None: it is about new columns only.

    Parameters
    ----------
    mask : Tensor [batch, tokens] or None
        The caller's: of the new columns only, or of all.
    columns : int
        New columns.
    known : BoolTensor [batch, seen]
        Which of the earlier columns are tokens.

    Raises
    ------
    UnsupportedError
        The mask covers another number of tokens, or shows padding of an earlier input as tokens.
    """
    if mask is None or mask.shape[1] <= columns:
        return None
    seen, past = known.shape[1], mask[:, :-columns].bool()
    if past.shape[1] != seen:
        raise UnsupportedError(
            f"attention_mask {tuple(mask.shape)} does not cover the {seen} tokens that were read and "
            f"the {columns} new ones: give {seen + columns} columns, or {columns}"
        )
    if (past & ~known.to(past.device)).any():
        raise UnsupportedError(
            "attention_mask shows padding of an earlier input as tokens: give the mask of that input again"
        )
    return past


def hidden_tokens(mask: Tensor | None, columns: int, state: PromptState) -> list[int]:
    """How many of the last tokens of each row a mask hides that were read before.

    Parameters
    ----------
    mask, columns
        As of `shown`.

    Raises
    ------
    UnsupportedError
        As of `shown`; or it hides other tokens than a row's last ones.
    """
    known = state.real_so_far(mask.device) if mask is not None else None
    past = shown(mask, columns, known)
    if past is None:
        return [0] * len(state.read_lengths)
    hidden = known & ~past
    counts = hidden.sum(1)
    if (hidden != (known & (_from_the_end(known) <= counts[:, None]))).any():
        raise UnsupportedError(HIDDEN)
    return counts.tolist()


def check_hidden(hidden: list[int], method, state: PromptState) -> None:
    """Refuse to forget tokens that have changed what the method kept.

    Raises
    ------
    UnsupportedError
        The method evicts, packs or looks back after the prompt; a first pass has chosen; the
        method has chosen by tokens of the prompt that are hidden now; or no token would be left.
    """
    if not any(hidden):
        return
    left = [read - count for read, count in zip(state.read_lengths, hidden, strict=True)]
    kept = [1] * len(left)  # at least
    if any(hasattr(method, hook) for hook in DROPPING):
        kept = state.prompt_lengths
    if (
        changes_later(method)
        or state.chosen is not None
        or any(a < b for a, b in zip(left, kept, strict=True))
    ):
        raise UnsupportedError(HIDDEN)


def forget(hidden: list[int], state: PromptState) -> None:
    """Take the last tokens of each row out of every layer: they were never there."""
    for layer in state.cache.layers:
        ends = [layer.entries - pad for pad in layer.pads]
        layer.keep(
            [Recent(end, before=end - count) for end, count in zip(ends, hidden, strict=True)]
        )
    state.read_lengths = [
        read - count for read, count in zip(state.read_lengths, hidden, strict=True)
    ]
    state.read = None
    known = state.real_so_far(state.cache.layers[0].keys.device)
    counts = torch.tensor(hidden, device=known.device)
    state.real = known & (_from_the_end(known) > counts[:, None])


def _from_the_end(known: Tensor) -> Tensor:
    """The number of every token, counted from the end of its row: 1 is the last one."""
    return known.flip(1).cumsum(1).flip(1)
