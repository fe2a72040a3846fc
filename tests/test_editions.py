"""What Sphinx makes of the Chinese edition: a project of two pages with the book's extensions."""

import doctest
import json

import pytest
from bs4 import BeautifulSoup
from extensions import extension
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from kvbook.places import place

PAGES = {
    "index": """
预填充与解码
============

第一段有 *重点* ，和 *a paper*。
行末没有空格。

*整段是一条说明。*

::

    x = 1  # 一 二

.. _named:

结果
----

见 :ref:`named`。

.. toctree::

   second
""",
    "second": """
端侧部署
========

KV缓存压缩。
""",
}
NAMES = {"index": ["prefill-and-decode", "results"], "second": ["on-the-device"]}


def build(folder, names, language="zh_CN"):
    """The folder of the built pages."""
    source = folder / "source"
    source.mkdir()
    for name, text in PAGES.items():
        (source / f"{name}.rst").write_text(text, encoding="utf-8")
    settings = {
        "extensions": ["chinese_search", "chinese_typesetting", "editions"],
        "language": language,
        "section_names": names,
        "templates_path": [str(place("book") / "_templates")],
        "html_search_language": "pairs" if language == "zh_CN" else "en",
    }
    app = Sphinx(
        source, None, folder / "html", folder / "made", "html", settings, status=None, warning=None
    )
    app.build()
    return folder / "html"


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place("book") / "_ext")
        yield build(tmp_path_factory.mktemp("chinese"), NAMES)


@pytest.fixture(scope="module")
def index(html):
    return BeautifulSoup((html / "index.html").read_text(encoding="utf-8"), "lxml")


def test_sections_have_the_names_of_the_english_page(index):
    assert [one["id"] for one in index.select("section[id]")] == NAMES["index"]


def test_what_refers_to_a_section_finds_it(index):
    [link] = [one for one in index.select("p a.reference.internal") if one.text == "结果"]
    assert index.select_one(f"#results {link['href']}, {link['href']}:has(h2)")
    assert index.select_one("h2 a.headerlink")["href"] == "#results"


def test_another_count_of_headings_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(place("book") / "_ext")
    with pytest.raises(ExtensionError, match="second has 1 headings, its English page 2"):
        build(tmp_path, {"second": ["one", "two"]})


def test_a_page_says_its_language_and_leads_to_the_other(index):
    assert index.html["lang"] == "zh-CN"
    links = {one["hreflang"]: one["href"] for one in index.select("link[hreflang]")}
    assert links == {"zh-CN": "index.html", "en": "../index.html"}


def test_the_english_page_leads_to_the_chinese_one(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(place("book") / "_ext")
    page = BeautifulSoup((build(tmp_path, {}, "en") / "second.html").read_text("utf-8"), "lxml")
    links = {one["hreflang"]: one["href"] for one in page.select("link[hreflang]")}
    assert page.html["lang"] == "en" and links == {"en": "second.html", "zh-CN": "zh/second.html"}
    assert page.select_one("h1 a.headerlink")["title"] == "Link to this heading"


def test_words_that_sphinx_has_in_english_only_are_chinese(index):
    assert index.select_one("h1 a.headerlink")["title"] == "本节的链接"


def test_emphasis_knows_words_in_latin_letters_and_whole_paragraphs(index):
    found = {one.text: one.get("class", []) for one in index.select("em")}
    assert found == {"重点": [], "a paper": ["kv-latin"], "整段是一条说明。": ["kv-aside"]}


def test_blanks_between_chinese_letters_go_and_those_beside_latin_ones_stay(index):
    first, *_ = index.select("section p")
    assert first.text == "第一段有重点，和 a paper。行末没有空格。"
    assert "x = 1  # 一 二" in index.select_one("pre").text


@pytest.mark.parametrize("name", ["editions", "chinese_typesetting"])
def test_the_examples_of_the_extensions_hold(name):
    assert doctest.testmod(extension(name)) == (0, 1)


@pytest.mark.parametrize(
    "text, words",
    [
        ("KV缓存压缩", ["KV", "缓存", "存压", "压缩"]),
        ("端侧部署, on the device", ["on", "the", "device", "端侧", "侧部", "部署"]),
        ("解码", ["解码"]),
    ],
)
def test_chinese_pages_are_indexed_by_pairs(text, words):
    search = extension("chinese_search").SearchPairs({})
    assert sorted(search.split(text)) == sorted(words)
    assert all(search.word_filter(word) for word in words if word > "一")


def test_the_index_has_the_pairs_and_no_sentence(html):
    index = (html / "searchindex.js").read_text(encoding="utf-8")
    found = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    words = {*found["terms"], *found["titleterms"]}
    assert words >= {"端侧", "侧部", "部署", "缓存", "压缩", "解码"}
    assert not {"端侧部署", "缓存压缩"} & words


def test_what_is_typed_is_cut_into_the_same_pairs(html):
    """The script is run by `tests/browser/test_editions.py`; here it is the page's, and its range ours."""
    chinese_search = extension("chinese_search")
    script = (html / "_static/language_data.js").read_text(encoding="utf-8")
    assert chinese_search.SPLIT_QUERY.strip() in script
    assert r"[\u3400-\u9fff]{3}" in script
    assert chinese_search.CHINESE.pattern.startswith(r"[\u3400-\u9fff]{3")
