"""The book on paper, before the printer: the page that is made of Sphinx's single one."""

import io
import json
import re
import subprocess
import sys
from datetime import date

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, StreamObject
from typer.testing import CliRunner

from kvbook.chapters import browser, building, fonts, printing
from kvbook.chapters.browser import find_chromium
from kvbook.commands import cli
from kvbook.errors import BrowserError
from kvbook.places import REPOSITORY, place

SINGLE = """<!DOCTYPE html><html data-theme="dark"><head>
<link rel="stylesheet" href="_static/custom.css"><script>localStorage.getItem("mode")</script>
<script>window.MathJax = {}</script><script defer src="_static/../mathjax/tex-svg.js"></script>
</head><body><nav class="bd-sidebar">everywhere</nav><article class="bd-article">
<section id="the-book"><h1>The book<a class="headerlink" href="#the-book">#</a></h1>
<p><a class="image-reference" href="_images/a.svg"><img src="_images/a.svg"></a>See <a href="#document-second">two</a>, <a href="index.html#cite-x">x</a>.</p>
<div class="toctree-wrapper"><span id="document-first"></span>
<section id="one"><h2>One &amp; only</h2><section id="summary"><h3>Summary</h3></section></section></div>
<div class="toctree-wrapper"><span id="document-second"></span>
<section id="two"><h2>Two</h2><section id="summary"><h3>Summary</h3></section>
<div class="cell_output"><a href="first.html">30.2</a><a href="first.html#cite-x">y</a><a href="results/a.json">b</a></div>
<details class="dropdown"><summary>more</summary>the solution</details>
<script>Plotly.newPlot("a < b")</script><p id="cite-x">x</p></section></div>
</section></article></body></html>"""
TOC = {
    "root": "index",
    "parts": [
        {"caption": "Part 一", "chapters": [{"file": "first"}]},
        {"caption": "Part 二", "chapters": [{"file": "second"}]},
    ],
}
FACTS = {
    "language": "en",
    "title": "The book",
    "author": "Some & Other",
    "version": "9.9",
    "keywords": ["k"],
    "days": [date(2026, 5, 1), date(2026, 6, 12)],
    "profile": "laptop",
    "models": ["a-model"],
}


def print_page_of(**changes):
    front = (place("book") / "front.html").read_text(encoding="utf-8")
    return printing.make_print_page(SINGLE, TOC, front, FACTS | changes)


@pytest.fixture(scope="module")
def text():
    return print_page_of()


@pytest.fixture(scope="module")
def page(text):
    return BeautifulSoup(text, "lxml")


def test_title_contents_and_chapters_come_in_order(page):
    kinds = [one["class"][0] for one in page.body.find_all(["section", "nav"], recursive=False)]
    assert kinds == ["kv-title-page", "kv-contents", "kv-chapter", "kv-chapter", "kv-chapter"]
    assert [one.get_text() for one in page.find_all("h1")] == [
        "Contents 目录", "The book", "One & only", "Two",
    ]  # fmt: skip


def test_the_title_page_says_who_when_and_on_what(page):
    said = page.select_one(".kv-title-page").get_text()
    days = "1 May 2026 to 12 June 2026"
    for fact in ("The book", "Some & Other", "9.9", days, "laptop", "a-model", "缓存"):
        assert fact in said


def test_the_front_pages_of_the_chinese_edition_are_chinese():
    page = BeautifulSoup(print_page_of(language="zh-CN", profile="smoke"), "lxml")
    said, contents = page.select_one(".kv-imprint").get_text(), page.select_one(".kv-contents")
    assert page.html["lang"] == "zh-CN" and contents.h1.get_text() == "目录"
    assert "9.9 版。2026 年 5 月 1 日至 2026 年 6 月 12 日执行" in said and "没有意义" in said
    assert set(re.findall("[A-Za-z][A-Za-z-]+", said)) == {"smoke", "a-model", "CC", "BY", "MIT"}


def test_both_front_pages_have_the_same_paragraphs_and_links(page):
    chinese = BeautifulSoup(print_page_of(language="zh-CN"), "lxml")
    for kind in ("p", "a", "em"):
        assert len(chinese.select(f".kv-imprint {kind}")) == len(page.select(f".kv-imprint {kind}"))


def test_the_contents_name_every_chapter_under_its_part(page):
    contents = page.select_one(".kv-contents")
    assert re.findall("The book|Part .|One & only|Two", contents.get_text()) == [
        "The book", "Part 一", "One & only", "Part 二", "Two",
    ]  # fmt: skip
    assert len(contents.select("a .kv-page")) == 3


def test_every_link_means_one_place(page):
    places = [one["id"] for one in page.find_all(id=True)]
    links = [one["href"] for one in page.select("a[href^='#']")]
    assert len(links) == 7 and all(places.count(link[1:]) == 1 for link in links)
    assert len(set(places)) == len(places)


def test_no_link_means_a_file_of_this_machine(page):
    assert page.find("img") and not page.find("a", href=re.compile("^(?!#|https?:)"))


def test_headings_are_a_level_up_so_that_chapters_are_the_outline(page):
    assert [one.get_text() for one in page.find_all("h2")] == ["Summary", "Summary"]
    assert not page.find_all("h3")


def test_of_the_site_only_styles_and_formulas_are_left(page):
    scripts = " ".join(map(str, page.head.find_all("script")))
    assert "mathjax" in scripts and "localStorage" not in scripts
    assert not page.select(".bd-sidebar, .headerlink") and page.html["data-theme"] == "light"
    assert page.find("link", href="_static/custom.css")


def test_pictures_keep_their_scripts_and_what_is_folded_is_open(page, text):
    assert 'Plotly.newPlot("a < b")' in text
    assert page.find("details").has_attr("open")


def test_every_chapter_has_its_title_over_its_pages(text):
    assert '@page first { @top-right { content: "One & only"; } }' in text
    assert 'style="page: first"' in text


def test_the_facts_are_of_the_citation_and_of_the_runs(tmp_path):
    provenance = {
        "chapter": "a", "profile": "smoke", "parameters": {}, "seed": 0, "model": "m", "seconds": 1,
        "commit": None, "dirty": None, "machine": {}, "versions": {},
    }  # fmt: skip
    files = []
    for name, day in (("b", "2026-11-25"), ("a", "2026-11-03")):
        run = provenance | {"started": f"{day}T10:00:00+00:00"}
        result = {"name": name, "provenance": run, "data": {}}
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(result))
    edition = {"title": "书", "author": "我们", "sphinx": {"config": {"language": "zh_CN"}}}
    facts = printing.title_facts(edition, REPOSITORY / "CITATION.cff", files)
    assert facts["days"] == [date(2026, 11, 3), date(2026, 11, 25)]
    assert facts["profile"] == "smoke" and facts["models"] == ["m"]
    assert (facts["title"], facts["author"], facts["language"]) == ("书", "我们", "zh-CN")
    assert facts["version"] in (REPOSITORY / "CITATION.cff").read_text()


def test_the_pdf_says_its_language_and_its_characters():
    """On a page with a font whose table of glyphs has a radical."""
    writer = PdfWriter()
    page = writer.add_blank_page(100, 100)
    table = StreamObject()
    table.set_data(b"1 beginbfchar\n<0033> <2F42>\nendbfchar")
    font = DictionaryObject({NameObject("/ToUnicode"): writer._add_object(table)})
    page[NameObject("/Resources")] = DictionaryObject(
        {NameObject("/Font"): writer._add_object(font)}
    )
    made = io.BytesIO()
    writer.write(made)
    pdf = PdfReader(
        io.BytesIO(printing._finish_pdf(PdfReader(made), FACTS | {"language": "zh-CN"}))
    )
    assert pdf.trailer["/Root"]["/Lang"] == "zh-CN"
    assert pdf.metadata.title == "The book" and pdf.metadata.author == "Some & Other"
    assert b"<0033> <6587>" in pdf.pages[0]["/Resources"]["/Font"]["/ToUnicode"].get_data()


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """An empty ``PATH``, and a way to put programs there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KVBOOK_CHROMIUM", raising=False)

    def program(name):
        path = tmp_path / name
        path.touch(mode=0o755)
        return str(path)

    return program


def test_the_first_browser_on_the_path_is_taken(programs):
    _, chromium = programs("google-chrome"), programs("chromium")
    assert find_chromium() == chromium


def test_the_environment_decides_which_browser(programs, monkeypatch):
    programs("chromium")
    monkeypatch.setenv("KVBOOK_CHROMIUM", programs("another"))
    assert find_chromium().endswith("another")


@pytest.mark.parametrize("given", [None, "nowhere/chromium"])
def test_without_a_browser_the_message_says_what_to_install(given, programs, monkeypatch):
    if given:
        programs("chromium")
        monkeypatch.setenv("KVBOOK_CHROMIUM", given)
    with pytest.raises(BrowserError, match="install Chromium"):
        find_chromium()


def test_nothing_is_executed_for_a_print_without_a_browser():
    command = [sys.executable, "-m", "kvbook.commands.cli", "book", "--pdf", "--profile", "smoke"]
    asked = subprocess.run(command, capture_output=True, text=True, env={"PATH": ""})
    assert asked.returncode == 1 and not asked.stdout
    assert "install Chromium" in asked.stderr and "Traceback" not in asked.stderr


@pytest.mark.parametrize(
    "font, printed",
    [("NotoSansCJK-Regular", ["kvbook.pdf", "kvbook-zh.pdf"]), ("", ["kvbook.pdf"])],
)
def test_without_a_chinese_font_only_the_english_edition_is_printed(
    font, printed, monkeypatch, tmp_path
):
    asked = []

    def build(profile, cores, pdfs):
        asked.extend(pdfs)
        return tmp_path

    monkeypatch.setattr(browser, "find_chromium", lambda: "chromium")
    monkeypatch.setattr(fonts, "find_chinese_font", lambda: font)
    monkeypatch.setattr(building, "build_book", build)
    done = CliRunner().invoke(cli.app, ["book", "--pdf"])
    assert done.exit_code == 0 and asked == printed
    assert ("no Chinese font here" in done.stderr) == (not font)
    assert all(str(tmp_path / name) in done.stdout for name in printed)


@pytest.mark.parametrize(
    "files, found", [(["DejaVuSans.ttf"], ""), (["b/wqy-zenhei.ttc", "a.ttf"], "wqy-zenhei")]
)
def test_a_chinese_font_is_known_by_its_file(files, found, monkeypatch):
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: files)
    assert fonts.find_chinese_font() == found


def test_links_in_tables_lead_to_chapters_and_not_to_files(page):
    output = page.select_one(".cell_output")
    assert [link["href"] for link in output.find_all("a")] == ["#document-first", "#cite-x"]
    assert output.get_text() == "30.2yb"
