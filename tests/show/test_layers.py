"""Pictures over layers and positions draw the numbers that they are given."""

import torch

from kvbook import show


def heights(axes):
    return [patch.get_height() for patch in axes.patches]


def test_bars_begin_at_the_first_layer_that_has_a_value():
    axes = show.layer_bars([0.25, 0.75], 0.5, "even", "fastkv", "share", first=1).axes[0]
    assert heights(axes) == [0.25, 0.75]
    assert [patch.get_x() + patch.get_width() / 2 for patch in axes.patches] == [1, 2]
    assert set(axes.lines[0].get_ydata()) == {0.5}


def test_votes_are_a_line_a_head_and_the_needle_is_marked():
    axes = show.votes(torch.tensor([[0.1, 0.2], [0.3, 0.4]]), 7, [3, 5]).axes[0]
    assert torch.allclose(torch.tensor(axes.lines[1].get_ydata()), torch.tensor([0.3, 0.4]))
    assert (axes.patches[0].get_x(), axes.patches[0].get_width()) == (1, 6)
    assert axes.get_title() == "layer 7"
    assert not show.votes(torch.ones(1, 2), 0).axes[0].patches


def test_accounts_are_sorted_from_heavy_to_light():
    axes = show.accounts(torch.tensor([[1.0, 3.0, 2.0]]), 0).axes[0]
    assert list(axes.lines[0].get_xdata()) == [1, 2, 3]
    assert list(axes.lines[0].get_ydata()) == [3, 2, 1]


def test_what_is_alive_is_a_row_a_token():
    grid = show.alive([[0, 2], [2, 3]], 4).axes[0].images[0].get_array()
    assert grid.tolist() == [[1, 0, 1, 0], [0, 0, 1, 1]]


def test_where_nothing_was_evicted_there_is_no_picture():
    assert show.alive([], 4) is None


def test_the_budget_is_spread_over_twentieths_of_the_prompt():
    kept = [torch.tensor([[[0, 1, 99]]]), torch.tensor([[[50]]])]
    values, edges, _ = show.where_kept({"a": kept}, 100).axes[0].patches[0].get_data()
    assert list(values[[0, 10, 19]]) == [0.5, 0.25, 0.25] and sum(values) == 1
    assert (edges[0], edges[-1]) == (0, 1)


def test_needles_are_counted_at_the_layer_that_loses_them():
    assert heights(show.lost_layers([1, 1, 3], 3, "pyramidinfer").axes[0]) == [0, 2, 0, 1]


def test_generated_entries_are_a_line_a_variant_over_the_layers():
    axes = show.generated_entries({"off": [4, 4], "on": [4, 2]}, "four tokens").axes[0]
    assert [list(line.get_ydata()) for line in axes.lines] == [[4, 4], [4, 2]]
    assert axes.get_ylim()[0] == 0 and axes.get_title() == "four tokens"
