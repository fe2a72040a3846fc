"""What code of yours does, as a digest: nothing that an older version measured is taken again.

Read from what Python has compiled, since what was typed in a notebook has no file to read, and
changes while a session lasts.
"""

import functools
import inspect
from types import CodeType, FunctionType, MethodType

from kvbook.tasks.store import digest

PLAIN = (int, float, str, bytes, type(None), tuple, frozenset)
"""What of a module counts as it is: a list or a dictionary may be what a method writes into."""
GENERATED = {"__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__"}
"""What a dataclass writes itself, as a text without a file."""


def code_digest(thing) -> str:
    """Sixteen digits that change when a function, class or object of yours does, or whatever of
    its own module it uses: functions, classes, numbers, texts and tuples."""
    found: dict[str, list] = {}
    if not isinstance(thing, type) and not hasattr(thing, "__qualname__"):  # an object
        found["of"] = [repr(value) for value in _parts(thing)]
    _read(thing, getattr(thing, "__module__", ""), found)
    return digest(found)


def _parts(thing) -> list:
    if isinstance(thing, functools.partial):
        return [thing.args, thing.keywords]
    return [vars(thing)] if hasattr(thing, "__dict__") else []


def _read(thing, module: str, found: dict[str, list]) -> None:
    """Note what a thing of this module does, and go on to what it uses."""
    if isinstance(thing, functools.partial):
        _read(thing.func, thing.func.__module__, found)
    elif isinstance(thing, staticmethod | classmethod | MethodType):
        _read(thing.__func__, module, found)
    elif isinstance(thing, property):
        for function in (thing.fget, thing.fset):
            _read(function, module, found)
    elif isinstance(thing, type):
        for own in (one for one in thing.__mro__ if one.__module__ == module):
            for member in vars(own).values():
                _read(member, module, found)
    elif isinstance(thing, FunctionType):
        _read_function(thing, module, found)
    elif getattr(type(thing), "__module__", "") == module:
        _read(type(thing), module, found)


def _read_function(function: FunctionType, module: str, found: dict[str, list]) -> None:
    code, name = function.__code__, function.__qualname__
    generated = function.__name__ in GENERATED and code.co_filename == "<string>"
    if name in found or function.__module__ != module or generated:
        return
    found[name] = [_compiled(code), repr(function.__defaults__), repr(function.__kwdefaults__)]
    uses = {one: function.__globals__[one] for one in _names(code) if one in function.__globals__}
    uses |= inspect.getclosurevars(function).nonlocals
    for used, value in uses.items():
        if isinstance(value, PLAIN):
            found[f"{name} uses {used}"] = [repr(value)]
        elif getattr(value, "__module__", getattr(type(value), "__module__", "")) == module:
            _read(value, module, found)


def _names(code: CodeType) -> set[str]:
    """Of everything that is looked up, also by the functions within."""
    within = (_names(one) for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*within)


def _compiled(code: CodeType) -> list:
    """Byte code, names and constants, and those of the functions within."""
    constants = [
        _compiled(one)
        if isinstance(one, CodeType)
        else sorted(map(repr, one))  # whose order is another one in every process
        if isinstance(one, frozenset)
        else repr(one)
        for one in code.co_consts
    ]
    return [code.co_code.hex(), list(code.co_names), constants]
