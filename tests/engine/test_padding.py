"""Rows of unequal lengths: what is padding, and where it goes."""

import pytest
import torch

from kvbook.engine import padding
from kvbook.engine.cache import KVLayer
from kvbook.errors import UnsupportedError

T, F = True, False


def test_a_mask_without_padding_is_none():
    assert padding.real_columns(torch.ones(2, 5), 2, 3) is None
    assert padding.real_columns(None, 2, 3) is None


def test_only_the_newest_columns_of_a_mask_count():
    mask = torch.tensor([[1, 1, 0, 1], [0, 0, 1, 1]])
    assert padding.real_columns(mask, 2, 2).tolist() == [[F, T], [T, T]]


@pytest.mark.parametrize("mask, says", [([[1, 0]], "left"), ([[1]], "does not cover the 2 new")])
def test_a_mask_that_cannot_be_followed_is_refused(mask, says):
    with pytest.raises(UnsupportedError, match=says):
        padding.real_columns(torch.tensor(mask), 1, 2)


def test_rows_are_stacked_with_the_missing_ones_on_the_left():
    stacked, pads = padding.stack_left([torch.tensor([[4, 7]]), torch.tensor([[1, 2, 3]])])
    assert stacked.tolist() == [[[-1, 4, 7]], [[1, 2, 3]]] and pads == [1, 0]


def test_one_set_for_all_heads_stands_beside_a_set_a_head():
    stacked, _ = padding.stack_left([torch.tensor([[5]]), torch.tensor([[1], [2]])])
    assert stacked.tolist() == [[[5], [5]], [[1], [2]]]


def test_what_a_method_keeps_is_counted_from_the_first_column():
    kept = [torch.tensor([[0, 2]]), None]
    shifted = padding.shift_rows(kept, [1, 2], columns=4)
    assert [row.tolist() for row in shifted] == [[[1, 3]], [[2, 3]]]


@pytest.mark.parametrize("chunk", [None, 5])
def test_a_short_input_is_one_piece(chunk):
    ids = torch.arange(5)[None]
    [(piece, real)] = padding.chunks(ids, None, chunk)
    assert piece is ids and real is None


def test_chunks_are_counted_from_each_rows_first_token_and_end_together():
    ids = torch.tensor([[1, 2, 3, 4, 5], [0, 0, 0, 6, 7]])
    (first, there), (second, all_there) = padding.chunks(ids, ids > 0, 3)
    assert first[0].tolist() == [1, 2, 3] and there.tolist() == [[T, T, T], [F, F, F]]
    assert second.tolist() == [[4, 5], [6, 7]] and all_there is None


def test_positions_go_on_where_a_row_stands():
    real = torch.tensor([[T, T], [F, T]])
    found = padding.next_positions(real, torch.tensor([3, 5]), 2)
    assert found.tolist() == [[3, 4], [-1, 5]]
    assert padding.next_positions(None, torch.tensor([3]), 2).tolist() == [[3, 4]]


def layer_of(positions, pads):
    layer = KVLayer()
    entries = torch.tensor(positions)
    keys = entries[:, None, :, None].float()
    layer.update(keys, keys, positions=entries)
    layer.pads = pads
    return layer


def test_padding_is_no_valid_entry():
    layer = layer_of([[0, 1, 2], [-1, 0, 1]], [0, 1])
    assert padding.valid_entries(layer).tolist() == [[T, T, T], [F, T, T]]
    assert padding.valid_entries(layer_of([[0, 1]], [0])) is None


def test_padding_in_the_middle_settles_on_the_left():
    layer = layer_of([[0, 1, 2], [0, -1, 1]], [0, 0])
    padding.settle(layer, [0, 1], 2)
    assert layer.pads == [0, 1]
    assert layer.positions[:, 0].tolist() == [[0, 1, 2], [-1, 0, 1]]
    assert layer.keys[1, 0, 1:, 0].tolist() == [0.0, 1.0]
