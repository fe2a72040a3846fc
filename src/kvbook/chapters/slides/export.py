"""Decks on disk: a page a chapter, and everything that it needs beside it."""

import re
import shutil
from collections.abc import Sequence
from copy import deepcopy
from importlib.metadata import files
from pathlib import Path

import nbformat
from IPython.display import HTML
from markupsafe import Markup
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4.rwbase import rejoin_lines

from kvbook.chapters.edition.assemble import translate_notebook
from kvbook.chapters.edition.words import read_words
from kvbook.chapters.page import make_sheet, mathjax
from kvbook.chapters.registry import CHAPTERS, get_chapter
from kvbook.chapters.slides.language import CHINESE, ENGLISH, Language
from kvbook.chapters.slides.rules import has_deck, make_deck
from kvbook.errors import ParameterError
from kvbook.files import check_writable, write_whole
from kvbook.texts import read_json

HERE = Path(__file__).parent
REVEAL = ("dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js", "revealjs/LICENSE")
"""What a deck needs of reveal.js: how the paths of its files end."""


def make_decks(
    chapters: Sequence[str], runs: Path, output: Path, language: Language = ENGLISH
) -> Path:
    """The decks of executed chapters, in one folder that opens from disk and loads nothing from
    outside.

    Parameters
    ----------
    chapters : sequence of str
        Names; none: all that have been executed and have a deck.
    runs : Path
        The folder of executed notebooks, as `kvbook book` and `kvbook run` leave them.
    output : Path
        The folder for the decks.
    language : Language
        Theirs; the runs are the same.

    Returns
    -------
    Path
        The page that lists them.

    Raises
    ------
    ParameterError
        A chapter that does not exist, was not executed, or has no deck; none of all was executed;
        a folder that cannot be written; a translation with other sections than its chapter.
    """
    names = [get_chapter(name).name for name in dict.fromkeys(chapters)] or list(CHAPTERS)
    found = {name: path for name in names if (path := runs / f"{name}.ipynb").is_file()}
    missing = [name for name in names if name not in found]
    if not found or (chapters and missing):
        raise ParameterError(
            f"not executed in {runs}: {', '.join(missing)}; `make book` executes all chapters, `kvbook "
            f"run {missing[0]}` one: then give --runs kvbook-runs/{missing[0]}"
        )
    notebooks = {name: _read(path) for name, path in found.items()}
    without = [name for name, notebook in notebooks.items() if not has_deck(notebook)]
    if chapters and without:
        raise ParameterError(
            f"{', '.join(without)}: no chapter with a problem and exercises, so no slides"
        )
    decks = {
        name: make_deck(notebook, _translate(notebook, name) if language is CHINESE else None)
        for name, notebook in notebooks.items()
        if name not in without
    }
    check_writable(output)
    (output / "reveal").mkdir(exist_ok=True)
    for path in reveal_files():
        shutil.copy(path, output / "reveal")
    for path in (mathjax(), HERE / "slides.css"):
        shutil.copy(path, output)
    for name, deck in decks.items():
        write_whole(output / f"{name}.html", deck_page(deck))
    index = output / "index.html"
    write_whole(index, _index(output, language))
    return index


def _read(path: Path) -> NotebookNode:
    notebook = nbformat.from_dict(read_json(path))
    try:
        nbformat.validate(notebook, version=4)
    except (nbformat.ValidationError, AttributeError, TypeError):
        raise ParameterError(f"{path} is no notebook: execute the chapter again") from None
    return rejoin_lines(notebook)


def _translate(notebook: NotebookNode, name: str) -> NotebookNode:
    translated = deepcopy(notebook)
    translate_notebook(translated, name, read_words())
    return translated


def deck_page(deck: NotebookNode) -> str:
    """A deck as a page of reveal.js, by nbconvert."""
    exporter = SlidesExporter(
        template_file=str(HERE / "slides.html.j2"),
        reveal_url_prefix="reveal",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    return exporter.from_notebook_node(deck)[0]


def reveal_files() -> list[Path]:
    """The files of reveal.js, from the package that brings it."""
    brought = [path for path in files("sphinx-revealjs") or () if str(path).endswith(REVEAL)]
    return [Path(path.locate()) for path in brought]


def _index(output: Path, language: Language) -> str:
    """The page of all decks that are in the folder."""
    made = {name: path for name in CHAPTERS if (path := output / f"{name}.html").is_file()}
    line = Markup('<li><a href="{}.html">{}</a></li>')
    items = Markup("").join(
        line.format(name, _title(path, language)) for name, path in made.items()
    )
    return make_sheet(
        language.index, HTML(f"<ul>{items}</ul>"), HTML(language.how), language=language.tag
    )


def _title(deck: Path, language: Language) -> Markup:
    """The chapter's title, of its deck."""
    found = re.search("<title>(.*)</title>", deck.read_text(encoding="utf-8"))
    return Markup(found[1].removesuffix(language.deck) if found else deck.stem)
