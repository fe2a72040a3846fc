"""Wording, worked out by hand."""

import math

import pytest

from kvbook.finetune.score import distinct_n, length_ratio, overlap


@pytest.mark.parametrize(
    "ours, theirs, expected",
    [
        ("多喝温水", "多喝温水", 1),
        ("多 喝温水", "多喝 温水", 1),
        # 3 of 4 characters, 2 of 3 pairs, 1 of 2 triples, none of 1 run of four: half a hit
        ("多喝温茶", "多喝温水", (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** (1 / 4)),
        ("多喝", "多喝温水", math.exp(1 - 4 / 2)),  # all hits, half as long
        ("多喝温水多喝温水", "多喝温水", (4 / 8 * 3 / 7 * 2 / 6 * 1 / 5) ** (1 / 4)),
        ("早睡", "多喝温水", 0),
        ("", "多喝温水", 0),
    ],
)
def test_bleu(ours, theirs, expected):
    assert overlap([ours], [theirs]).bleu == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize(
    "ours, theirs, expected",
    [
        ("多喝温水", "多喝温水", 1),
        ("多喝水", "多 喝温水", 2 * 1 * (3 / 4) / (1 + 3 / 4)),
        ("水温喝多", "多喝温水", 1 / 4),  # in order, one
        ("早睡", "多喝温水", 0),
        ("", "多喝温水", 0),
    ],
)
def test_rouge_l(ours, theirs, expected):
    assert overlap([ours], [theirs]).rouge_l == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize(
    "texts, n, expected",
    [
        (["多喝水", "多喝茶"], 1, 4 / 6),
        (["多喝水", "多喝茶"], 2, 3 / 4),
        (["水水水"], 1, 1 / 3),
        (["水 水"], 2, 1),
        (["水", ""], 2, 0),
    ],
)
def test_distinct(texts, n, expected):
    assert distinct_n(texts, n) == pytest.approx(expected)


def test_the_length_ratio_is_that_of_all_characters():
    assert length_ratio(["多喝水\n", "早睡"], ["多喝温水", "多喝温水"]) == 5 / 8
