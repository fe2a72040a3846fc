"""The loss along a text is binned from the line at which the window is full."""

import torch

from kvbook import show

FULL = torch.tensor([[9.0, 1, 3, 2, 2, 4, 4, 9], [9.0, 3, 1, 2, 2, 0, 0, 9]])
NATS = {
    "fullkv": FULL,
    "2 sinks": FULL + torch.tensor([0, 0, 0, 1, 1, 0, 0, 0]),
    "no sinks": FULL + torch.tensor([0, 0, 0, 3, 5, 1, 3, 0]),
}


def test_the_loss_is_a_line_a_cache_in_bins_from_the_full_window():
    axes = show.stream_curves(NATS, 3, 2).axes[0]
    *lines, full = axes.lines
    assert [line.get_label() for line in lines] == list(NATS)
    assert list(lines[0].get_xdata()) == [2, 4, 6]
    assert list(lines[0].get_ydata()) == [2, 2, 2]
    assert list(lines[2].get_ydata()) == [2, 6, 4]
    assert set(full.get_xdata()) == {3} and full.get_label() == "the window is full"


def test_what_is_paid_behind_the_window_is_said_with_its_interval():
    told = str(show.stream_sentence({name: of[:, :7] for name, of in NATS.items()}, 3, 2))
    assert "fullkv pays 2.00 nats a token, as a mean over 2 texts" in told
    assert "- 2 sinks: 2.50, which is +0.50 (+0.50 to +0.50) nats more than fullkv" in told
    assert "of the right token is 61% of fullkv's" in told  # exp(-0.5)
    assert "- no sinks: 5.00, which is +3.00 (+3.00 to +3.00)" in told


def test_the_first_bin_is_the_one_behind_the_line_and_the_last_the_end_of_the_text():
    told = str(show.stream_sentence(NATS, 3, 1))
    assert told.endswith("first 1 tokens: 5.00 beside 2.00; in the last 1: 9.00 beside 9.00.")
