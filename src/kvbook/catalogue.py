"""The methods and what they declare, read from their source files: importing a method would load
PyTorch, which takes seconds."""

import ast
import re
from typing import Any, Literal, NamedTuple

from kvbook import fields
from kvbook.errors import ParameterError
from kvbook.places import PACKAGE

FOLDER = PACKAGE / "methods"
KNOWN = {"bool": bool, "float": float, "int": int, "str": str} | vars(fields)


class Declared(NamedTuple):
    """A parameter of a method: its type, its default (``...`` for none), and what it means."""

    annotation: Any
    default: Any
    meaning: str


def method_names() -> tuple[str, ...]:
    """All methods, in the book's order: that of the imports in ``methods/__init__.py``."""
    imports = [line for line in _parse("__init__").body if isinstance(line, ast.ImportFrom)]
    modules = [str(line.module).rpartition(".")[2] for line in imports]
    return tuple(module for module in modules if _find_class(module))


def compared_methods() -> list[str]:
    """The methods that are compared by default: all but SummaryKV, which takes several times as
    long."""
    return [name for name in method_names() if name != "summarykv"]


def choose_methods(names: list[str] | None) -> list[str]:
    """FullKV, and the methods that were asked for, each once; None: `compared_methods`."""
    return list(dict.fromkeys(["fullkv", *(compared_methods() if names is None else names)]))


def method_parameters(name: str, without: tuple[str, ...] = ()) -> dict[str, Declared]:
    """The parameters of a method's class, but for those that a chapter does ``without``.

    A type is read as `kvbook.fields` knows it, a default must be a literal, and the meaning is
    the first sentence that the class's docstring says of it.

    Raises
    ------
    ParameterError
        There is no such method, a type is unknown, or the docstring says nothing of a parameter.
    """
    cls = _find_class(name)
    if cls is None:
        raise ParameterError(f"methods/{name}.py has no class with the name {name!r}")
    lines = {
        key: line
        for key, line in _annotated(cls).items()
        if key not in without and not ast.unparse(line.annotation).startswith("ClassVar")
    }
    meanings = _meanings(ast.get_docstring(cls) or "")
    silent = ", ".join(lines.keys() - meanings.keys())
    if silent:
        raise ParameterError(f"the docstring in methods/{name}.py says nothing of {silent}")
    return {
        key: Declared(
            _type(line.annotation),
            ast.literal_eval(line.value) if line.value else ...,
            meanings[key],
        )
        for key, line in lines.items()
    }


def _parse(module: str) -> ast.Module:
    return ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))


def _find_class(name: str) -> ast.ClassDef | None:
    """The class with this name in the file with this name, if the catalogue has it."""
    for one in _parse(name).body:
        if isinstance(one, ast.ClassDef) and not one.keywords:  # not listed=False
            line = _annotated(one).get("name")
            if line and line.value and ast.literal_eval(line.value) == name:
                return one
    return None


def _annotated(cls: ast.ClassDef) -> dict[str, ast.AnnAssign]:
    return {
        line.target.id: line
        for line in cls.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }


def _type(node: ast.expr) -> Any:
    """An annotation: a name, a `Literal`, or several with ``|`` between."""
    match node:
        case ast.BinOp(left, ast.BitOr(), right):
            return _type(left) | _type(right)
        case ast.Subscript(ast.Name("Literal"), choices):
            return Literal[ast.literal_eval(choices)]
        case ast.Constant(None):
            return None
        case ast.Name(name) if name in KNOWN:
            return KNOWN[name]
    raise ParameterError(f"{ast.unparse(node)} is no type of kvbook.fields, where chapters look")


def _meanings(docstring: str) -> dict[str, str]:
    """The first sentence about each parameter, as a help text is written."""
    _, _, section = docstring.partition("Parameters\n----------\n")
    entry = re.compile(r"^(\w+) : .*\n((?:    .*(?:\n|$))+)", re.M)
    sentences = {
        name: re.split(r"\.(?: |$)", " ".join(text.split()))[0]
        for name, text in entry.findall(section.split("\n\n")[0])
    }
    return {name: _plain(sentence) for name, sentence in sentences.items()}


def _plain(sentence: str) -> str:
    """Without marks of code, and without a capital at the beginning of a usual word."""
    first, _, rest = sentence.replace("`", "").partition(" ")
    return f"{first.lower() if first.istitle() else first} {rest}"
