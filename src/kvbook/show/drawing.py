"""A figure as a picture for pages: an SVG that holds two drawings, one for a page's width, and one for
a phone's with the panels below each other. What is ink in it takes the colour of the page's own."""

import copy
import io
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import NullFormatter

INK = "#30373f"
"""Text and axes on white; in a page of the book they have the colour of its own text."""
NARROW = 3.4
"""Inches: what the column of a small phone has (326 pixels)."""
LETTERS = "'DejaVu Sans', Verdana, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
"""The first is what matplotlib measures by; where it is not installed, no other here is wider."""
NAMES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def key(figure: Figure) -> None:
    """The figure's key: every label of its panels once, below them, where it covers nothing."""
    figure.legends.clear()
    known: dict = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    room = figure.bbox.width
    for columns in range(min(5, len(known)), 0, -1):
        legend = figure.legend(
            known.values(), known, ncols=columns, loc="outside lower center", borderaxespad=0.2
        )
        if columns == 1 or legend.get_window_extent().width <= room:
            return
        figure.legends.clear()


def drawings(figure: Figure) -> str:
    """The SVG of both drawings; a program that knows nothing of this sees the wide one.

    Parameters
    ----------
    figure : Figure
        It stays as it is.
    """
    drawn = _copy(figure)
    _untangle(drawn)
    wide = _svg(drawn, "wide")
    _stack(drawn)
    narrow = _svg(drawn, "narrow").replace(">", ' display="none">', 1)
    return f"<svg {NAMES} {_box(wide)}>\n{wide}\n{narrow}\n</svg>"


def _copy(figure: Figure) -> Figure:
    """A copy that pyplot does not know of, so that a notebook does not show it, too."""
    manager, figure.canvas.manager = figure.canvas.manager, None
    try:
        return copy.deepcopy(figure)
    finally:
        figure.canvas.manager = manager


def _stack(figure: Figure) -> None:
    """Panels below each other, each with all of its labels, as high as they were."""
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.get_subplotspec()]
    heights = [_height(axes) / figure.dpi for axes in panels]
    around = figure.get_figheight() - _rows_height(panels, heights)
    _label_all(panels)
    for axes in set(figure.axes) - set(panels):
        if axes.get_subplotspec():
            axes.remove()
    figure.set_layout_engine("constrained")
    figure.set_figwidth(NARROW)
    if figure.legends:
        before = figure.legends[0].get_window_extent().height
        key(figure)
        around += (figure.legends[0].get_window_extent().height - before) / figure.dpi
    grid = figure.add_gridspec(len(panels), 1, height_ratios=heights)
    for row, axes in enumerate(panels):
        axes.set_subplotspec(grid[row])
    figure.set_figheight(sum(heights) + max(0.1, around))
    _untangle(figure)


def _place(axes: Axes) -> SubplotSpec:
    """Where a panel stands in its grid."""
    place = axes.get_subplotspec()
    assert place
    return place


def _height(axes: Axes) -> float:
    """A panel's, with all that stands around it, in pixels."""
    box = axes.get_tightbbox()
    assert box
    return box.height


def _rows_height(panels: list[Axes], heights: list[float]) -> float:
    rows: dict[int, float] = {}
    for axes, height in zip(panels, heights, strict=True):
        row = _place(axes).rowspan.start
        rows[row] = max(height, rows.get(row, 0))
    return sum(rows.values())


def _label_all(panels: list[Axes]) -> None:
    """What a panel shares with the first of its row, or the last of its column, it says itself."""
    if all(_place(axes).colspan.start == 0 for axes in panels):
        return  # they lie below each other already
    for axes in panels:
        place = _place(axes)
        axes.tick_params(labelleft=True, labelbottom=True)
        for other in panels:
            spot = _place(other)
            if not axes.get_ylabel() and spot.rowspan.start == place.rowspan.start:
                axes.set_ylabel(other.get_ylabel())
            if not axes.get_xlabel() and spot.colspan.start == place.colspan.start:
                axes.set_xlabel(other.get_xlabel())


def _untangle(figure: Figure) -> None:
    """Titles wrap; of labels at an axis that would touch, words are turned, and of numbers only every
    second one stays, or third."""
    for axes in figure.axes:
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            text.set_wrap(True)
    for whole in figure.texts:
        whole.set_wrap(True)
    _lay_out(figure)
    if any([_part(axis) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]):
        _lay_out(figure)


def _lay_out(figure: Figure) -> None:
    """Room for all that stands around the panels."""
    if isinstance(engine := figure.get_layout_engine(), ConstrainedLayoutEngine):
        engine.execute(figure)


def _part(axis: Axis) -> bool:
    """Whether labels of an axis touched, which they do no longer."""
    if _touch([text for text in axis.get_minorticklabels() if text.get_text()]):
        axis.set_minor_formatter(NullFormatter())
        return True
    shown = [
        (place, text)
        for place, text in zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=False)
        if text.get_visible() and text.get_text() and _in_view(place, axis)
    ]
    texts = [text for _, text in shown]
    if not _touch(texts):
        return False
    if isinstance(axis, XAxis) and any(re.search(r"[^\W\d_]", text.get_text()) for text in texts):
        axis.set_tick_params(rotation=90)
    step = next(n for n in range(1, len(texts) + 1) if not _touch(texts[::n]))
    axis.set_ticks(
        [place for place, _ in shown[::step]], [text.get_text() for text in texts[::step]]
    )
    return True


def mark_said(texts: Iterable[Text]) -> None:
    """Mark words of a drawing that a prompt or a model says, such as tokens under an axis: they stay as they
    are in every language of the book."""
    for number, text in enumerate(texts):
        text.set_gid(f"said_{number}")


def _in_view(place: float, axis: Axis) -> bool:
    least, most = sorted(axis.get_view_interval())
    return least <= place <= most


def _touch(texts: Sequence[Text]) -> bool:
    boxes = [text.get_window_extent().padded(1) for text in texts]
    return any(one.overlaps(other) for one, other in pairwise(boxes))


def _svg(figure: Figure, name: str) -> str:
    """One drawing, without what a page does not need; its names are those of no other drawing."""
    held = io.StringIO()
    figure.set_layout_engine("none")  # it stands
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(held)
    drawn = held.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub('"[^"]*"', lambda value: re.sub(r"(\.\d\d)\d+", r"\1", value[0]), drawn)
    drawn = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", drawn, flags=re.S)
    drawn = re.sub(r' id="(?:(legend)|(axes)|(said)|[a-zA-Z0-9.]+)_\d+"', _marked, drawn)
    drawn = re.sub(
        r" font-family: 'DejaVu Sans';|(?<=\") transform=\"rotate\(-0 [^\"]*\"", "", drawn
    )
    drawn = drawn.replace("'DejaVu Sans'", LETTERS)
    drawn = drawn.replace(INK, f"var(--kv-ink, {INK})")
    return (
        f'<svg class="kv-{name}" {_box(drawn)} style="font-family: {LETTERS}">'
        + drawn[drawn.index(">") + 1 :].strip()
    )


def _marked(name: re.Match) -> str:
    """A page has many pictures, and a name once: of matplotlib's, three become classes, the others go."""
    classes = ("kv-key", "kv-panel", "kv-said")
    return "".join(
        f' class="{one}"' for one, found in zip(classes, name.groups(), strict=True) if found
    )


def _box(drawn: str) -> str:
    """The attributes of a drawing that say how large it is."""
    found = dict(re.findall(r'(\w+)="([^"]+)"', drawn[: drawn.index(">")]))
    return " ".join(f'{name}="{found[name]}"' for name in ("width", "height", "viewBox"))
