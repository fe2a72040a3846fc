"""The work of reading a conversation, against sums by hand."""

import pytest

from kvbook.lm.configs import PUBLISHED
from kvbook.lm.costs import ModelShape, prefill_flops
from kvbook.profiling.reading import reading_work

CONFIG = PUBLISHED["SmolLM2-135M"]()
SHAPE = ModelShape.of(CONFIG)
ONE_WORD = 2 * SHAPE.hidden * SHAPE.vocabulary
"""The output layer, once a reading."""


def read(tokens):
    return prefill_flops(CONFIG, [tokens] * CONFIG.num_hidden_layers)


def attention(pairs):
    return 4 * SHAPE.layers * SHAPE.heads * SHAPE.head_dim * pairs


def test_reading_again_reads_everything_at_every_turn():
    work = reading_work(CONFIG, [50, 100, 150])["again"]
    assert work == [read(50), read(50) + read(100), read(50) + read(100) + read(150)]


def test_what_is_kept_is_read_once_and_seen_by_all_that_follows():
    assert reading_work(CONFIG, [50, 100])["kept"] == [read(50), read(100) + ONE_WORD]


def test_with_summaries_a_turn_sees_no_more_entries_than_the_budget():
    work = reading_work(CONFIG, [100, 150], budget=70, segment=1000)["summarised"]
    assert work == [read(100), read(100) + read(50) + attention(50 * 70)]


@pytest.mark.parametrize("length, summaries", [(100, 0), (139, 0), (140, 1), (179, 1), (180, 2)])
def test_a_summary_is_made_of_every_whole_segment_beyond_the_budget(length, summaries):
    work = reading_work(
        CONFIG, [length], budget=100, segment=40, summary_tokens=20, sinks=3, request=5
    )
    again_and_in = read(20 + 40 + 5) + read(20) + attention(20 * 3)
    assert work["summarised"] == [read(length) + summaries * again_and_in]
