"""Every page of the built book: complete, quiet, readable, and no wider than its window."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import numpy as np
import pytest
from browser.book import CHINESE, CONTENT, HTML, PAGES
from bs4 import BeautifulSoup
from playwright.sync_api import expect

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


def test_a_page_loads_without_errors_and_from_disk_alone(opened):
    assert not opened.troubles


WIDER = """() => {
    const width = document.scrollingElement.scrollWidth;
    if (width <= innerWidth) return [];
    const wide = [...document.querySelectorAll("body *:not(pre *, table *, svg *)")]
        .filter(one => one.getBoundingClientRect().right > innerWidth);
    return [width, ...wide.map(one => `${one.tagName}.${one.className} ${one.textContent.slice(0, 40)}`)];
}"""
"""Nothing, or how wide a page is and what makes it so."""


def test_a_page_is_no_wider_than_its_window(sized):
    assert not sized.page.evaluate(WIDER) and not sized.troubles


@pytest.mark.parametrize("name", [*sorted({*PAGES} - {*CONTENT}), "zh/search"])
def test_a_page_to_search_is_no_wider_than_a_phone(open_page, name):
    opened = open_page(name, size="phone")
    assert not opened.page.evaluate(WIDER) and not opened.troubles


CUT = """() => [...document.querySelectorAll("article pre")]
    .filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)
    .map(one => one.textContent.slice(0, 80))"""
"""The beginnings of code and outputs that are wider than their column."""


def test_code_fits(sized):
    assert not sized.page.evaluate(CUT)


def test_images_say_what_they_show(opened):
    alts = opened.page.eval_on_selector_all(
        "img", "images => images.map(image => image.getAttribute('alt') ?? '')"
    )
    assert all(len(alt) > 3 and not alt.endswith((".png", ".svg")) for alt in alts), alts


def test_drawings_have_a_label(opened):
    """Plotly's and other drawings in the page; MathJax's speak for themselves."""
    unnamed = opened.page.eval_on_selector_all(
        ".js-plotly-plot, article svg:not(.js-plotly-plot svg, mjx-container svg, button svg)",
        """all => all.filter(one => !one.closest("[aria-label], figure:has(figcaption), [aria-hidden=true]"))
                      .map(one => one.outerHTML.slice(0, 200))""",
    )
    assert not unnamed


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(opened, scheme):
    opened.page.emulate_media(color_scheme=scheme)
    expect(opened.page.locator("html")).to_have_attribute("data-theme", scheme)
    faint = opened.page.evaluate(CONTRAST)
    opened.page.emulate_media(color_scheme="light")
    assert not faint


INKS = """() => [...document.querySelectorAll(".kv-drawing text[style*='--kv-ink']")]
    .map(one => getComputedStyle(one).fill).filter((one, i, all) => all.indexOf(one) == i)
    .concat(getComputedStyle(document.body).backgroundColor)"""
"""The colours of words in drawings, and at last that of the page's ground."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_ink_of_figures_is_readable(opened, scheme):
    opened.page.emulate_media(color_scheme=scheme)
    *inks, ground = (
        luminance([int(part) for part in re.findall(r"\d+", one)])
        for one in opened.page.evaluate(INKS)
    )
    opened.page.emulate_media(color_scheme="light")
    assert all((max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 7 for ink in inks)


def luminance(rgb: np.ndarray) -> np.ndarray:
    share = np.asarray(rgb) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_formulas_are_set(opened):
    written = len(soup(HTML / f"{opened.name}.html").select(".math"))
    assert opened.page.locator(".math mjx-container svg").count() >= written
    assert not opened.page.locator("[data-mjx-error], mjx-merror").count()
    raw = opened.page.evaluate(
        """() => {
            const walk = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
            const found = [];
            while (walk.nextNode()) {
                const node = walk.currentNode;
                if (!node.parentElement.closest("pre, code, script, style, mjx-container") &&
                    /\\\\\\(|\\\\\\[|\\$\\$/.test(node.data)) found.push(node.data.trim());
            }
            return found;
        }"""
    )
    assert not raw


@cache
def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "lxml")


@cache
def anchors(page: Path) -> set[str]:
    return {tag.get(key) for tag in soup(page).find_all(True) for key in ("id", "name")} - {None}


@pytest.mark.parametrize("name", [*PAGES, *CHINESE])
def test_links_lead_somewhere(name):
    broken = []
    for tag in soup(HTML / f"{name}.html").find_all(["a", "link", "img", "script"]):
        address = tag.get("href") or tag.get("src") or ""
        target, fragment = urldefrag(address)
        if urlsplit(address).scheme or not (target or fragment):
            continue
        page = HTML / f"{name}.html"
        file = (page.parent / unquote(urlsplit(target).path)).resolve() if target else page
        if not file.is_file() or (
            fragment and file.suffix == ".html" and unquote(fragment) not in anchors(file)
        ):
            broken.append(address)
    assert not broken


def test_solutions_open(opened):
    solutions = opened.page.locator(".admonition.dropdown")
    for i in range(solutions.count()):
        body = solutions.nth(i).locator(":scope > *:not(.admonition-title)").first
        assert not body.is_visible()
        solutions.nth(i).locator(".toggle-button").click()
        assert body.is_visible() and body.inner_text().strip()


def test_hidden_code_opens(opened):
    folded = opened.page.locator("details.hide").first
    if folded.count():
        assert not folded.locator("pre").first.is_visible()
        folded.locator("summary").click()
        assert folded.locator("pre").first.is_visible()


def test_the_theme_button_changes_the_ground(open_page):
    page = open_page(CONTENT[0]).page
    seen = set()
    for _ in range(3):
        page.locator(".theme-switch-button:visible").first.click()
        seen.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    page.evaluate("localStorage.clear()")
    assert len(seen) == 2


@pytest.mark.parametrize("tag", ["h1", "h2", "p", "td", "code", "pre"])
def test_chinese_has_its_fonts_everywhere(open_page, tag):
    page = open_page("index").page
    fonts = page.evaluate(
        "tag => getComputedStyle(document.querySelector('article').appendChild(document.createElement(tag))).fontFamily",
        tag,
    )
    assert "PingFang SC" in fonts and "Noto Sans CJK SC" in fonts
