"""The work of reading a conversation, against sums by hand."""

import pytest

from kvbook.lm.configs import PUBLISHED
from kvbook.lm.costs import prefill_flops
from kvbook.profiling.reading import reading_work

CONFIG = PUBLISHED["SmolLM2-135M"]()


def read(tokens):
    return prefill_flops(CONFIG, [tokens] * CONFIG.num_hidden_layers)


def test_reading_again_reads_everything_at_every_turn():
    work = reading_work(CONFIG, [50, 100, 150])["again"]
    assert work == [read(50), read(50) + read(100), read(50) + read(100) + read(150)]


def test_what_is_kept_is_read_once():
    assert reading_work(CONFIG, [50, 100])["kept"] == [read(50), 2 * read(50)]


@pytest.mark.parametrize("length, summaries", [(100, 0), (139, 0), (140, 1), (179, 1), (180, 2)])
def test_a_summary_is_made_of_every_whole_segment_beyond_the_budget(length, summaries):
    work = reading_work(CONFIG, [length], budget=100, segment=40, summary_tokens=20, request=5)
    assert work["summarised"] == [read(length) + summaries * (read(20 + 40 + 5) + read(20))]
