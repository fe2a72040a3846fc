"""One headless Chromium for all tests, with a window of every size."""

import pytest
from browser.book import CONTENT, HTML, SIZES, Opened
from playwright.sync_api import sync_playwright

from kvbook.chapters.browser import find_chromium
from kvbook.errors import BrowserError


def pytest_collection_modifyitems() -> None:
    if not CONTENT:
        pytest.exit(
            f"no built book in {HTML}: run `make book` first, or set KVBOOK_HTML to the folder of one",
            returncode=2,
        )
    try:
        find_chromium()
    except BrowserError as error:
        pytest.exit(str(error), returncode=2)


@pytest.fixture(scope="session")
def contexts():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        yield {
            size: browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="light",
                reduced_motion="reduce",
            )
            for size, (width, height) in SIZES.items()
        }
        browser.close()


@pytest.fixture(scope="module", params=[*CONTENT, *(f"zh/{name}" for name in CONTENT)])
def opened(request, contexts):
    """Every page of both editions in turn, on a laptop."""
    opened = Opened(contexts["laptop"], request.param)
    yield opened
    opened.page.close()


@pytest.fixture(params=[size for size in SIZES if size != "slide"])
def sized(opened, request):
    """Every page in turn, in a window of every size; it is loaded once."""
    width, height = SIZES[request.param]
    opened.page.set_viewport_size({"width": width, "height": height})
    yield opened
    width, height = SIZES["laptop"]
    opened.page.set_viewport_size({"width": width, "height": height})


@pytest.fixture
def open_page(contexts):
    """Opens one page, on a laptop unless said."""
    pages = []

    def open_page(name: str, query: str = "", size: str = "laptop") -> Opened:
        pages.append(Opened(contexts[size], name, query))
        return pages[-1]

    yield open_page
    for one in pages:
        one.page.close()
