"""FullKV beside transformers alone, on measurements made by hand."""

import pytest
from tables import cells

from kvbook import show
from kvbook.profiling.timing import Measurement


@pytest.fixture
def pairs():
    def one(context, decode, tokens):
        return Measurement("m", context, 3, prefill=(1.0, 2.0), decode=decode, tokens=tokens)

    return [
        (one(100, (0.2, 0.4), (5, 6, 7)), one(100, (0.1, 0.1), (5, 6, 8))),
        (one(200, (0.4, 0.4), (5, 6, 7)), one(200, (0.1, 0.3), (5, 6, 7))),
    ]


def test_ratios_are_paired_and_tokens_are_compared(pairs):
    rows = cells(show.stock_table(pairs, ""))
    assert rows[1] == [
        "100", "300 ms", "1.50 s", "100 ms", "0.38 (0.25 to 0.50)", "1.00 (1.00 to 1.00)", "2 of 3",
    ]  # fmt: skip
    assert rows[2][-1] == "3 of 3"


def test_each_engine_has_a_line_of_medians_over_the_context(pairs):
    axes = show.decode_times(pairs).axes[0]
    stock, ours = (container.lines[0] for container in axes.containers)
    assert stock.get_ydata() == pytest.approx([300, 400])
    assert ours.get_xdata().tolist() == [100, 200]
    assert ours.get_ydata() == pytest.approx([100, 200])
    assert [text.get_text() for text in axes.figure.legends[0].texts] == [
        "transformers alone", "FullKV under attach",
    ]  # fmt: skip


def test_faster_is_said_only_where_every_repeat_is(pairs):
    told = str(show.stock_sentence(pairs)).splitlines()
    assert told == [
        "- Decoding is faster than in transformers alone, in every repeat, at 100, 200 tokens of context.",
        "- The prefill is faster in some repeats and slower in others at 100, 200 tokens.",
        "- At 1 of 2 contexts all 3 tokens are the same.",
    ]
    turned = str(show.stock_sentence([(ours, stock) for stock, ours in pairs]))
    assert "Decoding is slower than in transformers alone, in every repeat, at 100, 200" in turned
