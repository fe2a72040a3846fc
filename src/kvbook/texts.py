"""Files that people write, read alike everywhere: text in UTF-8, JSON, and lines of JSON.

A byte order mark and Windows line ends do not matter. What cannot be read whole is refused by file
and line: another encoding, a NUL byte, an object that has a key twice.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kvbook.errors import KvbookError, ParameterError

UTF16 = (b"\xff\xfe", b"\xfe\xff")
"""How a file in UTF-16 begins, as Windows saves it."""


def read_text(path: Path, error: type[KvbookError] = ParameterError) -> str:
    r"""A whole text; its lines end with ``\n``.

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    ParameterError
        It is not UTF-8, or holds a NUL byte; an error of another class where one is given.
    """
    try:
        text = decode(path.read_bytes())
    except ValueError as wrong:
        raise error(f"{path} is {wrong}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(
    file: Iterable[bytes], name: str | Path, error: type[KvbookError] = ParameterError
) -> Iterator[tuple[int, str]]:
    r"""The lines of an open file of JSON Lines that are not empty, with their numbers from 1.

    They end at ``\n`` and nowhere else: a text in JSON may hold other line ends.

    Raises
    ------
    ParameterError
        It is not UTF-8; an error of another class where one is given.
    """
    for number, raw in enumerate(file, 1):
        try:
            text = decode(raw, number, row=True)
        except ValueError as wrong:
            raise error(f"{name} is {wrong}") from None
        if text.strip():
            yield number, text


def decode(raw: bytes, line: int = 1, *, row: bool = False) -> str:
    """Bytes of UTF-8 as text, without a byte order mark.

    Parameters
    ----------
    line : int
        The number of the first line of ``raw`` in its file, for the message.
    row : bool
        Whether ``raw`` holds rows of JSON, of which one may be damaged alone. Then a NUL byte
        stays, and a character that is cut off at the end becomes U+FFFD, so that `parse_json`
        refuses only that row.

    Raises
    ------
    ValueError
        The bytes are not UTF-8, or hold a NUL byte; the message says in which line, and what to do.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        if row and wrong.reason == "unexpected end of data":
            return raw.decode("utf-8-sig", errors="replace")
        line += raw.count(b"\n", 0, wrong.start)
        seems, other = ("Chinese", "GB18030")
        if raw.startswith(UTF16):
            seems, other = ("from Windows", "UTF-16")
        raise ValueError(
            f"not UTF-8 (line {line}): save it as UTF-8; if it is {seems}, `iconv -f {other} -t "
            "UTF-8` may do it"
        ) from None
    if "\0" in text and not row:
        line += text.count("\n", 0, text.index("\0"))
        raise ValueError(f"not text (a NUL byte in line {line}): get it again, or save it anew")
    return text


def read_json(path: Path, error: type[KvbookError] = ParameterError) -> Any:
    """A whole file of JSON as Python's values.

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    ParameterError
        It is no JSON, as for `parse_json`; an error of another class where one is given.
    """
    try:
        return parse_json(decode(path.read_bytes()))
    except ValueError as wrong:
        raise error(f"{path} is damaged ({wrong}): get it again") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return made


DECODER = json.JSONDecoder(object_pairs_hook=_object)
"""Python's own would take the last of two equal keys, and say nothing."""


def parse_json(text: str) -> Any:
    """A text of JSON as Python's values.

    Raises
    ------
    ValueError
        The text is not JSON, or an object in it has a key twice; the message is the reason, with
        the line where the text has several.
    """
    if "\0" in text:
        raise ValueError("a NUL byte")
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as wrong:
        where = f"line {wrong.lineno}: " if "\n" in text.strip() else ""
        raise ValueError(f"{where}{wrong.msg}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
