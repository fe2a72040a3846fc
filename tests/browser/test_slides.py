"""The decks, when there are some (`make slides`), in English and in Chinese: every slide holds what stands on it, large enough for
the last row, and the keys go through."""

import io
import os
import re
from pathlib import Path

import pytest
from browser.book import HTML, MOVING, Opened
from bs4 import BeautifulSoup
from pypdf import PdfReader

SLIDES = Path(os.environ.get("KVBOOK_SLIDES") or HTML.parent / "slides").resolve()
DECKS = sorted(
    path.relative_to(SLIDES).with_suffix("").as_posix()
    for folder in (SLIDES, SLIDES / "zh")
    for path in folder.glob("*.html")
    if path.stem != "index"
)
"""Of both editions."""
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
pytestmark = pytest.mark.skipif(not DECKS, reason=f"no decks in {SLIDES}: run `make slides`")


@pytest.fixture(scope="module", params=DECKS)
def deck(request, contexts):
    """Every deck in turn, on a screen of the slides' own size."""
    opened = Opened(contexts["slide"], str(SLIDES / request.param))
    yield opened
    opened.page.close()


def each_slide(page, look: str) -> list[str]:
    """What a script says of every slide while it is shown; it is given the slide's element."""
    found = []
    for number in range(page.evaluate("Reveal.getTotalSlides()")):
        page.evaluate(f"Reveal.slide({number})")
        said = page.evaluate(f"({look})(Reveal.getCurrentSlide())")
        found += [f"slide {number + 1}: {one}" for one in said]
    return found


OVER = """slide => [slide, ...slide.querySelectorAll("*:not(aside *, aside, svg *, mjx-assistive-mml, mjx-assistive-mml *)")]
    .filter(one => {
        const box = one.getBoundingClientRect();
        return box.width && (box.left < -1 || box.top < -1 || box.right > 1281 || box.bottom > 721);
    }).map(one => `${one.tagName} ${one.textContent.trim().slice(0, 60)}`)"""
"""What of a slide reaches over its edge."""


def test_nothing_overflows(deck):
    assert not each_slide(deck.page, OVER)


SQUEEZED = """slide => [...slide.querySelectorAll("img, pre, .kv-drawing, .jp-RenderedHTML")]
    .filter(one => one.checkVisibility() && !one.closest("aside"))
    .filter(one => one.scrollHeight > one.clientHeight + 2
        || one.matches("img, .kv-drawing") && one.clientHeight < 200)
    .map(one => `${one.tagName} ${one.clientHeight} of ${one.scrollHeight}: ${one.textContent.slice(0, 60)}`)"""
"""Pictures without room, and boxes that hold more than they show."""


def test_what_is_shown_has_room(deck):
    assert not each_slide(deck.page, SQUEEZED)


SMALL = """slide => {
    const walk = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT), found = [];
    while (walk.nextNode()) {
        const one = walk.currentNode.parentElement;
        if (!walk.currentNode.data.trim() || one.closest("aside, mjx-container, svg, style, script")) continue;
        const size = parseFloat(getComputedStyle(one).fontSize);
        if (size < (one.closest("pre") ? 18 : 24)) found.push(`${size} px: ${one.textContent.slice(0, 40)}`);
    }
    return found;
}"""


def test_the_last_row_can_read_it(deck):
    assert deck.page.evaluate("Reveal.getScale()") == 1
    assert not each_slide(deck.page, SMALL)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(deck, scheme):
    deck.page.emulate_media(color_scheme=scheme)
    faint = each_slide(deck.page, f"() => {CONTRAST.strip().removesuffix(';')}")
    deck.page.emulate_media(color_scheme="light")
    assert not faint


def test_a_deck_is_in_its_language(deck):
    chinese = Path(deck.name).parent.name == "zh"
    assert deck.page.evaluate("document.documentElement.lang") == ("zh-CN" if chinese else "en")
    headings = deck.page.locator("h2").all_text_contents()
    assert not chinese or all(re.search("[\u4e00-\u9fff]", one) for one in headings)


def test_the_arrow_goes_on_to_the_end(deck):
    page = deck.page
    page.evaluate("Reveal.slide(0)")
    total = page.evaluate("Reveal.getTotalSlides()")
    for number in range(1, total):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("Reveal.getIndices().h") == number
    assert page.evaluate("Reveal.isLastSlide()")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("Reveal.getIndices().h") == total - 2


def stepper_slide(page) -> int:
    """Which slide has the moving picture; -1 for a deck without."""
    return page.evaluate(
        """[...document.querySelectorAll(".slides > section")]
            .findIndex(one => one.querySelector(".kv-stepper"))"""
    )


def test_the_moving_picture_is_on_the_decks_of_the_methods(deck):
    assert (stepper_slide(deck.page) >= 0) == (Path(deck.name).name in ["families", *MOVING])


def test_who_has_clicked_the_moving_picture_steps_it_and_leaves_it_at_its_end(deck):
    page, at = deck.page, stepper_slide(deck.page)
    if at < 0:
        pytest.skip("no moving picture")

    def step():
        return int(page.locator(".kv-stepper .kv-slide").input_value())

    def slide():
        return page.evaluate("Reveal.getIndices().h")

    page.evaluate(f"Reveal.slide({at})")
    last = step()
    page.keyboard.press("ArrowRight")  # nobody has clicked it: the deck's
    assert (slide(), step()) == (at + 1, last)
    page.keyboard.press("ArrowLeft")
    page.locator(".kv-stepper .kv-now").click()
    page.keyboard.press("Home")
    for count in range(1, last + 1):
        page.keyboard.press("ArrowRight")
        assert (slide(), step()) == (at, count)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    assert (slide(), step()) == (at, last)
    page.keyboard.press("PageDown")  # a clicker's
    assert slide() == at + 1
    page.evaluate(f"Reveal.slide({at})")
    page.locator(".kv-stepper .kv-now").click()
    page.keyboard.press("ArrowRight")
    assert slide() == at + 1
    page.keyboard.press("ArrowLeft")
    assert (slide(), step()) == (at, last)


def test_the_moving_picture_has_room_at_every_step(deck):
    page, at = deck.page, stepper_slide(deck.page)
    if at < 0:
        pytest.skip("no moving picture")
    page.evaluate(f"Reveal.slide({at})")
    page.locator(".kv-stepper .kv-now").click()
    page.keyboard.press("Home")
    for _ in range(int(page.locator(".kv-stepper .kv-slide").get_attribute("max"))):
        page.keyboard.press("ArrowRight")
        assert not page.evaluate(f"({OVER})(Reveal.getCurrentSlide())")
        assert not page.evaluate(f"({SQUEEZED})(Reveal.getCurrentSlide())")


def test_formulas_are_set_and_nothing_is_loaded_from_outside(deck):
    page = deck.page
    assert not page.locator("[data-mjx-error], mjx-merror").count() and not deck.troubles
    assert not page.evaluate(
        """[...document.querySelectorAll("section :is(p, li)")]
            .map(one => one.textContent).filter(text => text.includes("$$"))"""
    )


@pytest.fixture(scope="module")
def first(contexts):
    opened = Opened(contexts["slide"], str(SLIDES / DECKS[0]))
    yield opened
    opened.page.close()


def test_the_notes_have_a_window_of_their_own(first):
    first.page.evaluate("Reveal.slide(1)")
    with first.page.expect_popup() as opened:
        first.page.keyboard.press("s")
    notes = opened.value.locator(".speaker-controls-notes .value")
    notes.wait_for()
    told = BeautifulSoup(first.page.evaluate("Reveal.getSlideNotes()"), "lxml").get_text()
    assert notes.inner_text().split()[:5] == told.split()[:5]
    opened.value.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_deck_prints_a_page_a_slide_on_white_paper(contexts, scheme):
    opened = Opened(contexts["slide"], str(SLIDES / DECKS[0]), query="?print-pdf")
    page = opened.page
    page.emulate_media(media="print", color_scheme=scheme)
    page.wait_for_selector(".pdf-page")
    assert page.locator(".pdf-page").count() == page.evaluate("Reveal.getTotalSlides()")
    laid = page.evaluate(
        """[...document.querySelectorAll(".pdf-page")].map(one => {
            const slide = one.querySelector("section");
            return [slide.offsetHeight, slide.scrollHeight <= slide.clientHeight + 1,
                getComputedStyle(slide).paddingLeft, getComputedStyle(one).backgroundColor];
        })"""
    )
    assert laid == [[720, True, "60px", "rgb(255, 255, 255)"]] * len(laid)
    made = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True, print_background=True)))
    assert len(made.pages) == len(laid)
    page.close()
    assert not opened.troubles
