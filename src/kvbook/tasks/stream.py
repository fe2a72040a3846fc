"""A text that goes on past the cache: how likely its next tokens are while old entries leave."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kvbook.engine.panel import Panel
from kvbook.errors import ParameterError
from kvbook.finetune.score.likelihood import token_nll
from kvbook.lm.models import check_loaded
from kvbook.methods.base import as_methods
from kvbook.tasks.needle import read_essays
from kvbook.tasks.together import Label


def cut_essays(lm, data: Path, count: int, tokens: int) -> list[list[int]]:
    """The book's essays as ``count`` texts of so many tokens, one behind the other.

    Raises
    ------
    ParameterError
        The essays are shorter than that.
    """
    check_loaded(lm)
    ids = lm.tokenizer("\n\n".join(read_essays(data)), add_special_tokens=False).input_ids
    if count * tokens > len(ids):
        raise ParameterError(
            f"{count} texts of {tokens} tokens: the essays have {len(ids)} tokens; ask for fewer"
        )
    return [ids[start : start + tokens] for start in range(0, count * tokens, tokens)]


def stream_nll(
    lm,
    methods: Mapping[Label, Any],
    texts: Sequence[Sequence[int]],
    first: int,
    piece: int,
) -> dict[Label | str, Tensor]:
    """How unlikely each token of some texts is, when every method reads them piece by piece.

    Parameters
    ----------
    methods : mapping of Label to Method
        They must hold all of the first tokens until these are read.
    texts : sequence of sequence of int
        Token ids, of the same length.
    first : int
        Tokens that are read at once at the start. StreamingLLM lets the first one go when it has
        read one more than its budget.
    piece : int
        Tokens at a time from there on; a method evicts behind each piece.

    Returns
    -------
    dict of Tensor [texts, tokens - 1]
        Nats, of all tokens but the first: ``"fullkv"``, and by label.

    Raises
    ------
    ParameterError
        Nothing is left behind the first tokens.
    """
    check_loaded(lm)
    methods = as_methods(methods)
    ids = torch.tensor(texts)
    if first > ids.shape[1] - 2:
        raise ParameterError(
            f"first={first}: texts of {ids.shape[1]} tokens end there; give longer texts, or a smaller budget"
        )
    full = torch.stack([token_nll(lm.model, text) for text in texts])
    rows = ids.repeat_interleave(len(methods), 0).to(lm.model.device)
    behind = []
    with Panel(list(methods.values())).attach(lm.model) as run, torch.no_grad():
        lm.model(rows[:, :first], logits_to_keep=1)  # nothing is gone yet: as full KV's
        for start in range(first, rows.shape[1] - 1, piece):
            read, said = rows[:, start : start + piece], rows[:, start + 1 : start + piece + 1]
            logits = lm.model(read, past_key_values=run.cache).logits[:, : said.shape[1]]
            behind.append(F.cross_entropy(logits.float().mT, said, reduction="none").cpu())
    later = torch.cat(behind, dim=1).unflatten(0, (len(texts), len(methods)))
    return {"fullkv": full} | {
        label: torch.cat((full[:, :first], later[:, row]), dim=1)
        for row, label in enumerate(methods)
    }
