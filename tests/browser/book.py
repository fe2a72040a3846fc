"""The built book: where it is, its pages, and a page opened in a browser with what went wrong."""

import os
from pathlib import Path

from playwright.sync_api import BrowserContext, Page

from kvbook.catalogue import method_names

HTML = Path(
    os.environ.get("KVBOOK_HTML") or Path(__file__).parents[2] / "book/_build/html"
).resolve()
PAGES = sorted(path.stem for path in HTML.glob("*.html"))
CONTENT = [name for name in PAGES if name not in ("genindex", "search")]
CHINESE = [f"zh/{name}" for name in PAGES]
"""The pages of the Chinese edition."""
MOVING = [name for name in method_names() if name != "fullkv"]
"""The chapters whose method is in a moving picture of its own."""
SIZES = {
    "phone": (390, 844),
    "zoomed": (853, 533),  # a laptop at 150 %
    "laptop": (1280, 800),
    "wide": (1400, 900),
    "projector": (1920, 1080),
    "slide": (1280, 720),
}


class Opened:
    """A page of the book in a browser, drawn to the end.

    Attributes
    ----------
    page : playwright.sync_api.Page
    name : str
        The file without ``.html``; in the folder ``zh`` of the Chinese edition.
    troubles : list of str
        Errors of the console and of scripts, requests that failed or left the disk.
    """

    def __init__(self, context: BrowserContext, name: str, query: str = "") -> None:
        self.name, self.troubles = name, []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        self.page.on("requestfailed", lambda one: self.troubles.append(f"failed: {one.url}"))
        self.page.on("request", self._request)
        self.page.goto(f"{(HTML / name).as_uri()}.html{query}")
        self.page.add_style_tag(content="* { transition: none !important }")
        self.page.evaluate("window.MathJax?.startup.promise.then(() => null)")

    def _console(self, message) -> None:
        if message.type == "error":
            self.troubles.append(f"console: {message.text}")

    def _request(self, request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.troubles.append(f"left the disk: {request.url}")
