"""Rates against budgets and other things, at their places."""

import pytest

from kvbook import show
from kvbook.stats import Rate

HALF, ALL = Rate(1, 2, 0.1, 0.9), Rate(2, 2, 0.3, 1.0)


def line(axes, label):
    """The points of a method's line."""
    (found,) = (bars for bars in axes.containers if bars.get_label() == label)
    return found.lines[0].get_xydata().tolist()


def test_every_method_has_a_point_at_every_budget_and_full_kv_a_line():
    found = {("fullkv", None): ALL, ("snapkv", 64): HALF, ("snapkv", 128): ALL}
    axes = show.found_by_budget(found).axes[0]
    assert line(axes, "snapkv") == [[0, 0.5], [1, 1.0]]
    assert set(axes.lines[0].get_ydata()) == {1.0}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["64", "128"]


def test_points_of_two_methods_stand_beside_each_other():
    found = {("fullkv", None): ALL, ("snapkv", 64): HALF, ("h2o", 64): HALF}
    axes = show.found_by_budget(found).axes[0]
    assert [line(axes, name)[0][0] for name in ("snapkv", "h2o")] == pytest.approx([-0.03, 0.03])


def test_in_a_panel_words_stand_evenly_and_numbers_where_they_are():
    panels = {
        "window": {"snapkv": {"4": HALF, "32": ALL}},
        "layer": {"fastkv": {9: HALF, 19: ALL}},
    }
    figure = show.found_panels(panels, "found", ALL)
    words, numbers = figure.axes
    assert line(words, "snapkv") == [[0, 0.5], [1, 1.0]]
    assert line(numbers, "fastkv") == [[9, 0.5], [19, 1.0]]
    assert [axes.get_xlabel() for axes in figure.axes] == ["window", "layer"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["fullkv", "snapkv", "fastkv"]


def test_without_full_kv_a_panel_has_neither_its_line_nor_a_key():
    figure = show.found_panels({"window": {"snapkv": {"4": HALF}}}, "found")
    assert not figure.legends and "fullkv" not in figure.axes[0].get_legend_handles_labels()[1]


def test_prefill_work_is_told_by_its_ends_and_that_it_never_is_less():
    told = str(show.prefill_sentence({"a": [1.0, 0.4], "b": [1.5, 1.0]}, [512, 8192])).splitlines()
    assert told == [
        "- a: 100% of FullKV's operations at 512, 40% at 8,192.",
        "- b: 150% of FullKV's operations at 512, 100% at 8,192; never less than all.",
    ]


def test_prefill_work_is_a_line_a_label_and_full_kv_is_one():
    shares = {"a": [0.5, 0.4], "b": [0.9, 0.8]}
    axes = show.prefill_shares(shares, [1, 2], ("-", ":"), "gemfilter", "prompt").axes[0]
    drawn = {one.get_label(): list(one.get_ydata()) for one in axes.lines}
    assert drawn == shares | {"fullkv": [1, 1]}
    assert [one.get_linestyle() for one in axes.lines[:2]] == ["-", ":"]
