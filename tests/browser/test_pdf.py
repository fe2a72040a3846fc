"""The printed book, when there is one (`make pdf`), in either edition: whole, in order, and to be searched and
clicked through."""

import os
import re
from pathlib import Path

import pytest
import yaml
from browser.book import HTML
from bs4 import BeautifulSoup
from pypdf import PdfReader

from kvbook.chapters.building import CHINESE_PDF, ENGLISH_PDF
from kvbook.places import place

FOLDER = Path(os.environ.get("KVBOOK_PDF") or HTML.parent)
EDITIONS = {
    "en": {"file": ENGLISH_PDF, "html": HTML, "contents": "Contents 目录"},
    "zh-CN": {"file": CHINESE_PDF, "html": HTML / "zh", "contents": "目录"},
}
PRINTED = [tag for tag, one in EDITIONS.items() if (FOLDER / one["file"]).is_file()]
pytestmark = pytest.mark.skipif(not PRINTED, reason=f"no PDF in {FOLDER}: run `make pdf`")


@pytest.fixture(scope="module", params=PRINTED)
def tag(request):
    """The editions that are printed, by their languages."""
    return request.param


@pytest.fixture(scope="module")
def pdf(tag):
    return PdfReader(FOLDER / EDITIONS[tag]["file"])


@pytest.fixture(scope="module")
def texts(pdf):
    return [page.extract_text() for page in pdf.pages]


@pytest.fixture(scope="module")
def titles(tag):
    """Of all chapters, in order, as the pages in the browser have them."""
    toc = yaml.safe_load((place("book") / "_toc.yml").read_text(encoding="utf-8"))
    names = [one["file"] for part in toc["parts"] for one in part["chapters"]]
    html = EDITIONS[tag]["html"]
    pages = [(html / f"{name}.html").read_text(encoding="utf-8") for name in [toc["root"], *names]]
    return [
        BeautifulSoup(page, "lxml").select_one("article h1").find(string=True) for page in pages
    ]


def chapters(pdf):
    """The outline's first level: title and page, from 1."""
    return {
        one["/Title"]: pdf.get_destination_page_number(one) + 1
        for one in pdf.outline
        if not isinstance(one, list)
    }


def test_it_is_a_book_that_says_its_language(pdf, tag):
    assert len(pdf.pages) > 30
    assert pdf.metadata.title and pdf.metadata.author
    assert pdf.trailer["/Root"]["/Lang"] == tag


def test_the_outline_has_every_chapter_in_order(pdf, titles, tag):
    assert list(chapters(pdf)) == [EDITIONS[tag]["contents"], *titles]


def test_the_contents_have_the_page_of_every_chapter(pdf, texts):
    first = chapters(pdf)
    last = first.pop(next(iter(first))), min(first.values())
    contents = "\n".join(texts[last[0] - 1 : last[1] - 1]).replace(" ", "").splitlines()
    for title, page in first.items():
        assert f"{title}{page}".replace(" ", "") in contents


def test_every_chapter_starts_on_its_page(pdf, texts):
    for title, page in chapters(pdf).items():
        assert re.sub(r"\s", "", title) in re.sub(r"\s", "", texts[page - 1])


def test_no_page_is_empty(pdf, texts):
    for number, (page, text) in enumerate(zip(pdf.pages, texts, strict=True), 1):
        lines = [line for line in text.splitlines() if line.strip()]
        assert len(lines) > 2 or page.images, f"page {number} has only its title and number"


def test_chinese_can_be_searched(texts):
    text = "".join(texts)
    for term in ("缓存", "参考文献", "端侧部署"):
        assert term in text
    assert not re.search("[\u2e80-\u2fdf]", text), "a radical in place of its character"


def test_every_link_has_its_place_in_the_book_or_on_the_web(pdf):
    links = [one.get_object() for page in pdf.pages for one in page.get("/Annots", [])]
    outside = [link["/A"]["/URI"] for link in links if "/A" in link]
    inside = [link["/Dest"] for link in links if "/A" not in link]
    assert len(inside) > 100 and set(inside) <= set(pdf.named_destinations)
    assert all(address.startswith("http") for address in outside)
