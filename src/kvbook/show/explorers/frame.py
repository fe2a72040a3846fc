"""What all pictures to move through have: their element, script and data, and words without it."""

import json
from collections.abc import Mapping
from pathlib import Path

from IPython.display import HTML

PLOTLY = "plotly/plotly.min.js"
"""Where a page finds plotly: beside the book's pages, so that nothing is loaded from outside."""
LOOK = {
    "template": "none",
    "paper_bgcolor": "rgba(0,0,0,0)",  # of the page, in both of its modes
    "plot_bgcolor": "rgba(0,0,0,0)",
}
"""The layout of every figure of plotly."""


def explorer(
    name: str, inside: str, script: str, data: Mapping, instead: str, plotly: bool = False
) -> HTML:
    """A picture that a script fills and moves.

    Parameters
    ----------
    name : str
        Unique on its page: the element's id.
    inside : str
        HTML of the element; the script finds its parts by their class.
    script : str
        Of the JavaScript file beside this one. It sees ``NAME`` and ``DATA``.
    data : mapping
        What JSON can hold.
    instead : str
        What a page says where no JavaScript runs.
    plotly : bool
        Whether the script draws with it: with ``draw`` of ``plot.js``.
    """
    scripts = (*["plot"] * plotly, script)
    code = "".join(
        Path(__file__).with_name(f"{one}.js").read_text(encoding="utf-8") for one in scripts
    )
    held = json.dumps(data).replace("<", "\\u003c")  # no text may close the script, or open one
    code = f"(() => {{const NAME = {json.dumps(name)}, DATA = {held};{code}}})();"
    library = f'<script src="{PLOTLY}"></script>' if plotly else ""
    return HTML(
        f'<div id="{name}" class="kv-explorer">{inside}</div>{library}'
        f"<script>{code}</script><noscript>{instead}</noscript>"
    )


def slider(label: str, most: int, part: str = "", least: int = 0, unit: str = "") -> str:
    """A slider of whole numbers with its label, and a place for the words on what it says.

    Parameters
    ----------
    part : str
        What tells it from the others of its picture.
    """
    one, words = (f"kv-slider kv-{part}", f"kv-{part}-label") if part else ("kv-slider", "kv-label")
    return (
        f'<label>{label} <input class="{one}" type="range" min="{least}" max="{most}" step="1" '
        f'value="{least}"> <output class="{words}"></output>{unit}</label>'
    )
