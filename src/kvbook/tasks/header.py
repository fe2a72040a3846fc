"""What a stored measurement depends on, beside its item: the model, the method, the code that
measured. When any of it differs, what is stored is not taken."""

import hashlib
from dataclasses import fields, is_dataclass

import torch
import transformers

from kvbook.tasks.own_code import code_digest

VERSION = 1
"""Of what this package measures. Whoever changes what a method keeps, an answer, a score or a
distribution raises it by one, and writes the new values into ``tests/tasks/test_header.py``:
everything that is stored is then measured anew. Other changes of the code leave it alone."""


def describe(lm, method) -> dict:
    """Everything of a model and a method that a measurement depends on, in JSON's types."""
    return {
        "model": lm.name,
        "weights": fingerprint(lm.model),
        "dtype": str(lm.model.dtype).removeprefix("torch."),
        "device": lm.model.device.type,
        "method": method.name or type(method).__name__,
        "parameters": {name: _plain(value) for name, value in parameters_of(method).items()},
        "code": code_of(type(method)),
        "versions": {
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
        },
    }


def parameters_of(method) -> dict:
    """A method's parameters by name."""
    names = [one.name for one in fields(method)] if is_dataclass(method) else vars(method)
    return {name: getattr(method, name) for name in names}


def describe_method(method) -> str:
    """A method in a few words, such as ``snapkv budget=0.1``: only what is not the default."""
    defaults = {one.name: one.default for one in fields(method)} if is_dataclass(method) else {}
    own = {
        name: value
        for name, value in parameters_of(method).items()
        if name not in defaults or value != defaults[name]
    }
    said = [f"{name}={_plain(value)}" for name, value in own.items()]
    return " ".join([method.name or type(method).__name__, *said])


def _plain(value):
    if callable(value):
        named = value if hasattr(value, "__qualname__") else type(value)
        return f"{named.__module__}.{named.__qualname__} {code_digest(value)}"
    return value


def fingerprint(model: torch.nn.Module) -> str:
    """Changes when a configuration or any weight matrix does; reads a few numbers of each."""
    seen = hashlib.sha256(model.config.to_json_string().encode())
    for name, weight in model.named_parameters():
        flat = weight.detach().flatten()
        few = flat[:: max(1, flat.numel() // 64)].float().cpu()
        seen.update(name.encode() + few.numpy().tobytes())
    return seen.hexdigest()[:16]


def code_of(method: type) -> str:
    """The version of the code that measures; and, of a method of your own, a digest of its file."""
    ours = method.__module__.split(".")[0] == "kvbook"
    return f"kvbook {VERSION}" + ("" if ours else f", {code_digest(method)}")
