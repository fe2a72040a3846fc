"""A layer that packs its entries: what it holds is what a plain layer holds, in fewer bytes."""

import math
from copy import deepcopy

import pytest
import torch
from conftest import prompt_of
from naive_quantized import rounded, rounded_in_groups

from kvbook.engine.attach import attach
from kvbook.engine.cache import KVCache, KVLayer
from kvbook.engine.packed import PackedLayer

HEADS = 2


def drawn(entries, dim=8, seed=0):
    """Keys and values."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 1, HEADS, entries, dim, generator=generator)


def add(layer, entries, settle=True):
    """So many entries behind those that a layer has; what it hands to attention."""
    at = layer.entries
    pair = drawn(200)[:, :, :, at : at + entries]
    handed = layer.update(*pair, positions=torch.arange(at, at + entries)[None])
    layer.pads = [0]
    if settle:
        layer.settle()
    return handed


def filled(entries, bits=4, group=8):
    layer = PackedLayer(bits, group)
    add(layer, entries)
    return layer


def unpacked(layer):
    """A copy's keys and values, as the layer hands them to attention."""
    twin, none = deepcopy(layer), torch.zeros(1, HEADS, 0, 8)
    return twin.update(none, none, positions=torch.zeros(1, 0, dtype=torch.long))


@pytest.mark.parametrize("entries", [1, 7, 8, 30, 64])
def test_it_holds_as_many_entries_and_their_positions(entries):
    layer, plain = filled(entries), KVLayer()
    add(plain, entries)
    assert layer.entries == plain.entries == entries
    assert layer.positions.equal(plain.positions)
    assert layer.get_mask_sizes(3) == plain.get_mask_sizes(3)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_keys_are_rounded_by_channel_and_values_by_entry(bits):
    keys, values = drawn(200)[:, :, :, :24]
    got_keys, got_values = unpacked(filled(24, bits))
    for head in range(HEADS):
        for start in (0, 8, 16):
            for channel in range(8):
                group = slice(start, start + 8), channel
                looped = torch.tensor(rounded(keys[0, head][group].tolist(), bits))
                torch.testing.assert_close(got_keys[0, head][group], looped, rtol=0, atol=1e-5)
        for entry in range(24):
            looped = torch.tensor(rounded_in_groups(values[0, head, entry].tolist(), bits, 8))
            torch.testing.assert_close(got_values[0, head, entry], looped, rtol=0, atol=1e-5)


def test_the_newest_entries_fewer_than_a_group_stay_as_they_are():
    layer, (keys, values) = filled(30), drawn(200)[:, :, :, :30]
    assert layer.keys.equal(keys[:, :, 24:]) and layer.values.equal(values[:, :, 24:])
    for got, exact in zip(unpacked(layer), (keys, values), strict=True):
        assert got[:, :, 24:].equal(exact[:, :, 24:])
        assert not got[:, :, :24].isclose(exact[:, :, :24]).all(-1).any()


@pytest.mark.parametrize("entries", [7, 8, 30])
@pytest.mark.parametrize("group", [8, 16])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_bytes_are_those_of_the_codes_and_of_the_unpacked_rest(bits, group, entries):
    dim, full = 8, entries // group * group
    keys = dim * (full * bits // 8 + full // group * 4)
    values = full * (dim * bits // 8 + dim // math.gcd(group, dim) * 4)
    rest = 2 * (entries - full) * dim * 4
    assert filled(entries, bits, group).nbytes == HEADS * (keys + values + rest)


def test_bytes_are_all_that_is_in_memory():
    layer = filled(30)
    codes = [one for block in layer.blocks for one in (block.keys, block.values)]
    tensors = [one for code in codes for one in (code.packed, code.low, code.step)]
    stored = [one.untyped_storage().nbytes() for one in (*tensors, layer.keys)]  # with the values
    assert layer.nbytes == sum(stored)


def test_while_it_attends_bytes_are_those_of_all_entries_beside_the_packed_ones():
    layer = filled(24)
    before = layer.nbytes
    add(layer, 1, settle=False)
    assert layer.nbytes == before + 2 * HEADS * 25 * 8 * 4
    layer.settle()
    assert layer.nbytes == before + 2 * HEADS * 8 * 4


@pytest.mark.parametrize("dim, group, part", [(8, 16, 8), (12, 8, 4), (24, 16, 8), (16, 8, 8)])
def test_of_a_value_the_largest_part_that_divides_both_is_a_group(dim, group, part):
    layer, (keys, values) = PackedLayer(4, group), drawn(16, dim)
    layer.update(keys, values, positions=torch.arange(16)[None])
    layer.pads = [0]
    layer.settle()
    codes = [block.values for block in layer.blocks]
    assert all(one.low.shape[-2:] == (dim // part, 1) for one in codes)
    looped = [
        [[rounded_in_groups(entry.tolist(), 4, part) for entry in head] for head in values[0]]
    ]
    restored = torch.cat([one.restore() for one in codes], dim=2)
    torch.testing.assert_close(restored, torch.tensor(looped), rtol=0, atol=1e-5)


def test_a_group_is_packed_when_it_is_full():
    layer, packed = filled(5), []
    for _ in range(13):
        add(layer, 1)
        packed.append(layer.entries - layer.keys.shape[2])
    assert packed == [0] * 2 + [8] * 8 + [16] * 3
    assert layer.positions.flatten().tolist() == list(range(18))


def test_several_groups_that_come_at_once_are_packed_at_once():
    layer = filled(5)
    add(layer, 22)
    assert layer.entries == 27 and layer.keys.shape[2] == 3


def test_an_entry_is_rounded_once():
    """Not again when it is unpacked to attend, though the numbers might come out the same."""
    layer = filled(16, bits=2)
    [block], before = layer.blocks, unpacked(layer)
    for _ in range(20):
        handed = add(layer, 1)
        assert all(one[:, :, :16].equal(its) for one, its in zip(handed, before, strict=True))
        assert layer.blocks[0] is block


def test_one_after_the_other_is_all_at_once():
    one_by_one, at_once = PackedLayer(4, 8), filled(30)
    for _ in range(30):
        add(one_by_one, 1)
    for mine, other in zip(unpacked(one_by_one), unpacked(at_once), strict=True):
        assert mine.equal(other)
    assert one_by_one.nbytes == at_once.nbytes


def test_every_head_keeps_its_own_set_in_groups():
    kept = torch.stack((torch.arange(0, 40, 2), torch.arange(20)))
    layer, (keys, _) = PackedLayer(8, 8), drawn(200)[:, :, :, :40]
    add(layer, 40, settle=False)
    layer.keep([kept])
    layer.settle()
    assert layer.positions.equal(kept[None]) and layer.keys.shape[2] == 4
    got, exact = unpacked(layer)[0], keys[:, torch.arange(HEADS)[:, None], kept]
    torch.testing.assert_close(got, exact, rtol=0, atol=0.05)
    add(layer, 1)
    assert layer.positions[0, :, -1].tolist() == [20, 20] and layer.entries == 21


def test_groups_are_formed_anew_of_what_stays():
    layer = filled(30)
    before = unpacked(layer)[0]
    layer.keep([torch.arange(9, 27)[None]])
    assert layer.entries == 18 and layer.keys.equal(before[:, :, 9:27])
    layer.settle()
    assert layer.keys.shape[2] == 2 and layer.positions.flatten().tolist() == list(range(9, 27))


def test_to_settle_again_changes_nothing():
    layer = filled(30)
    before = unpacked(layer)
    layer.settle()
    assert all(mine.equal(other) for mine, other in zip(unpacked(layer), before, strict=True))


def test_a_copy_and_the_layer_go_on_apart():
    layer = filled(30)
    before = unpacked(layer)
    twin, again = deepcopy(layer), deepcopy(layer)
    add(layer, 5)
    assert twin.entries == 30 and twin.positions.flatten().tolist() == list(range(30))
    assert all(mine.equal(other) for mine, other in zip(unpacked(twin), before, strict=True))
    twin.keep([torch.arange(4)[None]])
    assert (layer.entries, again.entries, twin.entries) == (35, 30, 4)
    assert all(mine.equal(other) for mine, other in zip(unpacked(again), before, strict=True))


def test_a_copy_that_packed_less_packs_for_itself():
    layer = filled(31)
    twin = deepcopy(layer)
    add(layer, 1)
    assert (layer.keys.shape[2], twin.keys.shape[2]) == (0, 7)
    add(twin, 1)
    for mine, other in zip(unpacked(layer), unpacked(twin), strict=True):
        assert mine.equal(other)


def test_a_layer_that_forgot_everything_begins_anew():
    layer = filled(30)
    layer.reset()
    assert (layer.entries, layer.nbytes, layer.positions) == (0, 0, None)
    add(layer, 9)
    assert layer.entries == 9 and layer.keys.shape[2] == 1


def test_a_plain_layer_has_nothing_to_settle():
    layer = KVLayer()
    handed = add(layer, 30, settle=False)
    layer.settle()
    assert layer.keys.data_ptr() == handed[0].data_ptr() and layer.entries == 30


def test_a_cache_is_made_of_the_layers_that_it_is_told():
    cache = KVCache(3, lambda: PackedLayer(2, 16))
    assert [(type(one), one.bits, one.group) for one in cache.layers] == [(PackedLayer, 2, 16)] * 3


def test_a_method_says_what_holds_a_layers_entries(llama):
    class Own(KVLayer):
        pass

    class Method:
        name = "own"

        def make_layer(self):
            return Own()

    with attach(Method(), llama) as run:
        for seed in (1, 2):
            llama(prompt_of(9, seed))
            assert all(type(one) is Own and one.entries == 9 for one in run.cache.layers)
