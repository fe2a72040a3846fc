"""Machines that are not measured: GPUs and phones by their sources."""

from math import isfinite

import pytest

from kvbook.profiling.hardware import PHONES, TABLE, UNKNOWN, channel_bandwidth


@pytest.mark.parametrize(
    "chip, gigabytes",
    [("Snapdragon 855", 34.1), ("Snapdragon 8 Gen 3", 76.8), ("Snapdragon 8 Elite", 84.8)],
)
def test_a_phones_bandwidth_is_what_sources_say_of_its_chip(chip, gigabytes):
    (phone,) = (one for name, one in PHONES.items() if f"({chip})" in name)
    assert phone.bandwidth / 1e9 == pytest.approx(gigabytes, abs=0.05)


def test_each_channel_adds_two_bytes_a_transfer():
    assert channel_bandwidth(1e9, 1) == 2e9 and channel_bandwidth(1e9, 3) == 6e9


def test_only_the_operations_of_phones_are_unknown():
    assert {phone.flops for phone in PHONES.values()} == {UNKNOWN}
    assert all(isfinite(gpu.flops) for gpu in TABLE.values())
    assert all(
        phone.bandwidth < gpu.bandwidth for phone in PHONES.values() for gpu in TABLE.values()
    )
