"""What a stored measurement depends on, beside its item: the model, the method, the code that
measured. When any of it differs, what is stored is not taken."""

from dataclasses import MISSING, fields, is_dataclass

import torch
import transformers

from kvbook.lm.generation import GREEDY, ends_of
from kvbook.lm.identity import identity_of
from kvbook.tasks.own_code import code_digest

VERSION = 3
"""The version of what this package measures. Whoever changes what a method keeps, an answer, a
score or a distribution raises it by one, and writes the new values into ``tests/tasks/test_header.py``:
everything that is stored is then measured anew. Other changes of the code leave it alone."""


def describe(lm, method) -> dict:
    """Everything of a model and a method that a measurement depends on, in JSON's types."""
    return {
        "model": lm.name,
        **identity_of(lm),
        "device": lm.model.device.type,
        "generation": GREEDY | {"eos_token_id": ends_of(lm.model)},
        **_told(method),
        "versions": {
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
        },
    }


def _told(method) -> dict:
    return {
        "method": method.name or type(method).__name__,
        "parameters": {name: _plain(value) for name, value in parameters_of(method).items()},
        "code": code_of(type(method)),
    }


def parameters_of(method) -> dict:
    """A method's parameters by name."""
    names = [one.name for one in fields(method)] if is_dataclass(method) else vars(method)
    return {name: getattr(method, name) for name in names}


def describe_method(method) -> str:
    """A method in a few words, such as ``snapkv budget=0.1``: only what is not the default."""
    defaults = {
        one.name: one.default if one.default_factory is MISSING else one.default_factory()
        for one in (fields(method) if is_dataclass(method) else ())
    }
    own = {
        name: value
        for name, value in parameters_of(method).items()
        if name not in defaults or value != defaults[name]
    }
    said = [
        f"{name}={describe_method(value) if _is_method(value) else _plain(value)}"
        for name, value in own.items()
    ]
    return " ".join([method.name or type(method).__name__, *said])


def _is_method(value) -> bool:
    return hasattr(value, "attach")


def _plain(value):
    if _is_method(value):  # one inside another
        return _told(value)
    if callable(value):
        named = value if hasattr(value, "__qualname__") else type(value)
        return f"{named.__module__}.{named.__qualname__} {code_digest(value)}"
    return value


def code_of(method: type) -> str:
    """The version of the code that measures; and, of a method of your own, a digest of its file,
    and of those of the classes of yours that it extends."""
    own = [
        code_digest(one)
        for one in method.__mro__
        if one.__module__.split(".")[0] not in ("kvbook", "builtins", "typing", "abc")
    ]
    return ", ".join([f"kvbook {VERSION}", *own])
