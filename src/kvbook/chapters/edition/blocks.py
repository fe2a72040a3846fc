"""A page in blocks, each the translation of one piece of the English page: a markdown cell, what a picture
says in words, or a section of a page that is no notebook."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kvbook.errors import ResultError
from kvbook.files import write_whole
from kvbook.texts import read_json, read_text

BREAK = re.compile(r"^\+\+\+ *(.*?) *$\n?", re.M)
"""The line before a block: its name, and of what English text it is the translation."""
FENCE = re.compile(r" *(`{3,}|~{3,})")
HEADING = re.compile(r"#+ +(.+)")
TOP = "top"
"""The name of what stands before the first heading of a page."""


@dataclass(frozen=True)
class Block:
    """A translated piece of a page.

    Attributes
    ----------
    english : str
        `digest` of the English text that it translates.
    text : str
        The translation, as markdown.
    """

    english: str
    text: str


def digest(text: str) -> str:
    """A short name of a text, but for the space around it.

    >>> digest("One line.") == digest("One line.\\n"), digest("one line.") == digest("One line.")
    (True, False)
    """
    return hashlib.sha256(text.strip().encode()).hexdigest()[:8]


def read_blocks(path: Path) -> dict[str, Block]:
    """The blocks of a translated page, by name, in their order.

    Raises
    ------
    ResultError
        The file is not UTF-8, a line before a block cannot be read, or a name comes twice.
    """
    before, *parts = BREAK.split(read_text(path, ResultError))
    if before.strip():
        raise ResultError(
            f"{path}: text before the first line that begins with +++: {before[:80]!r}"
        )
    found: dict[str, Block] = {}
    for line, text in zip(parts[::2], parts[1::2], strict=True):
        try:
            head = json.loads(line)
            name, english = head["id"], head["en"]
        except (ValueError, LookupError, TypeError):
            raise ResultError(
                f'{path}: cannot read the line "+++ {line}"; it must be like '
                '+++ {"id": "a cell\'s id", "en": "a digest"}'
            ) from None
        if name in found:
            raise ResultError(f"{path}: the block {name!r} stands there twice; take one out")
        found[name] = Block(english, text.strip())
    return found


def write_blocks(path: Path, blocks: Mapping[str, Block]) -> None:
    """Write a translated page, whole or not at all."""
    parts = [
        f"+++ {json.dumps({'id': name, 'en': one.english}, ensure_ascii=False)}\n{one.text}\n"
        for name, one in blocks.items()
    ]
    write_whole(path, "\n".join(parts))


def english_blocks(page: Path) -> dict[str, str]:
    """What there is to translate of an English page, by name, in its order.

    Of a notebook: its markdown cells, by their ids; and of each picture the words for those who do not
    see it and the caption, as ``ID alt`` and ``ID caption``. Of another page: its sections.
    """
    if page.suffix == ".md":
        return split_page(read_text(page, ResultError))
    found = {}
    for cell in read_json(page, ResultError)["cells"]:
        if cell["cell_type"] == "markdown":
            found[cell["id"]] = "".join(cell["source"])
        for part, holder in words_of_picture(cell["metadata"]).items():
            found[f"{cell['id']} {part}"] = holder[part]
    return found


def words_of_picture(metadata: Mapping) -> dict[str, dict]:
    """Where a cell's metadata say what its picture shows: the dictionary that holds ``alt``, and the one
    that holds ``caption``, as far as there are any."""
    held = metadata.get("mystnb", {})
    places = {"alt": held.get("image", {}), "caption": held.get("figure", {})}
    return {part: place for part, place in places.items() if part in place}


def split_page(text: str) -> dict[str, str]:
    """A page's sections, by the words of their headings; what stands before the first is `TOP`.

    >>> split_page("Before.\\n# One\\n```\\n# code\\n```\\n## One\\nText.")
    {'top': 'Before.', 'One': '# One\\n```\\n# code\\n```', 'One 2': '## One\\nText.'}
    """
    found: dict[str, list[str]] = {TOP: []}
    name = TOP
    for line, fenced in fenced_lines(text):
        if not fenced and (heading := HEADING.match(line)):
            title, count = heading[1].strip(), 1
            name = title
            while name in found:
                count += 1
                name = f"{title} {count}"
            found[name] = []
        found[name].append(line)
    return {name: joined for name, lines in found.items() if (joined := "\n".join(lines).strip())}


def fenced_lines(text: str) -> Iterator[tuple[str, bool]]:
    """The lines of a markdown text, and whether each is inside of a fence or one of its ends."""
    fence = ""
    for line in text.splitlines():
        mark = FENCE.match(line)
        yield line, bool(fence or mark)
        if mark and not fence:
            fence = mark[1]
        elif mark and line.strip() == fence:
            fence = ""
