"""What the cells of an executed notebook wrote, in Chinese: sentences, tables, and the words of pictures.

What a model said, code and the names of methods stay; numbers are those of the run.
"""

import re
from collections.abc import Iterator, Sequence

from bs4 import BeautifulSoup, NavigableString, Tag
from lxml import etree
from nbformat import NotebookNode

from kvbook.chapters.edition.blocks import fenced_lines
from kvbook.chapters.edition.words import WORD, Words, catalogue_file, read_words
from kvbook.errors import ResultError
from kvbook.show.explorers.frame import change_words

STAYS = ("script", "style", "code", "pre")
"""Elements whose text is not prose."""
SAID_BY_OTHERS = ("kv-text", "kv-said")
"""Classes of elements with a prompt, or with what a model wrote: as a block, and within a picture."""
SPOKEN = ("title", "aria-label")
"""Attributes that a reader sees or hears."""
CODE_OR_TAG = re.compile("`[^`]*`|<[^>]*>")
SVG = "{http://www.w3.org/2000/svg}"
BESIDE = re.compile(r'((?:src|href)=")(plotly/|results/)')
"""Files that lie beside the English pages only."""


def translate_outputs(notebook: NotebookNode, words: Words, name: str) -> None:
    """Put all that its cells show into Chinese, in place.

    Parameters
    ----------
    name : str
        The chapter, for the list of what has no entry.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            where, data = f"{name}, cell {cell.id}", output.get("data", {})
            said = output.get("metadata", {}).get("kvbook", {}).get("said")
            if said:
                data["text/markdown"] = data["text/plain"] = words.say(said, where)
            elif shown := data.get("text/markdown"):
                data["text/markdown"] = translate_markdown(shown, words, where)
            if html := data.get("text/html"):
                data["text/html"] = translate_html(html, words, where)
            if drawn := data.get("image/svg+xml"):
                data["image/svg+xml"] = translate_svg(drawn, words, where)


def translate_markdown(text: str, words: Words, where: str) -> str:
    """What a cell shows as markdown: its lines outside of code, such as where a listing comes from."""
    return "\n".join(
        line if fenced else _translate_line(line, words, where)
        for line, fenced in fenced_lines(text)
    )


def _translate_line(line: str, words: Words, where: str) -> str:
    return "".join(
        words.translate(part, where) if WORD.search(CODE_OR_TAG.sub("", part)) else part
        for part in re.split("(<[^>]*>)", line)
    )


def in_chinese(text: str, where: str) -> str:
    """What a page shows that is no notebook's output, with the words of the book's catalogue.

    Raises
    ------
    ResultError
        A text has no entry.
    """
    words = read_words()
    translated = translate_html(text, words, where)
    if words.missed:
        raise ResultError(
            f"no Chinese for {', '.join(map(repr, words.missed))} ({where}): add it to "
            f"{catalogue_file()}"
        )
    return translated


def translate_html(text: str, words: Words, where: str) -> str:
    """A table, or a picture to move through: its text, what stands in attributes, line by line, and the
    words of its script."""
    page = BeautifulSoup(text, "html.parser")
    for node in [*page.find_all(string=True)]:
        if type(node) is not NavigableString or _stays(node):
            continue
        new = words.translate(str(node), where, must=not _is_text(node))
        if new != node:
            node.replace_with(new)
    for tag in page.find_all(True):
        for name in SPOKEN:
            if tag.get(name):
                lines = str(tag[name]).split("\n")
                tag[name] = "\n".join(words.translate(line, where) for line in lines)
    for script in page.find_all("script", string=True):
        script.string = change_words(script.string, lambda text: words.translate(text, where))
    return BESIDE.sub(r"\1../\2", str(page))


def _stays(node: NavigableString) -> bool:
    return any(
        parent.name in STAYS or set(SAID_BY_OTHERS) & set(parent.get("class") or ())
        for parent in node.parents
        if isinstance(parent, Tag)
    )


def _is_text(node: NavigableString) -> bool:
    """Whether it is a cell of a table of texts, such as answers."""
    return bool(node.find_parent("td") and node.find_parent(class_="kv-texts"))


def translate_svg(text: str, words: Words, where: str) -> str:
    """A picture of matplotlib's. A text that was broken into lines is one group of elements."""
    root = etree.fromstring(text.encode())
    for group in root.iter(f"{SVG}g"):
        if group.get("class") in SAID_BY_OTHERS:
            continue
        lines = [one for one in group.findall(f"{SVG}text") if len(one) == 0 and one.text]
        if not lines:
            continue
        whole = " ".join(line.text for line in lines)
        new = words.translate(whole, where)
        if new != whole:
            for line, part in zip(lines, split_evenly(new, len(lines)), strict=True):
                line.text = part
    return etree.tostring(root, encoding="unicode")


def split_evenly(text: str, count: int) -> Sequence[str]:
    """A text in so many parts of about the same width; between letters of one word or number it is not
    broken.

    >>> split_evenly("预算 256，每个头", 2), split_evenly("abc", 2)
    (['预算 256，', '每个头'], ['abc', ''])
    """
    pieces = re.findall(r"[!-~]+[，。；：、）]*|.[，。；：、）]*", text)
    width = sum(map(_width, pieces)) / count
    parts, used = [""] * count, 0.0
    for piece in pieces:
        size = _width(piece)
        place = min(count - 1, int((used + size / 2) / width)) if width else 0
        parts[place] += piece
        used += size
    return [part.strip() for part in _filled(parts)]


def _filled(parts: Sequence[str]) -> Iterator[str]:
    """The parts with text first."""
    yield from (part for part in parts if part.strip())
    yield from (part for part in parts if not part.strip())


def _width(text: str) -> float:
    """In letters: a Chinese character is as wide as two."""
    return sum(1 + (ord(one) > 0x2E7F) for one in text)
