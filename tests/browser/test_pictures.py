"""Pictures and tables in windows of every size: whole, large enough to read, in their own colours, and
with a caption."""

import io

import numpy as np
import pytest
from browser.book import HTML, SIZES, Opened
from PIL import Image

OUT = """() => [...document.querySelectorAll("article :is(img, .kv-drawing, .kv-explorer, .kv-text, select, pre, table.kv-table)")]
    .filter(one => one.checkVisibility())
    .flatMap(one => [one, ...one.querySelectorAll(".kv-drawing > svg, .js-plotly-plot, select, input")])
    .filter(one => one.checkVisibility())
    .filter(one => {
        const column = one.parentElement.closest("div, section, details, figure, article").getBoundingClientRect();
        return one.getBoundingClientRect().right > column.right + 1;
    })
    .map(one => `${one.tagName}.${one.className.baseVal ?? one.className}`)"""
"""What reaches out of the column that it stands in."""


def test_nothing_is_wider_than_its_column(sized):
    assert not sized.page.evaluate(OUT)


SCROLLS = """() => [...document.querySelectorAll("article :is(table, .kv-drawing, .pst-scrollable-table-container)")]
    .filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)
    .map(one => [one.textContent.trim().slice(0, 60), getComputedStyle(one).backgroundAttachment])"""
"""What scrolls sideways in its own box, and how its ground moves with it: with a shadow at the edge or not."""


def test_only_a_phone_scrolls_tables_and_says_so(sized):
    found = sized.page.evaluate(SCROLLS)
    if sized.page.viewport_size["width"] > SIZES["phone"][0]:
        assert not found
    assert all(moves == "local, local, scroll, scroll" for _, moves in found), found


SMALL = """() => [...document.querySelectorAll("article svg text")]
    .filter(one => one.checkVisibility() && one.textContent.trim() && !one.closest("mjx-container"))
    .filter(one => {
        const {a, b} = one.getScreenCTM();
        return parseFloat(getComputedStyle(one).fontSize) * Math.hypot(a, b) < 11.9;
    })
    .map(one => one.textContent)"""
"""Words in pictures that are shown with less than 12 pixels."""


def test_words_in_pictures_can_be_read(sized):
    assert not sized.page.evaluate(SMALL)


TOUCH = """() => [...document.querySelectorAll("article .kv-drawing > svg")]
    .filter(one => one.checkVisibility())
    .flatMap(picture => {
        const words = [...picture.querySelectorAll("text")].filter(one => {
            const {a, b} = one.getScreenCTM();
            return one.textContent.trim() && Math.min(Math.abs(a), Math.abs(b)) < 0.01;  // level or upright
        }).map(one => [one.textContent, one.getBoundingClientRect()]);
        return words.flatMap(([text, box], i) => words.slice(i + 1)
            .filter(([_, other]) => Math.min(box.right, other.right) - Math.max(box.left, other.left) > 2
                && Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top) > 5)
            .map(([other]) => `${text} / ${other}`));
    })"""
"""Words that lie on each other; boxes are higher than letters."""


def test_words_in_pictures_do_not_lie_on_each_other(sized):
    assert not sized.page.evaluate(TOUCH)


COVERED = """() => [...document.querySelectorAll("article .kv-drawing > svg")]
    .filter(one => one.checkVisibility())
    .flatMap(picture => [...picture.querySelectorAll(".kv-key")].filter(key => {
        const box = key.getBoundingClientRect();
        return [...picture.querySelectorAll(".kv-panel > g > path:first-child")].some(panel => {
            const of = panel.getBoundingClientRect();
            return of.width > 40 && of.height > 40 && box.left < of.right && of.left < box.right
                && box.top < of.bottom - 1 && of.top < box.bottom - 1;
        });
    }).map(key => key.textContent.replace(/\\s+/g, " ")))"""
"""Keys that lie on a panel."""


def test_a_key_covers_no_data(sized):
    assert not sized.page.evaluate(COVERED)


def test_a_key_has_no_two_entries_alike(opened):
    keys = opened.page.eval_on_selector_all(
        ".kv-key",
        "all => all.map(key => [...key.querySelectorAll('text')].map(one => one.textContent))",
    )
    assert all(len(set(key)) == len(key) for key in keys), keys


def test_axes_have_plain_numbers(opened):
    texts = opened.page.eval_on_selector_all(
        ".kv-drawing text", "all => all.map(one => one.textContent.trim())"
    )
    assert not [text for text in texts if "×10" in text.replace(" ", "") or "e-" in text[1:4]]


def test_every_picture_has_a_caption(opened):
    bare = opened.page.evaluate(
        """[...document.querySelectorAll("article :is(.kv-drawing, .kv-explorer)")]
            .filter(one => !one.closest("figure")?.querySelector("figcaption") && !one.querySelector("figcaption"))
            .map(one => one.getAttribute("aria-label") ?? one.id)"""
    )
    assert not bare


USED = """picture => [...new Set(picture.innerHTML.match(/#[0-9a-f]{6}/g))]"""
"""The colours that a drawing names."""


def seen(picture: bytes, used: list[str], least: int) -> set[str]:
    """Those of the used colours, greys left out, that at least so many pixels have."""
    found = Image.open(io.BytesIO(picture)).convert("RGB").getcolors(2**24)
    counts = {"#{:02x}{:02x}{:02x}".format(*rgb): count for count, rgb in found if np.ptp(rgb) > 40}
    return {colour for colour in used if counts.get(colour, 0) >= least}


def test_pictures_keep_their_colours_in_the_dark(opened):
    for drawing in opened.page.locator(".kv-drawing").all()[:2]:
        if not drawing.is_visible():
            continue
        shots = []
        for scheme, least in (("light", 100), ("dark", 20)):
            opened.page.emulate_media(color_scheme=scheme)
            shots.append(seen(drawing.screenshot(), drawing.evaluate(USED), least))
        opened.page.emulate_media(color_scheme="light")
        light, dark = shots
        assert light <= dark


PLOTS = [path.stem for path in HTML.glob("*.html") if "plotly.min.js" in path.read_text("utf-8")]


@pytest.fixture(scope="module", params=PLOTS)
def touched(request, contexts):
    """Every page with a picture of plotly's, under a finger."""
    width, height = SIZES["phone"]
    context = contexts["laptop"].browser.new_context(
        viewport={"width": width, "height": height}, has_touch=True, is_mobile=True
    )
    yield Opened(context, request.param)
    context.close()


def test_under_a_finger_there_is_no_toolbar_and_a_swipe_scrolls(touched):
    plot = touched.page.locator(".js-plotly-plot").first
    plot.scroll_into_view_if_needed()
    assert not plot.locator(".modebar-btn").count()
    box, before = plot.bounding_box(), touched.page.evaluate("scrollY")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    finger = touched.page.context.new_cdp_session(touched.page)
    for kind, places in (
        ("touchStart", [y]),
        *(("touchMove", [y - moved]) for moved in range(20, 200, 20)),
        ("touchEnd", []),
    ):
        points = [{"x": x, "y": place} for place in places]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touched.page.wait_for_function("before => scrollY > before + 100", arg=before)
    assert not touched.troubles
