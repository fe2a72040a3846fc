"""The book on paper, before the printer: the page that is made of Sphinx's single one."""

import json
import re
import subprocess
import sys

import pytest
from bs4 import BeautifulSoup

from kvbook.chapters import printing
from kvbook.chapters.browser import find_chromium
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
    "title": "The book",
    "authors": ["Some & Other"],
    "version": "9.9",
    "keywords": ["k"],
    "executed": "1 May 2026",
    "profile": "laptop",
    "models": ["a-model"],
}


@pytest.fixture(scope="module")
def text():
    front = (place("book") / "front.html").read_text(encoding="utf-8")
    return printing.make_print_page(SINGLE, TOC, front, FACTS)


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
    for fact in ("The book", "Some & Other", "9.9", "1 May 2026", "laptop", "a-model", "缓存"):
        assert fact in said


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
    facts = printing.title_facts(REPOSITORY / "CITATION.cff", files)
    assert facts["executed"] == "3 November 2026 to 25 November 2026"
    assert facts["profile"] == "smoke" and facts["models"] == ["m"]
    assert facts["title"] in (REPOSITORY / "CITATION.cff").read_text()


def test_a_radical_is_written_down_as_its_character():
    table = b"2 beginbfchar\n<0033> <2F42>\n<2F42> <0041>\nendbfchar"
    assert printing.RADICAL.sub(printing._character, table) == table.replace(
        b"<2F42>\n", b"<6587>\n", 1
    )


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


def test_links_in_tables_lead_to_chapters_and_not_to_files(page):
    output = page.select_one(".cell_output")
    assert [link["href"] for link in output.find_all("a")] == ["#document-first", "#cite-x"]
    assert output.get_text() == "30.2yb"
