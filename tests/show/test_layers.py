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


def test_the_share_of_each_half_and_the_largest_are_said():
    told = str(show.bars_sentence([0.1, 0.3, 0.8, 0.4], 0.2, first=1))
    assert "above the dashed line in 3 of 4 layers" in told
    assert "20% in the first half" in told and "60% in the second" in told
    assert "The largest is 80%, in layer 3." in told
    assert "50% in the second" in str(show.bars_sentence([0.5], 0.2))


def test_votes_for_the_answer_are_said_beside_those_of_a_mean_position():
    votes = {0: torch.ones(1, 4), 1: torch.tensor([[0.0, 0.0, 8.0, 0.0]])}
    told = str(show.votes_sentence(votes, [2]))
    assert told.startswith("In layer 1 a token of the number has 4 times") and "2.5 times" in told
    assert show.votes_sentence(votes, []) is None


def test_the_heaviest_accounts_are_said():
    told = str(show.accounts_sentence(torch.tensor([[0.5] * 9 + [5.5], [0.75] * 9 + [3.25]])))
    assert "has received 3 to 6 of 10" in told
    assert "heaviest 1 of 10 entries have 44%" in told and "90% of the entries have less" in told


def test_what_was_evicted_is_counted_by_prompt_and_answer():
    told = str(show.alive_sentence([[0, 1, 2], [0, 2, 3], [0, 2, 4]], 3))
    assert told.endswith("2 entries were evicted: 1 of the prompt, 1 of the answer.")
    assert str(show.alive_sentence([[0], [0, 1]], 1)) == "Nothing was evicted."
    assert str(show.alive_sentence([], 1)) == "Nothing was evicted."


def test_the_budget_at_both_ends_is_said():
    told = str(show.where_sentence({"a": [torch.tensor([[[0, 9, 50, 90]]])]}, 100))
    assert "a: 50% of the entries are in the first tenth" in told
    assert "25% in the eight tenths between, 25% in the last" in told


def test_lost_needles_are_said_with_their_layers():
    told = str(show.lost_sentence([1, 1, 3, 9], 9))
    assert told.startswith("1 of 4 numbers") and "layer 1 and layer 3, half of them" in told
    assert str(show.lost_sentence([9, 9], 9)).startswith("All 2 numbers")


def test_generated_entries_are_said_by_variant():
    told = str(show.generated_sentence({"off": [4, 4], "on": [4, 2]}))
    assert "- on: a layer holds 2 to 4 entries" in told
