"""What of the Chinese edition is due: English text without a translation, or that has changed since, and
translations of nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kvbook.chapters.edition.blocks import Block, digest, english_blocks, read_blocks, write_blocks
from kvbook.chapters.edition.same import differences
from kvbook.chapters.registry import CHAPTERS
from kvbook.errors import ParameterError
from kvbook.places import place

MISSING = "has no translation"
CHANGED = "has changed since it was translated"
GONE = "is no longer in the English page"


@dataclass(frozen=True)
class Due:
    """One block that somebody has to look at.

    Attributes
    ----------
    page, block : str
        Names of the page and of the block.
    why : str
        What is the matter, in words.
    """

    page: str
    block: str
    why: str


def pages() -> dict[str, Path]:
    """The English pages by name: the chapters' notebooks, and the pages that are none."""
    book = {path.stem: path for path in sorted(place("book").glob("*.md"))}
    return {name: chapter.notebook for name, chapter in CHAPTERS.items()} | book


def translations() -> Path:
    """The folder of the translated pages."""
    return place("book") / "zh"


def translation_of(name: str) -> dict[str, Block]:
    """The translated blocks of a page, by name; none while there is no translation.

    Raises
    ------
    ResultError
        The page cannot be read.
    """
    path = translations() / f"{name}.md"
    return read_blocks(path) if path.is_file() else {}


def find_due(names: Iterable[str] = ()) -> list[Due]:
    """What is due, page by page.

    Parameters
    ----------
    names : iterable of str
        Pages to look at; all when left out.

    Raises
    ------
    ParameterError
        There is no page of that name.
    """
    found = []
    for name, page in _chosen(names).items():
        english, chinese = english_blocks(page), translation_of(name)
        for block, text in english.items():
            if block not in chinese:
                found.append(Due(name, block, MISSING))
            elif chinese[block].english != digest(text):
                found.append(Due(name, block, CHANGED))
        found += [Due(name, block, GONE) for block in chinese if block not in english]
    return found


def find_unlike(names: Iterable[str] = ()) -> list[Due]:
    """Translations of the present English text that have other code, links, formulas or numbers.

    Raises
    ------
    ParameterError
        There is no page of that name.
    """
    found = []
    for name, page in _chosen(names).items():
        chinese = translation_of(name)
        for block, text in english_blocks(page).items():
            if block in chinese and chinese[block].english == digest(text):
                found += [Due(name, block, what) for what in differences(text, chinese[block].text)]
    return found


def accept(names: Iterable[str]) -> int:
    """Note of every translated block of these pages that it translates the present English text, in the
    order of the English page. How many have changed.

    Raises
    ------
    ParameterError
        There is no page of that name, or no translation of it.
    """
    count = 0
    for name, page in _chosen(names).items():
        path = translations() / f"{name}.md"
        if not path.is_file():
            raise ParameterError(f"no translation of {name}: write {path} first")
        english, chinese = english_blocks(page), read_blocks(path)
        blocks = {
            block: Block(digest(text), chinese[block].text)
            for block, text in english.items()
            if block in chinese
        }
        count += sum(one != chinese[block] for block, one in blocks.items())
        write_blocks(path, blocks | {b: one for b, one in chinese.items() if b not in english})
    return count


def _chosen(names: Iterable[str]) -> dict[str, Path]:
    every, names = pages(), list(names)
    if unknown := sorted(set(names) - set(every)):
        raise ParameterError(f"no page {', '.join(unknown)}; there are: {', '.join(every)}")
    return {name: every[name] for name in names or every}
