"""The pictures of fewer entries and fewer bits draw shares of full KV's bytes."""

import pytest
import torch
from tables import cells

from kvbook import show


def measured(needle_bytes, probe_bytes, found, kl):
    return {
        "needle_bytes": needle_bytes,
        "probe_bytes": probe_bytes,
        "found": found,
        "kl": kl,
        "agreement": [1.0, 0.5],
    }


SERIES = {
    "full": {"16 bits": measured(100, 200, [True, True], [0.001, 0.001])},
    "fullkv, fewer bits": {
        "8 bits": measured(55, 110, [True, True], [0.01, 0.03]),
        "2 bits": measured(20, 40, [False, False], [0.4, 0.6]),
    },
    "snapkv": {"budget 0.5": measured(50, 100, [True, False], [0.1, 0.3])},
}


def test_an_area_is_as_wide_as_its_entries_and_as_high_as_its_bits():
    figure = show.two_ways({"both": (0.5, 8), "full": (1, 16)})
    outline, area = figure.axes[0].patches
    assert (outline.get_width(), outline.get_height()) == (1, 16)
    assert (area.get_width(), area.get_height()) == (0.5, 8)
    assert figure.axes[0].get_title() == "both\n25% of the bytes"


def test_channels_go_down_and_entries_to_the_right():
    figure = show.channels(
        {"keys": torch.tensor([[1.0, -2.0], [3.0, 4.0], [5.0, 6.0]]), "values": torch.ones(3, 2)},
        "x",
    )
    assert figure.axes[0].images[0].get_array().tolist() == [[1, 3, 5], [2, 4, 6]]


def test_a_line_goes_over_the_bytes_from_few_to_many():
    left, right = show.over_bytes(SERIES, 0).axes
    line = left.get_lines()[0]
    assert line.get_xdata().tolist() == [0.2, 0.55]
    assert line.get_ydata() == pytest.approx([0.5, 0.02])
    assert right.get_lines()[0].get_ydata().tolist() == [0, 1]
    assert line.get_linestyle() == "--" and left.get_lines()[1].get_linestyle() == "-"


def test_full_kv_is_the_line_to_compare_with():
    _, right = show.over_bytes(SERIES, 0).axes
    assert set(right.get_lines()[-1].get_ydata()) == {1.0}


def test_a_way_stands_with_its_share_of_the_bytes_and_intervals():
    rows = cells(show.bytes_table(SERIES, 0, ""))
    assert rows[3][:4] == ["fullkv, fewer bits", "2 bits", "20%", "0 of 2 (0.00 to 0.84)"]
    assert rows[4][4:] == ["0.2000 (0.1000 to 0.3000)", "0.750"]


def test_errors_are_a_row_a_way_to_form_groups():
    rows = cells(show.rounding_table({"by channel": [0.01, 0.1]}, ["8 bits", "4 bits"]))
    assert rows == [["groups", "8 bits", "4 bits"], ["by channel", "0.010", "0.100"]]


def test_the_two_ways_to_form_groups_are_compared_for_keys_and_for_values():
    errors = {"keys, by channel": [0.01, 0.1], "keys, by entry": [0.03, 0.2]}
    errors |= {"values, by channel": [0.02, 0.2], "values, by entry": [0.02, 0.22]}
    keys, values = str(show.rounding_sentence(errors)).splitlines()
    assert keys == "- Keys: by entry the error is 2.0 to 3.0 times the error by channel."
    assert "1.0 to 1.1 times" in values


def test_fewer_bits_stand_beside_full_kv_and_beside_what_evicts_with_up_to_twice_the_bytes():
    nine = [True] * 9
    series = {
        "full": {"16 bits": measured(100, 200, nine, [0.001] * 9)},
        "fullkv, fewer bits": {"4 bits": measured(28, 56, nine, [0.01] * 9)},
        "snapkv": {
            "budget 0.25": measured(25, 50, nine, [0.3] * 9),
            "budget 0.5": measured(50, 100, [False] * 9, [0.1] * 9),
            "budget 0.75": measured(75, 150, nine, [0.01] * 9),
        },
        "snapkv, 4 bits": {"budget 0.5": measured(22, 44, nine, [0.05] * 9)},
    }
    told = str(show.bytes_sentences(series, 0)).splitlines()
    assert told[0] == (
        "- **All entries in 4 bits, beside full KV:** 0.28 times the bytes; distance from full KV 0.0100 beside "
        "0.0010, larger; share of needles found 1.00 beside 1.00: with 9 items no difference can be seen."
    )
    assert "beside snapkv, budget 0.5**" in told[1] and "0.0100 beside 0.1000, smaller" in told[1]
    assert "snapkv, 4 bits, budget 0.5, beside snapkv, budget 0.25:**" in told[2]
    assert len(told) == 3


def test_what_has_the_fewest_bytes_is_beside_full_kv_alone():
    series = {name: of for name, of in SERIES.items() if name != "snapkv"}
    assert len(str(show.bytes_sentences(series, 0)).splitlines()) == 2
