"""From the words of a command line to a chapter's parameters, checked; and what to say of them."""

import ast
import difflib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kvbook.chapters.registry import Chapter
from kvbook.errors import ParameterError
from kvbook.texts import read_json


def resolve_parameters(
    chapter: Chapter, profile: str = "laptop", overrides: dict | None = None
) -> dict[str, Any]:
    """A profile's parameters with some of your own, checked.

    Parameters
    ----------
    overrides : dict
        Values, or texts as from the command line: ``"128"``, ``"0.1"``, ``"[64, 128]"``,
        ``"true"``, ``"none"``.

    Raises
    ------
    ParameterError
        An unknown name, or a value of a wrong type or range; with the valid ones.
    """
    fields = chapter.parameters.model_fields
    overrides = overrides or {}
    unknown = [name for name in overrides if name not in fields]
    if unknown:
        near = difflib.get_close_matches(unknown[0], fields, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ParameterError(
            f"{chapter.name} has no parameter {', '.join(map(repr, unknown))}.{hint}\n{describe_parameters(chapter)}"
        )
    for name, value in overrides.items():
        if str(value) != str(value).encode(errors="replace").decode():  # bytes of a shell
            raise ParameterError(f"{name} = {value!a}: this is not UTF-8")
    given = {name: _literal(value, fields[name].annotation) for name, value in overrides.items()}
    try:
        return chapter.parameters(**chapter.defaults(profile) | given).model_dump()
    except ValidationError as error:
        problems = {str(one["loc"][0]): one["msg"] for one in error.errors()}
        lines = [f"{name} = {overrides.get(name)!r}: {text}" for name, text in problems.items()]
        raise ParameterError("\n".join([*lines, describe_parameters(chapter)])) from None


def describe_parameters(chapter: Chapter) -> str:
    """The parameters of a chapter, a line each: name, type, default, meaning."""
    lines = [
        f"  {one['parameter']}: {one['type']} = {one['default']} - {one['meaning']}"
        for one in parameter_rows(chapter)
    ]
    return "\n".join([f"Parameters of {chapter.name}:", *lines])


def parameter_rows(chapter: Chapter, profile: str = "laptop") -> list[dict[str, str]]:
    """A row for each parameter: its name, type, default in this profile, as the command line
    takes it, and meaning."""
    schema = chapter.parameters.model_json_schema()["properties"]
    defaults = chapter.defaults(profile)
    return [
        {
            "parameter": name,
            "type": _kind(schema[name]),
            "default": _written(defaults[name]),
            "meaning": field.description or "",
        }
        for name, field in chapter.parameters.model_fields.items()
    ]


def _kind(schema: dict) -> str:
    if "enum" in schema:
        return " | ".join(schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_kind(one) for one in schema["anyOf"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    names = {
        "integer": "int",
        "number": "float",
        "boolean": "true | false",
        "string": "text",
        "null": "none",
    }
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
    limits = [f"{word} {schema[key]:g}" for key, word in bounds.items() if key in schema]
    return " ".join([names[schema["type"]], *limits])


def _written(value: Any) -> str:
    """A value as the command line takes it; the other way round is `_literal`."""
    if value is None:
        return "none"
    return value or '""' if isinstance(value, str) else json.dumps(value)


def _literal(value: Any, annotation: Any) -> Any:
    """A text of the command line as a value; texts stay texts where a text is wanted."""
    if not isinstance(value, str) or annotation is str:
        return value
    if value.lower() in ("none", "null"):
        return None
    try:
        return json.loads(value.lower() if value.lower() in ("true", "false") else value)
    except (ValueError, RecursionError):
        return value


def notebook_parameters(path: Path) -> dict[str, Any]:
    """The assignments of a notebook's cell tagged ``parameters``; only literals are allowed
    there.

    Raises
    ------
    ParameterError
        The notebook has no such cell, or the cell does more than assign literals.
    """
    cells = read_json(Path(path))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ParameterError(f"{path} needs one cell tagged 'parameters' and has {len(tagged)}")
    values = {}
    try:
        for line in ast.parse("".join(tagged[0]["source"])).body:
            if not isinstance(line, ast.Assign) or not isinstance(line.targets[0], ast.Name):
                raise ValueError
            values[line.targets[0].id] = ast.literal_eval(line.value)
    except (SyntaxError, ValueError):
        raise ParameterError(f"{path}: the parameters cell may only assign literals") from None
    return values
