"""What a cutoff length takes away, counted by hand."""

import pytest
from finetune.rows import chat

from kvbook.finetune.data import encode
from kvbook.finetune.data.cutoff import Epoch, count_epoch, cutoff_losses, trained_text


def rows(tokenizer, *answers):
    dialogues = [chat("q", answer) for answer in answers]
    return dialogues, [encode(tokenizer, one) for one in dialogues]


def test_what_is_trained_ends_at_the_length(tiny):
    _, (one,) = rows(tiny, "abcdef")
    prompt = len(one.ids) - one.trained
    assert trained_text(tiny, one, prompt) == ""
    assert trained_text(tiny, one, prompt + 2) == "ab"
    assert trained_text(tiny, one, len(one.ids)) == "abcdef\n"  # without the end of the turn


def test_the_shares_are_those_of_the_rows_and_tokens(tiny):
    dialogues, encoded = rows(tiny, "ab", "abcdef")  # 4 and 8 trained tokens, with their ends
    prompt = len(encoded[0].ids) - encoded[0].trained
    losses = cutoff_losses(tiny, dialogues, encoded, [prompt, prompt + 4, prompt + 8])
    assert losses == {
        prompt: {"rows cut": 1.0, "trained tokens lost": 1.0, "nothing trained": 1.0},
        prompt + 4: {
            "rows cut": 0.5,
            "trained tokens lost": pytest.approx(4 / 12),
            "nothing trained": 0.0,
        },
        prompt + 8: {"rows cut": 0.0, "trained tokens lost": 0.0, "nothing trained": 0.0},
    }


def test_advice_is_lost_with_its_last_word(tiny):
    dialogues, encoded = rows(tiny, "休息。请就医", "休息。")
    end = len(encoded[0].ids) - 2  # without the end of the turn and the newline
    losses = cutoff_losses(tiny, dialogues, encoded, [end - 1, end])
    assert [of["advice lost"] for of in losses.values()] == [1.0, 0.0]


def test_an_epoch_reads_what_is_left_of_the_rows_and_pads_each_batch_to_its_longest(tiny):
    _, encoded = rows(tiny, "a", "abc", "abcdef")
    prompt = len(encoded[0].ids) - encoded[0].trained
    assert count_epoch(encoded, prompt + 5, 3) == Epoch(
        read=3 * prompt + 3 + 5 + 5, trained=3 + 5 + 5, padded=3 * (prompt + 5)
    )


def test_one_row_a_batch_pads_nothing_and_the_last_batch_has_what_is_left(tiny):
    _, encoded = rows(tiny, "a", "abc", "abcdef")
    alone, two = count_epoch(encoded, 10_000, 1), count_epoch(encoded, 10_000, 2)
    assert alone.padded == alone.read
    assert two.padded - two.read in (2, 5, 3)  # whichever two are drawn together
