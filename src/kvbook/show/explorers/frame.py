"""What all pictures to move through have: their element, their script with its words and data, and words
without it."""

import json
from collections.abc import Callable, Mapping, Sequence
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
MARK = "WORDS = "
"""What stands before the words, in a script."""


def explorer(
    name: str,
    inside: str,
    script: str,
    data: Mapping,
    words: Mapping[str, str | Sequence[str]],
    instead: str,
    plotly: bool = False,
) -> HTML:
    """A picture that a script fills and moves.

    Parameters
    ----------
    name : str
        Unique on its page: the element's id.
    inside : str
        HTML of the element; the script finds its parts by their class.
    script : str
        The name, without its ending, of the JavaScript file beside this one. It sees ``NAME``,
        ``WORDS`` and ``DATA``, and fills
        a template's fields by their names: ``fill(WORDS.holds, {count: 3})``.
    data : mapping
        What JSON can hold: numbers, names, prompts and what models wrote.
    words : mapping of str to (str or sequence of str)
        All else that the script shows: another language has other words here, and nothing else.
    instead : str
        What a page says where no JavaScript runs.
    plotly : bool
        Whether the script draws with it: with ``draw`` of ``plot.js``.
    """
    scripts = ("fill", *["plot"] * plotly, script)
    code = "".join(
        Path(__file__).with_name(f"{one}.js").read_text(encoding="utf-8") for one in scripts
    )
    held = f"NAME = {json.dumps(name)}, {MARK}{_written(words)}, DATA = {_written(data)}"
    code = f"(() => {{const {held};{code}}})();"
    library = f'<script src="{PLOTLY}"></script>' if plotly else ""
    return HTML(
        f'<div id="{name}" class="kv-explorer">{inside}</div>{library}'
        f"<script>{code}</script><noscript>{instead}</noscript>"
    )


def _written(value: Mapping) -> str:
    """As JSON. No text in it may close the script, or open one."""
    return json.dumps(value).replace("<", "\\u003c")


def change_words(code: str, change: Callable[[str], str]) -> str:
    """A picture's script with other words, each made of the one before; any other script as it is."""
    before, mark, after = code.partition(MARK)
    if not mark:
        return code
    words, end = json.JSONDecoder().raw_decode(after)
    changed = {
        name: change(one) if isinstance(one, str) else [change(part) for part in one]
        for name, one in words.items()
    }
    return before + mark + _written(changed) + after[end:]


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
