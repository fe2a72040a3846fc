"""The browser, for what only a browser can do: print the book, and look at its pages in tests."""

import os
import shutil

from kvbook.errors import BrowserError

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ADVICE = (
    "install Chromium (on Debian and Ubuntu: apt install chromium) or Chrome, "
    "or set KVBOOK_CHROMIUM to its program"
)


def find_chromium() -> str:
    """The program of Chromium or Chrome: ``$KVBOOK_CHROMIUM``, or the first of `NAMES` on the
    ``PATH``.

    Raises
    ------
    BrowserError
        There is none, or the variable names no program; with what to install.
    """
    given = os.environ.get("KVBOOK_CHROMIUM")
    if given:
        if found := shutil.which(given):
            return found
        raise BrowserError(f"KVBOOK_CHROMIUM={given} is no program: {ADVICE}")
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise BrowserError(f"no browser on the PATH ({', '.join(NAMES)}): {ADVICE}")
