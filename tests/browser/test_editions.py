"""The two editions beside each other: the same pages with the same numbers, and each in its own language."""

import ast
import re
from collections import Counter
from functools import cache

import nbformat
import pytest
from browser.book import CONTENT, HTML, SIZES
from bs4 import BeautifulSoup, NavigableString, Tag
from playwright.sync_api import expect

from kvbook.catalogue import method_names
from kvbook.chapters.edition.assemble import assemble
from kvbook.chapters.edition.outputs import SAID_BY_OTHERS
from kvbook.chapters.edition.same import COUNTED, MONTHS
from kvbook.chapters.registry import CHAPTERS
from kvbook.places import PACKAGE

HAN = "[\u4e00-\u9fff]"


@cache
def soup(name: str) -> BeautifulSoup:
    return BeautifulSoup((HTML / f"{name}.html").read_text(encoding="utf-8"), "lxml")


def article(name: str) -> Tag:
    return soup(name).find("article")


def test_both_editions_have_the_same_pages():
    assert (
        sorted(path.stem for path in (HTML / "zh").glob("*.html") if path.stem in CONTENT)
        == CONTENT
    )


PARTS = (
    "figure",
    "img",
    ".kv-drawing",
    ".kv-explorer",
    "table",
    "tr",
    "pre",
    ".math",
    ".admonition",
    "details",
)


@pytest.mark.parametrize("name", CONTENT)
def test_both_editions_have_the_same_sections_figures_and_rows(name):
    english, chinese = article(name), article(f"zh/{name}")
    ids = [[one["id"] for one in page.select("section[id]")] for page in (english, chinese)]
    assert ids[0] == ids[1]
    for part in PARTS:
        assert len(english.select(part)) == len(chinese.select(part)), part


def test_no_word_lacks_its_chinese_and_no_entry_is_left_over(tmp_path):
    words = assemble(HTML.parent / "source", HTML, tmp_path / "source")
    assert words.missed == {} and words.known.keys() >= OF_OTHER_RUNS
    sources = source_texts()
    unused = {
        one
        for one in words.known.keys() - words.used - OF_OTHER_RUNS
        if not all(" ".join(part.split()) in sources for part in FIELD.split(one))
    }
    assert unused == set()


OF_OTHER_RUNS = {
    "{} holds {} entries and a summary and writes {}, right.",
    "{} holds {} entries and a summary and writes {}, wrong.",
    "pyramidinfer, min_length {}, budget {}",
    "this build: {}, {} item a task, budget {}",
}
"""Entries that not every book needs: an answer is right or wrong; the profile smoke has one item a task and
short prompts. The sources join them from pieces."""


def source_texts() -> str:
    """All texts of the package and of the chapters' code: a branch of them that no run took may say one."""
    modules = [path.read_text("utf-8") for path in PACKAGE.rglob("*.py")]
    for chapter in CHAPTERS.values():
        cells = nbformat.read(chapter.notebook, as_version=4).cells
        modules += [cell.source for cell in cells if cell.cell_type == "code"]
    texts = [
        node.value
        for module in modules
        for node in ast.walk(ast.parse(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    texts += [path.read_text("utf-8") for path in PACKAGE.rglob("*.js")]
    return " ".join(" ".join(texts).split())


BY_OTHERS = ", ".join(
    ["pre", "code", "kbd", "script", "style", "noscript", ".math"]
    + ["blockquote", ".citation", "a[href*='#cite-']", "[lang=en]", ".kv-texts td"]
    + [f".{one}" for one in SAID_BY_OTHERS]
)
"""Elements without words of ours: code, formulas, licences, papers, prompts, and what a model wrote."""
NOT_PROSE = f"{BY_OTHERS}, .headerlink"
"""These, and the sign beside a heading, which only its title explains."""
END = "\u200b"
FIELD = re.compile(r"\{[^}]*\}")
BLOCKS = re.compile(
    "p|li|h[1-4]|t[dh]|d[td]|text|figcaption|caption|label|option|output|button|summary|div|title"
)


def blocks(page: Tag) -> list[str]:
    """What is said in each paragraph, heading, cell of a table and word of a picture; something that is
    not said by us is a ¶, and where an element ends is no blank."""
    others = {id(one) for one in page.select(NOT_PROSE)}
    texts: dict[int, list[str]] = {}
    for node in page.find_all(string=True):
        if type(node) is NavigableString:
            ours = others.isdisjoint(map(id, node.parents))
            texts.setdefault(id(node.find_parent(BLOCKS)), []).append(str(node) if ours else "¶")
    return [" ".join(END.join(one).split()) for one in texts.values()]


def numbers(page: Tag) -> Counter[str]:
    """The numbers in tables, pictures and sentences, a month as its number; those within a name, such as
    float32, are none."""
    text = "\n".join(blocks(page)).replace("_", " ")  # an English page names functions so
    text = re.sub(rf"\b({'|'.join(MONTHS)})(?= \d)", lambda month: MONTHS[month[1]], text)
    return Counter(re.findall(COUNTED["number"], text))


@pytest.mark.parametrize("name", CONTENT)
def test_both_editions_have_the_same_numbers(name):
    english, chinese = numbers(article(name)), numbers(article(f"zh/{name}"))
    assert not english - chinese and not chinese - english


@pytest.mark.parametrize("name", CONTENT)
def test_a_page_says_its_language(name):
    assert soup(name).html["lang"] == "en" and soup(f"zh/{name}").html["lang"] == "zh-CN"


RUN = re.compile(rf"[A-Za-z][A-Za-z'’-]*(?:(?:[ ,:;{END}]+|\. )[A-Za-z][A-Za-z'’-]*){{2,}}")
"""Three or more words in a row."""
QUOTED = re.compile(r"“[^“”\u4e00-\u9fff]*”|（[^（）\u4e00-\u9fff]{,40}）")
"""A prompt or an answer; and behind a Chinese term the English one."""
NAMES = "|".join([*method_names(), *CHAPTERS])
SMALL = re.compile(rf"\b(?!(?:{NAMES})\b)[a-z][a-z'’-]+")
"""A word that is no name."""


def stray_english(text: str) -> list[str]:
    """Runs of three or more English words, of which two at least are no names."""
    found = RUN.findall(QUOTED.sub("¶", text))
    return [one for one in found if len(SMALL.findall(one)) > 1]


def test_a_sentence_is_stray_and_names_are_not():
    assert stray_english("窗口 keeps the last entries，等等")
    assert stray_english("what this page needs")
    assert stray_english("each “word” is read here")
    assert not stray_english("SnapKV, FastKV and H2O") and not stray_english("snapkv, fastkv, h2o")
    assert not stray_english("“What is the capital of Canada?”应为：Ottawa。")
    assert not stray_english("注意力汇聚点（attention sinks in a cache）")


@pytest.mark.parametrize("name", CONTENT)
def test_no_english_is_left_on_a_chinese_page(name):
    told = blocks(article(f"zh/{name}"))
    assert not [one for text in told for one in stray_english(text)]


WORD = re.compile(r"(?<![\w./-])[a-z]{3,}(?![\w./-])")
"""A word that is no name, file or number."""


@pytest.mark.parametrize("name", [*CONTENT, "search", "genindex"])
def test_around_a_chinese_page_all_is_chinese(name):
    page = BeautifulSoup(str(soup(f"zh/{name}")), "lxml")
    said = [
        tag[key]
        for tag in page.select(f"body *:not({BY_OTHERS}, :is({BY_OTHERS}) *)")
        for key in ("title", "aria-label", "alt", "placeholder")
        if tag.get(key)
    ]
    for part in page.select(
        "article, .page-toc, #jb-print-docs-body"
    ):  # what the article says, again
        part.decompose()
    said += blocks(page)
    assert not [one for one in said if WORD.search(one) and not re.search(HAN, one)]


@pytest.mark.parametrize("name", CONTENT)
def test_chinese_is_set_as_chinese(name):
    text = "\n".join(blocks(article(f"zh/{name}")))
    assert "**" not in text
    assert not re.findall(rf"\S*{HAN}[,;:!?] ?{HAN}\S*", text)


def shown_section(page) -> str:
    return page.url.partition("#")[2]


@pytest.mark.parametrize("name", CONTENT)
def test_the_button_leads_to_the_same_section_and_back(open_page, name):
    ids = [one["id"] for one in article(name).select("section:has(> :is(h1, h2, h3))")]
    section = ids[len(ids) // 2]
    opened = open_page(name, f"#{section}")
    for folder in ("zh/", ""):
        opened.page.locator(".kv-language").first.click()
        opened.page.wait_for_url(f"**/{folder}{name}.html#{section}")
        expect(opened.page.locator(f"[id='{section}'] > :is(h1, h2, h3, h4)")).to_be_in_viewport()
    assert not opened.troubles


def test_the_button_knows_the_section_that_is_read(open_page):
    page = open_page("index").page
    section = article("index").select("section section[id]")[1]["id"]
    page.locator(f"[id='{section}']").evaluate("one => one.scrollIntoView()")
    box = page.locator(".kv-language").first.bounding_box()
    page.mouse.click(box["x"] + 9, box["y"] + 9)  # a locator's click may scroll before
    page.wait_for_url(f"**/zh/index.html#{section}")


@pytest.mark.parametrize("size", ["phone", "laptop"])
@pytest.mark.parametrize("name", ["index", "zh/index", "snapkv", "zh/snapkv"])
def test_the_button_is_whole(open_page, name, size):
    button = open_page(name, size=size).page.locator(".kv-language").first
    box = button.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= SIZES[size][0] and box["height"] < 50


@pytest.mark.parametrize(
    "page, words",
    [
        ("search", "needle"),
        ("zh/search", "端侧部署"),
        ("zh/search", "预填充"),
        ("zh/search", "推理优化"),
    ],
)
def test_words_are_found(open_page, page, words):
    opened = open_page(page)
    box = opened.page.locator("main input[name=q]").first
    box.fill(words)
    box.press("Enter")
    opened.page.wait_for_selector("#search-results li a")
    assert not opened.troubles


def test_what_is_stressed_in_chinese_is_not_slanted(open_page):
    page = open_page("zh/index").page
    word = page.evaluate_handle(
        "document.querySelector('article p').appendChild(Object.assign(document.createElement('em'), {innerText: '重点'}))"
    )
    style = word.evaluate(
        "one => [getComputedStyle(one).fontStyle, getComputedStyle(one).textEmphasisStyle]"
    )
    assert style == ["normal", "dot"]
