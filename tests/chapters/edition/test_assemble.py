"""The source of the Chinese edition, from a book of one chapter and one page."""

import json
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kvbook.chapters.edition import due
from kvbook.chapters.edition.assemble import assemble, merge, section_names
from kvbook.chapters.edition.blocks import Block, digest, write_blocks
from kvbook.show import say

PICTURE = {"mystnb": {"image": {"alt": "A map."}, "figure": {"caption": "What is kept."}}}
SAID = say("It holds {n} entries.", n=8)
CELLS = [
    new_markdown_cell("# One chapter", id="m1"),
    new_code_cell("x = 1  # a number", id="c1", metadata=PICTURE),
    new_markdown_cell("Nobody has translated this.", id="m2"),
]


@pytest.fixture
def book(tmp_path, monkeypatch):
    """The folders: ``book``, with the translation, ``notebooks``, the English ``source`` and ``html``."""
    for name in ("book/zh", "notebooks", "source", "html"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("KVBOOK_BOOK", str(tmp_path / "book"))
    chapter = SimpleNamespace(notebook=tmp_path / "notebooks/one.ipynb")
    monkeypatch.setattr(due, "CHAPTERS", {"one": chapter})
    nbformat.write(new_notebook(cells=CELLS), chapter.notebook)
    shown, metadata = SAID._repr_mimebundle_()
    executed = new_notebook(cells=CELLS)
    executed.cells[1].outputs = [
        new_output("display_data", data=shown, metadata=metadata),
        new_output("display_data", data={"text/html": "<b>unknown words</b>"}),
    ]
    nbformat.write(executed, tmp_path / "source/one.ipynb")
    for folder in ("book", "source"):
        (tmp_path / folder / "page.md").write_text("# A page\n\nText.\n\n## More\n\nIts text.\n")
    settings = {
        "title": "A book",
        "sphinx": {"config": {"language": "en", "html_theme_options": {"a": 1}}},
    }
    (tmp_path / "source/_config.yml").write_text(yaml.safe_dump(settings))
    (tmp_path / "source/_toc.yml").write_text("root: page\nparts:\n  - caption: First part\n")
    (tmp_path / "html/page.html").write_text(
        '<article><section id="a-page"><h1>A page</h1><section id="more"><h2>More</h2></section>'
        '<div><section id="exercise-content"><p>Try.</p></section></div></section></article>'
    )
    chinese = tmp_path / "book/zh"
    blocks = {"m1": "# 一章", "c1 alt": "一幅图。", "c1 caption": "保留的内容。"}
    write_blocks(chinese / "one.md", {name: Block("", text) for name, text in blocks.items()})
    write_blocks(chinese / "page.md", {"More": Block(digest(""), "## 更多\n\n文字。")})
    words = {"First part": "第一部分", "It holds {n} entries.": "它有 {n} 个条目。"}
    (chinese / "words.json").write_text(json.dumps({"stay": [], "words": words}))
    (chinese / "_config.yml").write_text("title: 一本书\nsphinx: {config: {language: zh_CN}}\n")
    return tmp_path


def test_a_notebook_has_the_prose_and_what_its_cells_say_in_chinese(book):
    assemble(book / "source", book / "html", book / "zh")
    first, code, second = nbformat.read(book / "zh/one.ipynb", as_version=4).cells
    assert first.source == "# 一章" and second.source == "Nobody has translated this."
    assert code.source == "x = 1  # a number"
    assert code.metadata["mystnb"]["image"]["alt"] == "一幅图。"
    assert code.metadata["mystnb"]["figure"]["caption"] == "保留的内容。"
    assert code.outputs[0]["data"]["text/markdown"] == "它有 8 个条目。"


def test_a_page_has_its_translated_sections_among_the_others(book):
    assemble(book / "source", book / "html", book / "zh")
    assert (book / "zh/page.md").read_text() == "# A page\n\nText.\n\n## 更多\n\n文字。\n"


def test_settings_are_those_of_the_book_but_for_what_differs(book):
    assemble(book / "source", book / "html", book / "zh")
    settings = yaml.safe_load((book / "zh/_config.yml").read_text())
    assert settings["title"] == "一本书"
    config = settings["sphinx"]["config"]
    assert config["language"] == "zh_CN" and config["html_theme_options"] == {"a": 1}
    assert config["section_names"] == {"page": ["a-page", "more"]}
    assert "caption: 第一部分" in (book / "zh/_toc.yml").read_text()


def test_what_has_no_chinese_is_told_with_its_place(book):
    words = assemble(book / "source", book / "html", book / "zh")
    assert words.missed == {"unknown words": "one, cell c1"}
    assert words.used == {"First part", "It holds {n} entries."}


def test_the_english_source_stays_and_an_older_chinese_one_goes(book):
    (book / "zh").mkdir()
    (book / "zh/old.md").write_text("# Old")
    before = {path: path.read_bytes() for path in (book / "source").iterdir()}
    assemble(book / "source", book / "html", book / "zh")
    assert before == {path: path.read_bytes() for path in (book / "source").iterdir()}
    assert not (book / "zh/old.md").exists()


def test_a_page_without_an_article_has_no_names(tmp_path):
    (tmp_path / "one.html").write_text('<article><section id="a"><h1>A</h1></section></article>')
    (tmp_path / "search.html").write_text("<main></main>")
    assert section_names(tmp_path) == {"one": ["a"]}


def test_settings_that_are_no_mapping_are_replaced_whole():
    assert merge({"a": [1, 2], "b": 1}, {"a": [3]}) == {"a": [3], "b": 1}
