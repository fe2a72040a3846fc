"""A figure is drawn for two widths: panels side by side and below each other, with letters that can be
read, the page's ink, and a key that covers nothing."""

import re
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest
from IPython.core.interactiveshell import InteractiveShell

from kvbook import show
from kvbook.show.drawing import mark_said
from kvbook.show.style import SMALLEST

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def styled():
    with plt.rc_context():
        show.style()
        yield


def panels():
    figure, axes = plt.subplots(1, 2, sharey=True)
    for panel, name in zip(axes, ("left", "right"), strict=True):
        panel.plot([0, 1], [0, 1], label="both")
        panel.plot([0, 1], [1, 0], label=name)
        panel.set_xlabel(name)
    axes[0].set_ylabel("height")
    show.key(figure)
    return figure


def drawn(figure):
    """The wide drawing and the narrow one as elements."""
    return ElementTree.fromstring(show.drawings(figure)).findall(f"{SVG}svg")


def words(drawing):
    return ["".join(one.itertext()) for one in drawing.iter(f"{SVG}text")]


def test_a_key_has_every_label_once():
    [key] = panels().legends
    assert [text.get_text() for text in key.texts] == ["both", "left", "right"]


def test_a_key_lies_below_the_panels():
    figure = panels()
    figure.draw_without_rendering()
    top = figure.legends[0].get_window_extent().y1
    assert all(top <= axes.get_window_extent().y0 for axes in figure.axes)


def test_there_is_a_drawing_for_a_page_and_one_for_a_phone():
    wide, narrow = drawn(panels())
    assert [one.get("class") for one in (wide, narrow)] == ["kv-wide", "kv-narrow"]
    assert [float(one.get("width")[:-2]) for one in (wide, narrow)] == pytest.approx(
        [6.95 * 72, 3.4 * 72]
    )
    assert wide.get("display") is None and narrow.get("display") == "none"


def test_what_panels_share_each_says_below_the_other():
    wide, narrow = drawn(panels())
    assert words(wide).count("height") == 1 and words(narrow).count("height") == 2
    assert words(narrow).count("0.2") > words(wide).count("0.2")
    assert float(narrow.get("height")[:-2]) > 1.5 * float(wide.get("height")[:-2])


def test_a_figure_stays_as_it_is():
    figure = panels()
    before = figure.get_size_inches().tolist(), plt.get_fignums()
    show.drawings(figure)
    assert (figure.get_size_inches().tolist(), plt.get_fignums()) == before
    assert figure.axes[1].get_ylabel() == ""


def test_no_letter_is_smaller_than_twelve_pixels():
    figure = panels()
    figure.axes[0].set_yscale("log")
    sizes = re.findall(r"font(?:-size)?: ([\d.]+)px", show.drawings(figure))
    assert sizes and min(map(float, sizes)) >= SMALLEST


def test_ink_is_the_pages_and_other_colours_are_their_own():
    picture = show.drawings(panels())
    assert "var(--kv-ink, #30373f)" in picture and "#1f77b4" in picture
    assert not re.search("(?<!--kv-ink, )#30373f", picture)


def test_drawings_share_no_name():
    named = [[one.get("id") for one in each.iter() if one.get("id")] for each in drawn(panels())]
    assert named[0] and not {*named[0]} & {*named[1]}


def test_numbers_without_room_are_left_out_and_words_are_turned():
    figure, (above, below) = plt.subplots(2)
    above.set_xticks(range(40), [f"{10_000 + one}" for one in range(40)])
    below.set_xticks(range(12), [f"a long word {one}" for one in range(12)])
    wide, _ = drawn(figure)
    assert 5 < sum(word.startswith("100") for word in words(wide)) < 40
    assert words(wide).count("a long word 7") == 1
    turned = [one for one in wide.iter(f"{SVG}text") if "".join(one.itertext()) == "a long word 7"]
    assert "rotate(-90" in turned[0].get("transform")


def test_numbers_at_axes_keep_their_digits():
    figure, axes = plt.subplots()
    axes.set(ylim=(0.03, 0.04), yticks=[0.0325, 0.0375])
    assert all({"0.0325", "0.0375"} <= {*words(one)} for one in drawn(figure))


def test_a_notebook_shows_the_drawings():
    shell = InteractiveShell.instance()
    try:
        show.style()
        data, _ = shell.display_formatter.format(panels())
    finally:
        InteractiveShell.clear_instance()
    assert {*data} == {"image/svg+xml", "text/plain"} and "kv-narrow" in data["image/svg+xml"]


def test_in_a_page_both_stand_beside_each_other_and_have_words():
    shown = show.in_page(show.drawings(panels()), 'two "panels"')
    assert shown.startswith(
        '<div class="kv-drawing" role="img" aria-label="two &quot;panels&quot;">'
    )
    assert re.findall(r'<svg class="(.*?)"', shown) == ["kv-wide", "kv-narrow"]
    assert not show.in_page("<svg><path/></svg>", "another")


def test_small_numbers_of_a_logarithmic_axis_go_where_they_touch():
    figure, axes = plt.subplots(figsize=(3, 0.8))
    axes.plot([1, 2], [0.25, 0.7])
    axes.set_yscale("log")
    for drawing in drawn(figure):
        numbers = {"".join(text.split()) for text in words(drawing)}
        assert "1.2" in numbers and not {"0.3", "0.4"} & numbers


def test_words_that_a_prompt_says_are_marked():
    figure, axes = plt.subplots()
    axes.set_xticks([0, 1], ["rain", "boats"])
    mark_said(axes.get_xticklabels())
    axes.set_xlabel("position")
    for drawing in drawn(figure):
        said = drawing.findall(f".//{SVG}g[@class='kv-said']")
        assert [text for one in said for text in words(one)] == ["rain", "boats"]
