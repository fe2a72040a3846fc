"""Who votes for an answer is drawn and counted query by query, and how it stands prompt by prompt."""

import torch

from kvbook import show
from kvbook.tasks.needle import Needle
from kvbook.tasks.trial import Example
from kvbook.tasks.votes import Standing

EXAMPLE = Example(None, ["Hi", ".", " it", " is", " ", "4", "7", ".", "\n", " is"], "47", (5, 6))
VOTES = torch.zeros(3, 10)
VOTES[0, 3], VOTES[2, 4], VOTES[2, 6], VOTES[1, 0] = 0.25, 0.5, 0.004, 0.9
STANDS = [
    {
        window: Standing((rank - 2, rank), own, needed, 10 - window, stays)
        for window, rank, own, needed, stays in (
            (2, 5, 0.25, 0.125, True),
            (4, 9 + prompt, 0.5, 1.0, prompt == 0),
        )
    }
    for prompt in range(3)
]
HITS = {2: [True, True, False], 4: [True, False, False]}


def test_the_map_has_a_row_a_query_and_the_sentence_of_the_answer_as_columns():
    axes = show.votes_by_query(VOTES, EXAMPLE, [3, 2]).axes[0]
    assert torch.tensor(axes.images[0].get_array()).equal(VOTES[:, 2:7])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["it", "is", "␣", "4", "7"]
    assert [text.get_text() for text in axes.get_yticklabels()] == [".", "↵", "is"]


def test_only_votes_of_half_a_per_cent_and_more_are_written():
    axes = show.votes_by_query(VOTES, EXAMPLE, []).axes[0]
    written = {text.get_text(): text.get_position() for text in axes.texts}
    assert written == {"25": (1, 0), "50": (2, 2)}


def test_a_narrower_window_begins_at_a_line():
    axes = show.votes_by_query(VOTES, EXAMPLE, [3, 2]).axes[0]
    assert [set(line.get_ydata()) for line in axes.lines] == [{0.5}]
    assert axes.texts[-1].get_text() == "the last 2"


def test_the_votes_of_words_and_digits_and_the_reach_are_said():
    told = str(show.by_query_sentence(VOTES, EXAMPLE, 5))
    assert (
        "0.75 votes to the words of the sentence before the number, and 0.0040 to the number"
        in told
    )
    assert "most from the query `is`: 0.500" in told
    assert told.endswith(
        "2 tokens further, and the number ends 2 tokens behind that token: its end is within reach."
    )
    assert str(show.by_query_sentence(VOTES, EXAMPLE, 3)).endswith("out of reach.")


def test_a_standing_is_a_row_a_window_with_medians():
    page = show.ranks_table(STANDS, HITS, "one head").data
    rows = [row.split("<td")[1:] for row in page.split("<tr>")[2:]]
    cells = [[cell.split(">", 1)[1].split("</td>")[0] for cell in row] for row in rows]
    assert cells[0] == ["2", "8", "3", "5", "0.2500", "0.1250", "3 of 3", "2 of 3"]
    assert cells[1] == ["4", "6", "8", "10", "0.5000", "1.0000", "1 of 3", "1 of 3"]


def test_how_far_the_last_digit_falls_and_where_it_is_found_is_said():
    told = str(show.ranks_sentence(STANDS, HITS))
    assert "From window 2 to window 4 the last digit falls from rank 5 to rank 10" in told
    assert "the first digit has rank 3 and then 8 (medians over 3 prompts)" in told
    assert "change by a factor of 2.0, those that are needed by 8.0" in told
    assert "In 5 of 6 cases" in told


def test_answers_that_miss_only_the_last_digit_are_counted():
    needles = [Needle("", answer, 0.5, 1) for answer in ("1234", "1234", "1234", "5678")]
    told = show.digits_sentence(needles, [" 1234.", " 123.", " 124", " 567 "], "Window 9")
    assert str(told) == "Window 9: of 3 wrong answers 2 have every digit right but the last."
