"""Drawings in a page; nothing here needs what draws them."""

import html
import re

ONE = re.compile(r'<svg class="kv-(?:wide|narrow)".*?</svg>', re.S)
"""One of the two drawings in an SVG of `kvbook.show.drawings`."""


def in_page(picture: str, words: str) -> str:
    """Both drawings as HTML; the book's stylesheet shows the one for which there is room.

    Parameters
    ----------
    picture : str
        The SVG that `kvbook.show.drawings` makes; of any other text the result is empty.
    words : str
        What it shows, for those who do not see it.
    """
    found = "".join(ONE.findall(picture))
    label = html.escape(words)
    return found and f'<div class="kv-drawing" role="img" aria-label="{label}">{found}</div>'
