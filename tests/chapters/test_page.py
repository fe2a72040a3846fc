"""A page of its own: what of the book's markdown and links it can hold."""

import nbformat
from bs4 import BeautifulSoup
from IPython.display import HTML
from nbformat.v4 import new_code_cell, new_notebook, new_output

from kvbook.chapters.page import make_page, make_sheet, plain_links, plain_markdown
from kvbook.show import PLOTLY


def test_a_page_of_its_own_has_no_directives_left():
    text = "```{admonition} Objectives\n:class: tip\n1. one\n```\n\n````{solution} ex-a\n:class: dropdown\n```python\nx\n```\n````\n"
    text += "By Li {cite:p}`li2024`, see [SnapKV](snapkv.ipynb).\n$$\nx\n$$ (label)\n"
    plain = plain_markdown(text)
    assert "**Objectives**" in plain and "<summary>Solution</summary>" in plain
    assert "```python\nx\n```" in plain and "(li2024), see SnapKV." in plain
    assert "{" not in plain and "(label)" not in plain and plain.rstrip().endswith("$$")


def test_directives_and_equations_are_called_as_asked():
    text = "```{exercise}\n为什么？\n```\n\n````{solution} ex-a\n见 {eq}`vote`。\n````\n"
    plain = plain_markdown(text, {"exercise": "练习", "solution": "解答", "equation": "公式"})
    assert "**练习**" in plain and "<summary>解答</summary>" in plain and "公式 *vote*" in plain


def test_a_page_of_its_own_links_only_to_what_is_beside_it(tmp_path):
    (tmp_path / "there.json").touch()
    links = (
        '<a href="there.json" title="x">1</a><a href="lost.html#part">2</a><a href="label">3</a>'
    )
    more = '<a href="https://example.org/a.html">4</a><a href="#place">5</a>'
    assert plain_links(links + more, tmp_path) == (f'<a href="there.json" title="x">1</a>23{more}')


def test_a_page_of_its_own_has_the_drawings_with_their_words(tmp_path):
    drawn = '<svg><svg class="kv-wide"></svg>\n<svg class="kv-narrow" display="none"></svg></svg>'
    shown = new_output("display_data", {"image/svg+xml": drawn, "text/plain": "a figure"})
    words = {"mystnb": {"image": {"alt": "a map"}}}
    nbformat.write(
        new_notebook(cells=[new_code_cell("draw()", outputs=[shown], metadata=words)]),
        tmp_path / "a.ipynb",
    )
    page = BeautifulSoup(make_page(tmp_path / "a.ipynb").read_text(encoding="utf-8"), "lxml")
    drawing = page.select_one(".kv-drawing")
    assert drawing["aria-label"] == "a map"
    assert [one["class"] for one in drawing.select("svg")] == [["kv-wide"], ["kv-narrow"]]


def test_a_sheet_has_the_books_style_and_one_plotly_and_loads_nothing():
    library = f'<script src="{PLOTLY}"></script>'
    page = make_sheet("a < b", HTML(f"<table></table>{library}{library}"), "c < d")
    soup = BeautifulSoup(page, "lxml")
    assert soup.title.get_text() == soup.h1.get_text() == "a < b" and soup.p.get_text() == "c < d"
    assert not soup.select("[src], link") and soup.select("body > table + script")
    assert len(soup.select("body script")) == 1 and "kv-table" in soup.style.get_text()


def test_a_sheet_says_its_language():
    page = make_sheet("幻灯片", "按键", language="zh-CN")
    assert BeautifulSoup(page, "lxml").html["lang"] == "zh-CN"


def test_a_sheet_without_a_picture_to_move_is_small():
    assert len(make_sheet("a", "b")) < 20_000
