"""Prompts in, new tokens or words out: what every chapter, task and summary asks a model for."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kvbook.engine.run import input_device
from kvbook.lm.models import LoadedModel, check_loaded


def generate_ids(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    *,
    pad: int | None = None,
    **options,
) -> Tensor:
    """The tokens that a model writes after prompts: greedily, if nothing else is said.

    Parameters
    ----------
    model : PreTrainedModel
        With or without a method attached.
    prompts : sequence of sequence of int
        Token ids; shorter ones are padded on the left.
    new_tokens : int
        Most tokens to write.
    pad : int, optional
        The id of the padding; one prompt needs none.
    **options
        For transformers' ``generate``, such as ``past_key_values`` (the prompts then begin with
        what the cache has read) or ``streamer``.

    Returns
    -------
    LongTensor [prompts, new]
        Only what is new; rows that ended earlier are filled with ``pad``.
    """
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad or 0)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    device = input_device(model)
    out = model.generate(
        ids.to(device),
        attention_mask=mask.to(device),
        max_new_tokens=new_tokens,
        **{"do_sample": False} | ({} if pad is None else {"pad_token_id": pad}) | options,
    )
    return out[:, width:]


def generate_words(
    lm: LoadedModel, prompts: Sequence[Sequence[int]], new_tokens: int, **options
) -> list[str]:
    """The same as words, without special tokens.

    Parameters
    ----------
    prompts, new_tokens, **options
        As of `generate_ids`.
    """
    check_loaded(lm)
    tokenizer = lm.tokenizer
    new = generate_ids(lm.model, prompts, new_tokens, pad=tokenizer.pad_token_id, **options)
    return tokenizer.batch_decode(new, skip_special_tokens=True)
