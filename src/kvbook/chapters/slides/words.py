"""The words of a slide, out of a chapter's prose: whole sentences, as many as there is room for."""

import math
import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len as width

BULLETS, LETTERS = 4, 480
"""Most sentences of a slide, and most letters of them together. Of all letters a Chinese character is two."""
COLONS = (":", "：")
MARKS = "。！？；：，、）"
"""Chinese punctuation; no blank stands behind it."""


def plain(text: str) -> str:
    """Markdown for a slide: no links, no references, no citations, on one line."""
    text = re.sub(
        r"\s*[(（]?\{(?:cite(?::\w+)?|eq|ref|numref|doc|prf:ref)\}`[^`]*`[)）]?", "", text
    )
    text = re.sub(r"\{\w+\}`([^`]*)`", r"\1", text)
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    return re.sub(r"(?<=[⺀-￯]) (?=[⺀-￯])", "", " ".join(text.split()))


END = re.compile(
    r"(?<=[.!?])(?<!al\.)(?<!e\.g\.)(?<!i\.e\.)(?<!vs\.)\s+(?=[A-Z(*`$\"“])"
    r"|(?:(?<=[。！？])|(?<=。[”）]))(?![。！？”）]|\*+(?:\s|$)|$)\s*"
)
"""Where a sentence ends: in English at a stop before a capital letter; in Chinese at a stop, and the closing
mark behind it."""


def sentences(paragraph: str) -> list[str]:
    """A paragraph's sentences, each with its own emphasis."""
    return [one for one in END.split(plain(paragraph)) if one.count("**") % 2 == 0]


def blocks(text: str) -> list[str]:
    """Paragraphs, lists, tables, formulas and fenced blocks, as they stand."""
    made: list[list[str]] = [[]]
    within, formula = False, False
    for line, fenced in split_lines(text):
        mark = line.startswith(("```", "$$"))
        begins = mark and not (fenced or formula)
        if (
            begins
            or (within and not (fenced or formula))
            or not (line.strip() or fenced or formula)
        ):
            made.append([])
        if line.strip() or fenced:
            made[-1].append(line)
        if line.startswith("$$") and not fenced:
            formula = not formula
        within = mark or fenced or formula
    return ["\n".join(one) for one in made if one]


def said_in(text: str) -> list[str]:
    """The sentences of a text: of its paragraphs all, of a list's items the first."""
    made: list[str] = []
    for block in blocks(text):
        if items := re.split(r"^(?:[-*]|\d+\.) ", block, flags=re.M)[1:]:
            made += [said[0] for one in items if (said := sentences(one))]
        elif not re.match(r"```|[|#:]|\$\$|\(.*\)=", block):
            made += sentences(block)
    return made


def choose(said: Sequence[str], most: int = BULLETS, letters: int = LETTERS) -> list[str]:
    """The first sentences, as many as a slide has room for; one at least, if need be cut."""
    chosen: list[str] = []
    for one in said:
        if len(chosen) == most or sum(map(width, [*chosen, one])) > letters:
            break
        chosen.append(one)
    return chosen or [cut(one, letters) for one in said[:1]]


def bullets(said: Sequence[str]) -> str:
    return "\n".join(f"- {one}" for one in said)


def together(said: Sequence[str]) -> str:
    """Sentences as a paragraph."""
    return re.sub(rf"(?<=[{MARKS}])\n", "", "\n".join(said)).replace("\n", " ")


def cut(text: str, most: int) -> str:
    """A text that is too long up to a blank, or to a Chinese mark, and an ellipsis."""
    if width(text) <= most:
        return text
    fits = max((text[:n] for n in range(len(text)) if width(text[:n]) <= most), key=len)
    whole = re.match(rf".*(?:(?=\s)|(?<=[{MARKS}]))", fits)
    return f"{(whole[0] if whole else fits).rstrip(',;:，；：、')} …"


def count_lines(text: str, letters: int) -> int:
    """Lines of a text in a column of so many letters; between Chinese characters they may break."""
    lines = left = 0
    for piece in re.findall(r"\s|[⺀-￯]|[^\s⺀-￯-]*-|[^\s⺀-￯-]+", text):
        size = width(piece)
        if size <= left or piece.isspace():
            left -= size
        else:
            more = math.ceil(size / letters)
            lines, left = lines + more, more * letters - size
    return lines


def split_lines(text: str) -> Iterator[tuple[str, bool]]:
    """Lines, and whether they stand between fences."""
    fence = ""
    for line in text.split("\n"):
        mark = re.match(r"`{3,}", line)
        yield line, bool(fence)
        if mark and not fence:
            fence = mark[0]
        elif fence and line.rstrip() == fence:
            fence = ""
