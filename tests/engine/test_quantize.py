"""Numbers in a few bits: how far each is from what it was, and how many bytes they are."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from naive_quantized import rounded_in_groups

from kvbook.engine.quantize import quantize

BITS = [2, 4, 8]


def drawn(*shape):
    """No step of them is so near the middle between two numbers of float16 that float64 decides."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 3


@pytest.mark.parametrize("group", [8, 16, 64])
@pytest.mark.parametrize("bits", BITS)
def test_a_number_is_what_a_loop_over_numbers_makes_of_it(bits, group):
    numbers = drawn(2, 3, 128)
    looped = [[rounded_in_groups(row.tolist(), bits, group) for row in one] for one in numbers]
    restored = quantize(numbers, bits, group).restore().double()
    torch.testing.assert_close(restored, torch.tensor(looped).double(), rtol=0, atol=1e-5)


@given(st.sampled_from(BITS), st.lists(st.floats(-1000, 1000, width=32), min_size=8, max_size=8))
def test_a_number_is_at_most_half_a_step_from_what_it_was(bits, numbers):
    """And by what float16 makes of the smallest number and of the step."""
    most, least = 2**bits - 1, 2**-25  # float16's smallest numbers are twice that apart
    restored = quantize(torch.tensor(numbers), bits, 8).restore().tolist()
    step, low = (max(numbers) - min(numbers)) / most, abs(min(numbers)) * 2**-11 + least
    allowed = step / 2 + low + most * ((step + low / most) * 2**-11 + least)
    assert max(abs(a - b) for a, b in zip(numbers, restored, strict=True)) <= allowed * (1 + 1e-5)


def test_a_group_does_not_feel_its_neighbour():
    numbers = drawn(2, 16)
    alone = quantize(numbers[:, :8], 4, 8).restore()
    numbers[:, 8:] *= 1000
    assert quantize(numbers, 4, 8).restore()[:, :8].equal(alone)


@pytest.mark.parametrize("number", [0.0, 1.0, -3.5, 1024.0])
@pytest.mark.parametrize("bits", BITS)
def test_a_group_of_one_number_is_that_number(bits, number):
    numbers = torch.full((2, 16), number)
    assert quantize(numbers, bits, 8).restore().equal(numbers)


@pytest.mark.parametrize("number", [0.1, 0.3, -0.7, 1000.3])
def test_a_group_of_one_number_is_as_close_as_float16_at_least(number):
    numbers = torch.full((8,), number)
    restored = quantize(numbers, 4, 8).restore()
    assert ((restored - numbers).abs() <= (numbers.half().float() - numbers).abs()).all()


@pytest.mark.parametrize("bits", BITS)
def test_numbers_that_are_evenly_spaced_come_back_as_they_were(bits):
    codes = torch.randint(0, 2**bits, (3, 32), generator=torch.Generator().manual_seed(0))
    codes[:, ::16], codes[:, 1::16] = 0, 2**bits - 1
    numbers = codes * 0.25 - 3
    assert quantize(numbers, bits, 16).restore().equal(numbers)


@pytest.mark.parametrize(
    "bits, numbers, packed",
    [
        (2, [0, 1, 2, 3, 3, 2, 1, 0], [0b11_10_01_00, 0b00_01_10_11]),
        (4, [0, 15, 1, 14, 2, 13, 3, 12], [0xF0, 0xE1, 0xD2, 0xC3]),
        (8, [0, 255, 1, 254, 2, 253, 3, 252], [0, 255, 1, 254, 2, 253, 3, 252]),
    ],
)
def test_codes_fill_bytes_from_their_lowest_bits(bits, numbers, packed):
    codes = quantize(torch.tensor(numbers).float(), bits, 8)
    assert codes.packed.dtype == torch.uint8 and codes.packed.tolist() == [packed]
    assert (codes.low.item(), codes.step.item()) == (0, 1)


@pytest.mark.parametrize("group", [8, 32])
@pytest.mark.parametrize("bits", BITS)
def test_bytes_are_the_codes_and_two_halves_a_group(bits, group):
    codes = quantize(drawn(2, 3, 64), bits, group)
    assert codes.nbytes == 2 * 3 * (64 * bits // 8 + 64 // group * 2 * 2)
    tensors = codes.packed, codes.low, codes.step
    assert codes.nbytes == sum(one.untyped_storage().nbytes() for one in tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_numbers_come_back_in_their_own_type(dtype):
    numbers = drawn(2, 16).to(dtype)
    restored = quantize(numbers, 8, 8).restore()
    assert restored.dtype == dtype and restored.shape == numbers.shape
    torch.testing.assert_close(restored, numbers, rtol=0.01, atol=0.05)
