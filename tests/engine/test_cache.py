"""What a cache layer holds, and what it lets go."""

import gc
import weakref

import pytest
import torch

from kvbook.engine.cache import KVCache, KVLayer


def filled(entries=6, batch=1, heads=2):
    layer = KVLayer()
    k = torch.arange(entries).float().view(1, 1, entries, 1).repeat(batch, heads, 1, 4)
    layer.update(k, k + 100, positions=torch.arange(entries).repeat(batch, 1))
    layer.pads = [0] * batch
    return layer


def test_keep_takes_its_own_set_for_each_head():
    layer = filled()
    layer.keep([torch.tensor([[0, 5], [2, 3]])])
    assert layer.keys[0, :, :, 0].tolist() == [[0, 5], [2, 3]]
    assert layer.values[0, :, :, 0].tolist() == [[100, 105], [102, 103]]
    assert layer.positions.tolist() == [[[0, 5], [2, 3]]]


def test_append_after_keep_goes_to_the_end():
    layer = filled()
    layer.keep([torch.tensor([[0, 5]])])
    new = torch.full((1, 2, 1, 4), 7.0)
    layer.update(new, new, positions=torch.tensor([[6]]))
    assert layer.positions.tolist() == [[[0, 5, 6]]]
    assert layer.keys[0, 0, :, 0].tolist() == [0, 5, 7]


def test_room_is_at_most_an_eighth_more_than_what_is_held():
    layer = filled(entries=1024)
    for step in range(200):
        new = torch.zeros(1, 2, 1, 4)
        layer.update(new, new, positions=torch.tensor([[1024 + step]]))
        assert layer.keys.untyped_storage().nbytes() <= layer.keys.nbytes * 9 / 8 + 4 * 4 * 2


def test_dropped_entries_are_freed():
    k = torch.zeros(1, 2, 64, 4)
    layer, gone = KVLayer(), weakref.ref(k)
    layer.update(k, k, positions=torch.arange(64)[None])
    layer.pads = [0]
    layer.keep([torch.tensor([[0, 1]])])
    del k
    gc.collect()
    assert gone() is None


def test_logical_length_counts_all_that_was_read():
    cache = KVCache(2)
    cache.advance(10)
    cache.advance(1)
    assert cache.get_seq_length() == 11


def test_a_closed_cache_refuses_more():
    cache = KVCache(1)
    cache.open = False
    with pytest.raises(RuntimeError, match="has ended"):
        cache.update(torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 1, 4), 0)


def test_rows_follow_their_beams():
    layer = filled(batch=2)
    layer.keys[1] += 50
    layer.reorder_cache(torch.tensor([1, 1]))
    assert layer.keys[0, 0, 0, 0] == 50
