"""Lengths: characters, tokens, what is cut off, and what an epoch reads."""

import pytest
from finetune.rows import chat
from tables import cells

from kvbook import show
from kvbook.finetune.data import Encoded
from kvbook.finetune.data.cutoff import Epoch


def body(shown):
    """The texts of a table, without the names of its columns."""
    return cells(shown)[1:]


def test_characters_and_tokens_share_an_axis():
    figure = show.length_histograms([chat("12345", "ok")], [Encoded([1, 2, 3], [-100, 2, 3])])
    counted = [
        [sum(bar.get_height() for bar in bars) for bars in axes.containers] for axes in figure.axes
    ]
    assert counted == [[0.0, 1.0], [1.0, 1.0]]  # the question is longer than the axis of tokens
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()


def test_a_characters_cost_is_tokens_over_characters_times_bytes():
    texts = {"own": ["头痛"], "english": ["two words"]}
    shown, text = show.character_costs(texts, {"own": 6, "english": 3}, 100, 60, "m")
    assert body(shown)[0] == ["own", "2", "6", "3.00", "300", "20"]
    assert "**3.00 tokens a character** in the first row, 1.50 tokens an English word" in str(text)


def test_a_median_answer_is_told_in_characters_and_tokens():
    answer = {"characters": {"median": 80}, "tokens": {"median": 160}}
    text = str(show.length_sentence({"answer": answer, "whole": {"tokens": {"max": 1320}}}))
    assert "80 characters and 160 tokens, 2.0 times as many" in text and "has 1,320 tokens" in text


def test_a_token_that_costs_more_than_qwens_is_not_compared_with_it():
    texts = {"own": ["头痛"], "english": ["two words"]}
    told = [
        "smaller cache only if"
        in str(show.character_costs(texts, dict.fromkeys(texts, 6), size, 60, "m")[1])
        for size in (100, 10**6)
    ]
    assert told == [True, False]


LOSSES = {
    10: {"rows cut": 1.0, "trained tokens lost": 0.5, "advice lost": 0.9},
    20: {"rows cut": 0.4, "trained tokens lost": 0.04, "advice lost": 0.3},
    30: {"rows cut": 0.0, "trained tokens lost": 0.0, "advice lost": 0.0},
}


def test_a_curve_is_drawn_for_each_loss_and_a_line_at_the_chosen_length():
    axes = show.cutoff_curves(LOSSES, 20).axes[0]
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines[:3]}
    assert drawn["advice lost"] == [0.9, 0.3, 0.0] and len(axes.lines) == 4
    assert len(show.cutoff_curves(LOSSES, 25).axes[0].lines) == 3


def test_only_the_lengths_that_are_asked_for_are_in_the_table():
    assert body(show.cutoff_table(LOSSES, [20], "")) == [["20", "40.0%", "4.0%", "30.0%"]]


@pytest.mark.parametrize("advice", [True, False])
def test_the_mildest_cut_is_told_with_what_it_costs(advice):
    losses = {
        length: {name: share for name, share in of.items() if advice or name != "advice lost"}
        for length, of in LOSSES.items()
    }
    text = str(show.cutoff_sentence(losses))
    assert "At 20 tokens only 4.0% of the trained tokens" in text and "**40% of the rows" in text
    assert ("30% of the answers their advice" in text) == advice


@pytest.mark.parametrize(
    "answer, kept, lost",
    [
        ("多休息，请就医。", "多休息", True),
        ("多休息，请就医。", "多休息，请就医", False),
        ("多休息。", "多", False),
    ],
)
def test_advice_is_lost_where_it_was_and_is_not_kept(answer, kept, lost):
    text = str(show.cut_sentence(answer, kept, 9))
    assert f"9 tokens at most keeps {len(kept)} of the {len(answer)} characters" in text
    assert ("is lost" in text) == lost


def test_times_are_told_a_row():
    seconds = {"read": 0.5, "encode": 0.2, "compare": 0.1}
    text = str(show.step_sentence(seconds, 100, 25))
    assert "4.00 ms to read and check, 2.00 ms to encode, and 1.00 ms to compare" in text


def test_padding_and_labels_are_shares_of_what_is_read():
    shown, text = show.epoch_tokens(Epoch(read=100, trained=40, padded=125), 2, 9)
    assert [row[1] for row in body(shown)] == ["100", "125", "40"]
    assert "adds 25% here" in str(text)
    assert "40% of the tokens that it reads have a label" in str(text)
