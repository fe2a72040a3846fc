"""Prompts in, new tokens or words out: what every chapter, task and summary asks a model for."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kvbook.engine.run import input_device
from kvbook.errors import ParameterError
from kvbook.lm.models import LoadedModel, check_loaded

GREEDY = {
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "use_cache": True,
    "return_dict_in_generate": False,
}
"""The most likely token each time: transformers' own defaults, those of sampling among them, which
have no effect then. Every other setting that a model's ``generation_config.json`` may have is
off."""
TOKENS = ("eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id")
"""What of a model's ``generation_config.json`` counts: which tokens end and fill an answer."""
NOT_TAKEN = (
    "generation_config",
    "return_dict_in_generate",
    "num_beams",
    "num_return_sequences",
    "max_length",
    "attention_mask",
    "input_ids",
    "inputs",
    "inputs_embeds",
)
"""Options of transformers' ``generate`` that `generate_ids` has no use for."""


def greedy_options(model: nn.Module) -> dict[str, Any]:
    """What to tell a model's ``generate`` so that only its most likely token counts.

    A model brings settings of its own (``generation_config.json``: a penalty on repetition, beams,
    forced or forbidden tokens), and ``generate`` takes each that the caller does not name. So
    all of them are named here: `GREEDY`, and None for the rest, but for `TOKENS`.
    """
    own = [
        name
        for name in vars(model.generation_config)
        if name not in TOKENS and name != "transformers_version" and not name.startswith("_")
    ]
    return dict.fromkeys(own) | GREEDY


def ends_of(model: nn.Module) -> list[int]:
    """The tokens that end an answer, by the model's ``generation_config.json``; perhaps none."""
    ends = model.generation_config.eos_token_id
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def generate_ids(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    *,
    pad: int | None = None,
    read: Tensor | None = None,
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
        The id of the padding; any will do, for padding is masked.
    read : BoolTensor [prompts, columns], optional
        Which of the columns that the cache has read already are tokens: prompts of several lengths
        can go on from there. What the tokens were does not matter to greedy decoding.
    **options
        For transformers' ``generate``, such as ``past_key_values``, ``streamer``, or
        ``do_sample=True, temperature=0.7``. With ``past_key_values``, the prompts begin with what
        the cache has read, if ``read`` does not stand for it. What is not given here is off,
        whatever the model's ``generation_config.json`` says: `greedy_options`.

    Returns
    -------
    LongTensor [prompts, new]
        Only what is new; rows that ended earlier are filled with ``pad``.

    Raises
    ------
    ParameterError
        An option that would change what is read or what comes back; before anything runs.
    """
    for name in NOT_TAKEN:
        if name in options:
            raise ParameterError(
                f"{name} cannot be given here: one answer a prompt comes back, as tokens; give "
                "settings one by one, such as do_sample=True, temperature=0.7, or call the model's "
                "own generate"
            )
    ids, mask = pad_left(prompts, pad or 0)
    if read is not None:
        ids = torch.cat((ids.new_full(read.shape, pad or 0), ids), dim=1)
        mask = torch.cat((read.to(mask), mask), dim=1)
    settings = greedy_options(model) | {"max_new_tokens": new_tokens}
    if pad is not None:
        settings["pad_token_id"] = pad
    device = input_device(model)
    out = model.generate(ids.to(device), attention_mask=mask.to(device), **settings | options)
    return out[:, ids.shape[1] :]


def pad_left(prompts: Sequence[Sequence[int]], pad: int = 0) -> tuple[Tensor, Tensor]:
    """Prompts of any lengths as one batch: their tokens, and 1 where there is one, both ``[prompts,
    longest]``."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


def generate_words(
    lm: LoadedModel, prompts: Sequence[Sequence[int]], new_tokens: int, **options
) -> list[str]:
    """The texts that a model writes after prompts: `generate_ids`, decoded without special tokens.

    Parameters
    ----------
    prompts, new_tokens, **options
        As of `generate_ids`.
    """
    check_loaded(lm)
    tokenizer = lm.tokenizer
    new = generate_ids(lm.model, prompts, new_tokens, pad=tokenizer.pad_token_id, **options)
    return tokenizer.batch_decode(new, skip_special_tokens=True)
