"""The source of the Chinese edition: that of the English one, with the prose and the words in Chinese."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import nbformat
import yaml
from bs4 import BeautifulSoup, Tag
from nbformat import NotebookNode

from kvbook.chapters.edition.blocks import Block, english_blocks, words_of_picture
from kvbook.chapters.edition.due import pages, translation_of, translations
from kvbook.chapters.edition.outputs import translate_outputs
from kvbook.chapters.edition.words import Words, read_words
from kvbook.files import write_whole
from kvbook.texts import read_text

CAPTION = re.compile(r"(?<=caption: ).+")
"""Of a part of the book, in the list of contents."""


def assemble(english: Path, built: Path, folder: Path) -> Words:
    """Write the source of the Chinese edition.

    What has no translation stays English: `kvbook.chapters.edition.due.find_due` lists it.

    Parameters
    ----------
    english : Path
        The source of the English edition, with its executed notebooks.
    built : Path
        The built pages of the English edition; sections keep their names.
    folder : Path
        Where it is written; what is there goes.

    Returns
    -------
    Words
        The catalogue, which knows now what was needed and what was missed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(english, folder)
    words = read_words()
    for name, page in pages().items():
        if page.suffix == ".md":
            blocks, parts = translation_of(name), english_blocks(page)
            text = "\n\n".join(_chosen(blocks, part, one) for part, one in parts.items())
            write_whole(folder / page.name, text + "\n")
            continue
        executed = folder / page.name
        notebook = nbformat.read(executed, as_version=4)
        translate_notebook(notebook, name, words)
        write_whole(executed, nbformat.writes(notebook))
    _translate_settings(folder, words, section_names(built))
    return words


def translate_notebook(notebook: NotebookNode, name: str, words: Words) -> None:
    """Put a chapter into Chinese, in place: its prose, and what its cells show.

    Parameters
    ----------
    notebook : NotebookNode
        The chapter, executed.
    name : str
        Its name.
    words : Words
        The catalogue.
    """
    put_in(notebook, translation_of(name))
    translate_outputs(notebook, words, name)


def put_in(notebook: NotebookNode, blocks: Mapping[str, Block]) -> None:
    """The translated prose in place of the English, and what pictures say in words."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _chosen(blocks, cell.id, cell.source)
        for part, holder in words_of_picture(cell.metadata).items():
            holder[part] = _chosen(blocks, f"{cell.id} {part}", holder[part])


def _chosen(blocks: Mapping[str, Block], name: str, english: str) -> str:
    return blocks[name].text if name in blocks else english


def section_names(built: Path) -> dict[str, list[str]]:
    """The names of the sections of every built page, in their order; what an exercise holds is a section
    without a heading, and none of them."""
    found = {}
    for page in sorted(built.glob("*.html")):
        article = BeautifulSoup(page.read_text(encoding="utf-8"), "lxml").find("article")
        if article:
            sections = article.find_all("section", id=True)
            found[page.stem] = [str(one["id"]) for one in sections if _has_heading(one)]
    return found


def _has_heading(section: Tag) -> bool:
    """The boxes of exercises are called sections, too, and have none."""
    return section.find(re.compile("^h[1-6]$"), recursive=False) is not None


def _translate_settings(folder: Path, words: Words, sections: Mapping[str, list[str]]) -> None:
    """Contents and settings: of ``zh/_config.yml`` what differs."""
    contents = folder / "_toc.yml"
    text = read_text(contents)
    write_whole(contents, CAPTION.sub(lambda one: words.translate(one[0], "the contents"), text))
    settings = folder / "_config.yml"
    held = yaml.safe_load(read_text(settings))
    ours = yaml.safe_load(read_text(translations() / "_config.yml"))
    merged = merge(held, ours)
    merged["sphinx"]["config"]["section_names"] = sections
    write_whole(settings, yaml.safe_dump(merged, allow_unicode=True, sort_keys=False))


def merge(settings: Mapping, ours: Mapping) -> dict:
    """Settings with others put over them, level by level.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    merged = dict(settings)
    for key, value in ours.items():
        below = merged.get(key)
        merged[key] = (
            merge(below, value)
            if isinstance(below, Mapping) and isinstance(value, Mapping)
            else value
        )
    return merged
