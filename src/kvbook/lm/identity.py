"""Fingerprints of a model and its tokenizer. Saved chats and stored results have them,
so that nobody goes on with another model by mistake."""

import hashlib
import json
import zlib
from typing import Any

import torch
from torch import nn

from kvbook.errors import UnsupportedError

NOT_ARITHMETIC = ("transformers_version", "architectures", "dtype", "use_cache")
"""Keys of a configuration that do not change what a model computes: the version of the library,
what saving a model adds, the dtype that was asked for (the weights have the real one), and whether
a trainer has switched the cache off."""


def identity_of(lm) -> dict[str, str]:
    """What decides what a `LoadedModel` says, part by part: each text changes with its part.

    Returns
    -------
    dict
        ``weights`` (with the configuration), ``dtype``, ``tokenizer``, ``chat template``.
    """
    return {
        "weights": fingerprint(lm.model),
        "dtype": str(lm.model.dtype).removeprefix("torch."),
        "tokenizer": fingerprint_tokenizer(lm.tokenizer),
        "chat template": _digest(lm.tokenizer.chat_template),
    }


def fingerprint(model: nn.Module) -> str:
    """Changes when a configuration or any number of any weight does.

    Raises
    ------
    UnsupportedError
        Weights are offloaded: they cannot be read here.
    """
    seen = hashlib.sha256(fingerprint_config(model.config).encode())
    for name, weight in model.named_parameters():
        if weight.is_meta:
            raise UnsupportedError(
                f"{name} is offloaded, so nothing tells this model from another one, and what is "
                "stored of it could not be trusted: load it whole"
            )
        octets = weight.detach().cpu().contiguous().flatten().view(torch.uint8)
        # a checksum of every byte, in a quarter of the time of sha256
        seen.update(f"{name} {zlib.crc32(octets.numpy())} ".encode())
    return seen.hexdigest()[:16]


def fingerprint_config(config) -> str:
    """Changes when anything does but the model's name and what is `NOT_ARITHMETIC`."""
    return _digest(
        {
            name: value
            for name, value in config.to_diff_dict().items()
            if name not in NOT_ARITHMETIC and not name.startswith("_")
        }
    )


def fingerprint_tokenizer(tokenizer) -> str:
    """Changes with what a tokenizer makes of a text, and of ids; not with its chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        how: dict[str, Any] = {"class": type(tokenizer).__name__, "words": tokenizer.get_vocab()}
    else:
        how = json.loads(backend.to_str())
        for latest in ("truncation", "padding"):  # what the last call asked for
            how.pop(latest, None)
    return _digest([how, sorted(tokenizer.all_special_ids)])


def _digest(parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
