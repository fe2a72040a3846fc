"""What a cache layer holds, and what it lets go."""

import gc
import weakref
from copy import deepcopy

import pytest
import torch

from kvbook.engine.cache import KVCache, KVLayer
from kvbook.engine.seen import Recent


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
        assert layer.keys.untyped_storage().nbytes() <= layer.nbytes * 9 / 8 + 2 * 4 * 4 * 2


def test_dropped_entries_are_freed():
    k = torch.zeros(1, 2, 64, 4)
    layer = KVLayer()
    layer.update(k, k, positions=torch.arange(64)[None])
    layer.pads, gone = [0], weakref.ref(layer._room[0])
    layer.keep([torch.tensor([[0, 1]])])
    gc.collect()
    assert gone() is None
    assert layer.keys.untyped_storage().nbytes() < 2 * k.nbytes


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


# ---- the room: what moves, and what is shared ------------------------------------------------------


def appended(layer, position):
    """One more entry in every row and head, whose key is its position."""
    batch, heads, _, dim = layer.keys.shape
    new = torch.full((batch, heads, 1, dim), float(position))
    layer.update(new, new + 100, positions=torch.full((batch, 1), position))


def held(layer, row=0):
    """Keys of every head of one row, without padding."""
    return layer.keys[row, :, layer.pads[row] :, 0].tolist()


def storages(layer):
    return [one.untyped_storage().data_ptr() for one in (layer.keys, layer.values, layer.positions)]


def test_recent_entries_stay_and_some_of_those_before():
    layer = filled()
    layer.keep([Recent(4, before=1)])
    assert held(layer) == [[0, 4, 5]] * 2 and layer.positions.tolist() == [[[0, 4, 5]]]
    layer = filled()
    layer.keep([Recent(4, before=torch.tensor([[0, 2], [1, 3]]))])
    assert held(layer) == [[0, 2, 4, 5], [1, 3, 4, 5]]
    assert layer.values[0, :, :, 0].tolist() == [[100, 102, 104, 105], [101, 103, 104, 105]]
    assert layer.positions.tolist() == [[[0, 2, 4, 5], [1, 3, 4, 5]]]


@pytest.mark.parametrize("before", [2, torch.tensor([[0, 2], [1, 2]])], ids=["first", "chosen"])
def test_a_rolling_layer_moves_in_its_room_and_stays_right(before):
    """As lists do it, over many rooms; and hardly ever into another one."""
    layer = filled(entries=40)
    lists = [[float(i) for i in range(40)] for _ in range(2)]
    chosen = [[0, 1]] * 2 if isinstance(before, int) else before.tolist()
    rooms = set()
    for step in range(60):
        appended(layer, 40 + step)
        layer.keep([Recent(3, before=before)])
        for head, one in enumerate(lists):
            one.append(40.0 + step)
            one[:3] = [one[i] for i in chosen[head]]
        assert held(layer) == lists and layer.entries == 40
        assert layer.positions.expand(-1, 2, -1)[0].tolist() == lists
        assert (layer.values == layer.keys + 100).all()
        rooms.add(tuple(storages(layer)))
        assert layer.keys.untyped_storage().nbytes() <= 2 * 2 * 4 * 4 * (40 + 2 * 16)
    assert len(rooms) <= 6


def test_every_row_keeps_its_own_and_a_longer_one_is_left_alone():
    layer = filled(entries=4, batch=3)
    for step in range(30):
        appended(layer, 4 + step)
        layer.keep([None, Recent(2, before=1), torch.tensor([[0, 2, 3, 4], [1, 2, 3, 4]])])
    assert layer.pads == [0, 30, 30]
    assert held(layer, 0) == [list(range(34))] * 2
    assert held(layer, 1) == [[0, 31, 32, 33]] * 2
    assert held(layer, 2) == [[0, 31, 32, 33], [30, 31, 32, 33]]
    assert (layer.positions[1:, :, :30] == -1).all()


def test_padding_of_a_new_room_is_finite():
    """Masked or not, not-a-number would spread."""
    layer = filled(entries=100, batch=2)
    layer.keep([torch.tensor([[5]]), torch.tensor([[1, 2, 3]])])
    assert layer.pads == [2, 0]
    assert (layer.keys[0, :, :2] == 0).all() and (layer.values[0, :, :2] == 0).all()


def test_a_copy_looks_at_the_same_entries_and_neither_changes_the_other():
    layer = filled(entries=40)
    appended(layer, 40)
    twin = deepcopy(layer)
    assert storages(twin) == storages(layer)
    appended(layer, 41)
    assert storages(twin) == storages(layer)  # the new one stands behind what the copy holds
    appended(twin, 77)
    assert held(layer)[0] == [*range(41), 41] and held(twin)[0] == [*range(41), 77]
    again = deepcopy(layer)
    layer.keep([Recent(2, before=1)])
    assert held(again)[0] == list(range(42)) and held(layer)[0] == [0, *range(2, 42)]
    again.own()
    again.keys[:] = 0
    assert held(layer)[0] == [0, *range(2, 42)]


def test_a_copy_of_a_copy_goes_on_alone():
    layer = filled(entries=40)
    appended(layer, 40)
    taken = deepcopy(layer)
    first, second = deepcopy(taken), deepcopy(taken)
    for one, position in ((first, 50), (second, 60), (layer, 70)):
        appended(one, position)
    assert [held(one)[0][-1] for one in (first, second, layer)] == [50, 60, 70]
    assert held(taken)[0] == list(range(41))


def test_entries_that_are_shared_are_copied_before_they_change():
    k = torch.zeros(1, 2, 4, 4)
    one, other = KVLayer(), KVLayer()
    one.update(k, k, positions=torch.arange(4)[None])
    other.mirror(one)
    assert other.keys.data_ptr() == one.keys.data_ptr()
    one.own()
    one.keys += 1
    assert (other.keys == 0).all()


def test_beams_keep_their_free_places():
    layer = filled(entries=40, batch=2)
    appended(layer, 40)
    layer.reorder_cache(torch.tensor([1, 0]))
    before = storages(layer)
    appended(layer, 41)
    assert storages(layer) == before and held(layer, 1)[0] == list(range(42))
