"""A file of rows, read as dialogues: JSON Lines or one JSON array, in three formats.

Rows are Alpaca's (``instruction``, ``input``, ``output``; MedChatZH's, Tan et al., 2024),
ShareGPT's (``conversations``) or OpenAI's (``messages``).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kvbook.errors import ParameterError
from kvbook.finetune.data.dialogue import Dialogue, kind_of
from kvbook.texts import DECODER, decode, parse_json, read_lines

ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
"""What the formats call them, and what chat templates call them."""
BETWEEN = re.compile(r"[\s,]+")
"""What stands between the elements of a JSON array."""


@dataclass(frozen=True)
class Malformed:
    """A row that cannot be used: where, and why.

    Attributes
    ----------
    line : int
        From 1.
    reason : str
    """

    line: int
    reason: str


@dataclass(frozen=True)
class Read:
    """What is in a file.

    Attributes
    ----------
    dialogues : list of Dialogue
        The usable rows, in the file's order.
    malformed : list of Malformed
        The others.
    """

    dialogues: list[Dialogue]
    malformed: list[Malformed]


def read_dialogues(path: str | Path, *, limit: int | None = None) -> Read:
    """Read a file of fine-tuning data.

    Parameters
    ----------
    path : str or Path
        JSON Lines, or one JSON array, in UTF-8. Rows with ``instruction``, ``output`` and
        perhaps ``input``, ``history`` (pairs of question and answer) and ``system``; rows with
        ``conversations`` (``from``: human, gpt or system, and ``value``); or rows with
        ``messages`` (``role`` and ``content``). As in LLaMA-Factory, the question is
        ``instruction`` and ``input``, those that are not empty, a line each. White space in
        front of an answer is left out: tokenizers may merge it with the end of the prompt.
    limit : int, optional
        Stop after so many usable rows.

    Raises
    ------
    ParameterError
        There is no such file, it is not UTF-8, or it has no usable row.
    """
    if limit is not None and limit < 1:
        raise ParameterError(f"limit={limit}: give a number of rows from 1, or leave it out")
    path, dialogues, malformed = Path(path), [], []
    for line, row in _open_rows(path):
        try:
            if isinstance(row, ValueError):
                raise ParameterError(f"not JSON: {row}")
            dialogues.append(Dialogue(tuple(_as_messages(row)), line))
        except ParameterError as error:
            malformed.append(Malformed(line, str(error)))
        if len(dialogues) == limit:
            break
    if not dialogues:
        why = "it is empty"
        if malformed:
            first = malformed[0]
            why = f"{len(malformed)} malformed, the first in line {first.line}: {first.reason}"
        raise ParameterError(
            f"{path} has no usable row ({why}); a row is a JSON object with instruction, input and "
            "output, or with conversations, or with messages"
        )
    return Read(dialogues, malformed)


def _open_rows(path: Path) -> Iterator[tuple[int, object]]:
    """Line numbers and rows; a `ValueError` in place of a row that is not JSON."""
    if path.is_dir():
        raise ParameterError(f"{path} is a folder: give one file of it")
    try:
        with path.open("rb") as file:
            first = True
            for number, text in read_lines(file, path):
                if first and text.lstrip().startswith("["):
                    yield from _array(text + _rest(file, path, number + 1), number)
                else:
                    yield number, _parse(parse_json, text)
                first = False
    except FileNotFoundError:
        raise ParameterError(f"there is no file {path}: give a .jsonl or .json file") from None
    except OSError as error:
        raise ParameterError(f"cannot read {path}: {error.strerror}") from None


def _rest(file: BinaryIO, path: Path, line: int) -> str:
    try:
        return decode(file.read(), line, row=True)
    except ValueError as wrong:
        raise ParameterError(f"{path} is {wrong}") from None


def _parse(parse: Callable[..., Any], *arguments) -> Any:
    try:
        return parse(*arguments)
    except RecursionError:
        return ValueError("nested too deeply")
    except ValueError as error:
        return ValueError(getattr(error, "msg", str(error)))


def _array(text: str, line: int) -> Iterator[tuple[int, object]]:
    """The elements of a JSON array that begins in ``line``; nothing is sure behind a bad one."""
    seen, at = 0, _skip(text, text.index("[") + 1)
    while at < len(text) and text[at] != "]":
        line, seen = line + text.count("\n", seen, at), at
        row = _parse(DECODER.raw_decode, text, at)
        if isinstance(row, ValueError):
            yield line, row
            return
        yield line, row[0]
        at = _skip(text, row[1])
    line += text.count("\n", seen, at)
    if at == len(text):
        yield line, ValueError("the array has no end")
    elif text[at + 1 :].strip():
        yield line, ValueError("there is more behind the array")


def _skip(text: str, at: int) -> int:
    """Where the white space and commas that begin at ``at`` have ended."""
    between = BETWEEN.match(text, at)
    return between.end() if between else at


def _as_messages(row: object) -> Iterator[dict[str, str]]:
    if not isinstance(row, dict):
        raise ParameterError(f"{kind_of(row)}, not an object")
    if row.get("messages") is not None:
        turns = _turns(row["messages"], "messages", "role", "content")
    elif row.get("conversations") is not None:
        turns = _turns(row["conversations"], "conversations", "from", "value")
    elif "instruction" in row:
        turns = _alpaca(row)
    else:
        raise ParameterError("no instruction, conversations or messages")
    system = _text(row, "system")
    if system.strip() and (not turns or turns[0][0] != "system"):
        turns = [("system", system), *turns]
    if turns and turns[0] == ("system", ""):  # which means: no system message
        turns = turns[1:]
    for role, content in turns:
        if role == "assistant" and isinstance(content, str):
            content = content.lstrip()
        yield {"role": role, "content": content}


def _alpaca(row: dict) -> list[tuple[str, str]]:
    history = row.get("history") or []
    if not isinstance(history, list) or not all(
        isinstance(pair, list) and len(pair) == 2 for pair in history
    ):
        raise ParameterError("history is not a list of pairs of question and answer")
    question = "\n".join(filter(None, (_text(row, "instruction"), _text(row, "input"))))
    if not question.strip():
        raise ParameterError("instruction and input are empty")
    if not _text(row, "output").strip():
        raise ParameterError("output is missing or empty")
    turns = [turn for pair in history for turn in zip(("user", "assistant"), pair, strict=True)]
    return [*turns, ("user", question), ("assistant", row["output"])]


def _turns(messages: object, name: str, role: str, content: str) -> list[tuple[str, str]]:
    if not isinstance(messages, list) or not all(
        isinstance(one, dict) and role in one and content in one for one in messages
    ):
        raise ParameterError(f"{name} is not a list of objects with {role} and {content}")
    for message in messages:
        if str(message[role]).lower() not in ROLES:
            raise ParameterError(f"{role} is {message[role]!r}, not one of {', '.join(ROLES)}")
    return [(ROLES[str(one[role]).lower()], one[content]) for one in messages]


def _text(row: dict, field: str) -> str:
    text = row.get(field)
    if text is not None and not isinstance(text, str):
        raise ParameterError(f"{field} is {kind_of(text)}, not a string")
    return text or ""
