"""A panel beside its methods alone, on records made by hand."""

from types import SimpleNamespace

import pytest
import torch
from tables import cells

from kvbook import show


def test_a_row_says_what_it_holds_and_whether_it_speaks_as_alone():
    run = SimpleNamespace(kept_positions=[torch.zeros(1, 2, 64)], kv_bytes=3 * 2**19)
    words = {"fullkv": ("7", "7"), "h2o": ("7", "8")}
    rows = cells(show.panel_table(dict.fromkeys(words, run), words, ""))
    assert rows[1][:3] == ["0: fullkv", "64", "1.50 MiB"] and rows[1][-1] == "yes"
    assert rows[2][0] == "1: h2o" and rows[2][-2:] == ["&#39;7&#39;", "&#39;8&#39;"]


def test_methods_one_by_one_are_one_bar_and_the_panel_is_another():
    times = {"fullkv": (2.0, 1.0), "snapkv": (2.5, 0.5)}
    axes = show.panel_seconds(times, (3.0, 0.75)).axes[0]
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends == pytest.approx([2, 3, 5.5, 6, 3, 3.75])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a panel", "one by one"]


def test_rows_that_speak_as_alone_are_counted_and_the_seconds_are_summed():
    words = {"fullkv": ("7", "7"), "h2o": ("7", "8")}
    times = {"fullkv": (2.0, 1.0), "h2o": (2.5, 0.5)}
    told = str(show.panel_sentence(words, times, (3.0, 0.75)))
    assert told.startswith("1 of 2 rows") and "read for 3.00 s and decoded for 0.75 s" in told
    assert told.endswith("took 4.50 s and 1.50 s.")
