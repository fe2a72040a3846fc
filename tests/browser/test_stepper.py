"""The moving picture under a reader's hands: keys, buttons and fingers step it, and paper has its last step."""

import pytest
from browser.book import MOVING
from playwright.sync_api import expect

PAGES = {
    "index": "stepper-index",
    "teaching": "stepper-teaching",
    "families": "side-by-side",
    **{name: f"stepper-{name}" for name in MOVING},
}
"""Where it stands, and its name there."""


class Stepper:
    """The picture of one page."""

    def __init__(self, opened):
        self.opened, self.page = opened, opened.page
        whole = opened.page.locator(f"#{PAGES[opened.name]}")
        self.picture, self.find = (
            whole.locator(".kv-stepper"),
            lambda part: whole.locator(f".kv-{part}"),
        )

    @property
    def step(self) -> int:
        return int(self.find("slide").input_value())

    @property
    def last(self) -> int:
        return int(self.find("slide").get_attribute("max"))

    def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            self.picture.press(key)

    def cells(self, row: int = 0) -> list[str]:
        """What the entries of one row are now."""
        line = self.find("cells").nth(row).locator("i")
        return line.evaluate_all("all => all.map(one => one.className)")


@pytest.fixture
def stepper(open_page):
    return lambda name, size="laptop": Stepper(open_page(name, size=size))


@pytest.mark.parametrize("name", PAGES)
def test_it_stands_on_its_pages_and_steps(stepper, name):
    one = stepper(name)
    assert one.step == one.last and one.find("says").first.inner_text()
    one.press("Home")
    assert one.step == 0 and one.cells().count("kv-on") == 1
    one.press("ArrowRight", 3)
    assert one.step == 3 and one.cells().count("kv-on") == 4
    one.press("ArrowLeft")
    assert one.step == 2
    one.press("End")
    assert one.step == one.last and not one.opened.troubles


def test_h2o_evicts_one_entry_a_token_and_none_comes_back(stepper):
    one = stepper("h2o")
    one.press("Home")
    gone: set[int] = set()
    for _ in range(one.last):
        one.press("ArrowRight")
        cells = one.cells()
        out = {i for i, name in enumerate(cells) if name in ("kv-out", "kv-gone")}
        assert gone <= out and cells.count("kv-out") <= 1
        gone = out
    assert len(gone) > 10


def test_the_summary_comes_back(stepper):
    one = stepper("summarykv")
    one.press("Home")
    back = one.find("back")
    assert not back.is_visible()
    one.press("End")
    assert back.is_visible() and back.inner_text()
    box, sinks = back.bounding_box(), one.find("cells").locator("i").nth(1).bounding_box()
    assert box["x"] >= sinks["x"] + sinks["width"]


def test_space_plays_and_pauses(stepper):
    one = stepper("index")
    one.press("Home")
    one.press(" ")
    expect(one.find("play")).to_have_attribute("aria-label", "pause")
    expect(one.find("slide")).to_have_value("2", timeout=5000)
    one.press(" ")
    expect(one.find("play")).to_have_attribute("aria-label", "play")
    stopped = one.step
    one.page.wait_for_timeout(900)
    assert one.step == stopped


def test_every_step_says_what_happens(stepper):
    one, said = stepper("index"), []
    one.press("Home")
    for _ in range(one.last + 1):
        said.append(one.find("now").inner_text())
        one.press("ArrowRight")
    cut = next(i for i, words in enumerate(said) if words.startswith("The prompt is read. "))
    assert said[0].startswith(f"Token 1 of {cut} is read: ")
    assert said[cut - 1].startswith(f"Token {cut} of {cut} is read: ")
    assert said[cut].endswith(" cut.") and said[cut + 1] == "Token 1 of the answer is written."
    assert said[-1] == "The answer is written." and "undefined" not in "".join(said)


def test_buttons_step(stepper):
    one = stepper("index")
    one.find("first").click()
    assert one.step == 0
    one.find("next").click()
    one.find("next").click()
    one.find("prior").click()
    assert one.step == 1
    one.find("play").click()
    expect(one.find("slide")).to_have_value("2", timeout=5000)
    one.find("play").click()


def test_a_finger_steps(stepper):
    one = stepper("index", "phone")
    one.press("Home")
    one.page.evaluate("scrollTo(0, 0)")
    cells = one.find("cells").first
    cells.scroll_into_view_if_needed()
    box = cells.bounding_box()
    for start, end, step in ((0.8, 0.3, 1), (0.8, 0.3, 2), (0.2, 0.7, 1)):
        one.page.mouse.move(box["x"] + start * box["width"], box["y"] + 5)
        one.page.mouse.down()
        one.page.mouse.move(box["x"] + end * box["width"], box["y"] + 5)
        one.page.mouse.up()
        assert one.step == step


def test_it_does_not_move_by_itself(stepper):
    one = stepper("index")
    one.page.wait_for_timeout(1500)
    assert one.step == one.last
    moving = (
        one.find("cells").locator("i").first.evaluate("one => getComputedStyle(one).transition")
    )
    assert "0s" in moving or "none" in moving  # the tests' readers want no motion


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_held_is_seen_in_light_and_dark(stepper, scheme):
    one = stepper("index")
    one.page.emulate_media(color_scheme=scheme)
    expect(one.page.locator("html")).to_have_attribute("data-theme", scheme)
    ground = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
    ink = one.find("now").evaluate("one => getComputedStyle(one).color")
    bar = (
        one.find("cells")
        .locator("i.kv-on")
        .first.evaluate("one => getComputedStyle(one, '::after').backgroundColor")
    )
    one.page.emulate_media(color_scheme="light")
    assert len({ground, ink, bar}) == 3


INSIDE = """whole => [...whole.querySelectorAll("*")].filter(one => one.checkVisibility())
    .map(one => [one.className, one.getBoundingClientRect().right])
    .filter(([, right]) => right > whole.getBoundingClientRect().right + 1)"""
"""What stands out of the picture on the right."""


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_its_column_on_a_phone(stepper, name):
    one = stepper(name, "phone")
    for key in ("Home", "End"):
        one.press(key)
        assert not one.picture.evaluate(INSIDE)
    assert one.picture.bounding_box()["width"] <= 390
    assert one.page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_paper_has_the_last_step_and_no_buttons(stepper):
    one = stepper("index")
    one.press("Home")
    one.page.emulate_media(media="print")
    expect(one.find("slide")).to_have_value(str(one.last))
    assert not one.find("steps").is_visible() and one.find("cells").first.is_visible()
    one.page.emulate_media(media="screen")


def test_without_a_script_it_is_a_picture(contexts, stepper):
    from browser.book import HTML

    with_script = stepper("index")
    browser = contexts["laptop"].browser
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((HTML / "index.html").as_uri())
    cells = page.locator("#stepper-index .kv-cells").first.locator("i")
    still = [cells.nth(i).get_attribute("class") for i in range(cells.count())]
    assert [one.replace("kv-out", "kv-gone") for one in with_script.cells()] == still
    assert not page.locator("#stepper-index .kv-steps").is_visible()
    context.close()
