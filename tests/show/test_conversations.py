"""Pictures and tables of SummaryKV's conversations show the numbers that they are given."""

from types import SimpleNamespace

import pytest
import torch
from tables import cells

from kvbook import show
from kvbook.tasks.conversations import Fact
from kvbook.tasks.document import Document

MEASURED = {
    "fullkv": {
        "facts": [{"found": True, "ago": 50}, {"found": True, "ago": 300}],
        "kv_bytes": 3 * 2**20,
        "seconds": 1.25,
        "summaries": 0,
        "summary_seconds": 0,
    },
    "summarykv model, budget 256": {
        "facts": [{"found": False, "ago": 50}],
        "kv_bytes": 2**20,
        "seconds": 2.5,
        "summaries": 4,
        "summary_seconds": 2,
    },
}
NOTES = SimpleNamespace(at=300, read=90, ids=[1, 2], seconds=0.5, text="The code is 123.")


def body(page):
    """The texts of a table, without the names of its columns."""
    return [text for row in cells(page)[1:] for text in row]


def test_the_parts_of_the_cache_end_where_the_cache_ends():
    axes = show.summary_stages().axes[0]
    ends = [patch.get_x() + patch.get_width() for patch in axes.patches]
    assert ends == [1, 10, 1, 10, 14, 1, 3.5, 10]
    assert [patch.get_linestyle() for patch in axes.patches].count("--") == 1
    assert [text.get_text() for text in axes.figure.legends[0].texts] == [
        "sinks", "recent", "evicted, waiting", "summary",
    ]  # fmt: skip


def test_the_summary_stands_on_the_sinks():
    axes = show.held_by_turn([2, 50, 64], [0, 0, 16], sinks=4, budget=64).axes[0]
    heights = [[patch.get_height() for patch in bars] for bars in axes.containers]
    assert heights == [[2, 50, 64], [4, 4, 20], [2, 4, 4]]


def test_facts_are_looked_for_in_the_summary():
    fact = Fact(
        turn=3, question="?", opening='You told me: "The code of my locker is', answer="123"
    )
    row = body(show.asked_table([fact], ["No idea."], "The code is 123.", ""))
    assert row == ["The code of my locker is 123", "3", "yes", "No idea.", "✗ wrong"]
    row = body(show.asked_table([fact], ["It is 123."], "", ""))
    assert row[2:] == ["no", "It is 123.", "✓ right"]
    assert body(show.asked_table([], [], "", "")) == ["none in so few turns"]


def test_the_last_summaries_are_shown_and_all_are_counted():
    page = show.summaries_table([NOTES] * 5, last=2)
    assert body(page) == ["300", "90", "2", "0.50", "The code is 123."] * 2
    assert "the last of 5 summaries" in page.data
    assert body(show.summaries_table([])) == ["none"]


def test_a_method_without_early_facts_has_a_dash():
    rows = body(show.recall_table(MEASURED, least=256, seed=0, caption=""))
    assert rows[1] == "1 of 1" and rows[3:5] == ["3.0 MiB", "1.2"]
    assert rows[6:] == ["–", "–", "1.0 MiB", "2.5"]


def test_recall_by_age_leaves_out_empty_bins_and_methods_that_were_not_measured():
    looks = {"fullkv": "fullkv", "streamingllm, budget 256": "streamingllm"}
    axes = show.recall_by_age(MEASURED, looks, [0, 100, 200, 900], seed=0).axes[0]
    (line,) = axes.containers
    assert line.lines[0].get_xydata().tolist() == [[0, 1], [2, 1]]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["0-100", "100-200", "over 200"]


def test_numbers_of_a_document_are_looked_for_in_the_last_summary():
    document = Document(torch.zeros(1, 1), {"Oslo": "123", "Lima": "456"})
    page = show.document_table(document, {"Oslo": False, "Lima": True}, [NOTES])
    assert body(page) == ["Oslo", "0.25", "yes", "no", "Lima", "0.75", "no", "yes"]


def test_seconds_are_those_of_one_summary():
    rows = body(show.summary_seconds(MEASURED))
    assert rows == ["fullkv", "0", "0.00", "summarykv model", "4", "0.50"]


def test_work_of_reading_is_in_tera():
    work = {"again": [1e12, 3e12], "summarised": [1e12, 2e12], "kept": [1e12, 1.5e12]}
    axes = show.reading_curves(work, [60, 120], "").axes[0]
    assert [list(line.get_ydata()) for line in axes.lines] == [
        pytest.approx([1, 3]),
        pytest.approx([1, 2]),
        pytest.approx([1, 1.5]),
    ]


def test_facts_in_the_summary_and_right_answers_are_counted():
    facts = [Fact(turn=1, question="?", opening='"', answer=one) for one in ("123", "Monday")]
    told = str(show.asked_sentence(facts, ["It is 123.", "No idea."], "Monday"))
    assert told == "The last summary has 1 of 2 facts, and 1 of 2 answers are right."


def test_the_first_summary_is_told_or_that_none_was_needed():
    told = str(show.held_sentence([2, 50, 64], [0, 0, 16], 64))
    assert "In 3 turns" in told and "more than 64 entries" in told and "after turn 2" in told
    assert "No summary was needed" in str(show.held_sentence([2], [0], 64))


def facts(*found, ago=300):
    return {"facts": [{"found": one, "ago": ago} for one in found]}


def test_a_summary_is_compared_with_the_window_at_its_own_budget():
    measured = {
        "fullkv": facts(*[True] * 4),
        "streamingllm, budget 256": facts(*[False] * 4),
        "summarykv extractive, budget 256": facts(*[True] * 4),
        "summarykv model, budget 256": facts(*[False] * 4),
        "summarykv extractive, budget 128": facts(*[True] * 4),
    }
    told = str(show.recall_sentence(measured, 256, 0)).splitlines()
    assert told == [
        "- **summarykv extractive, budget 256** recalls 4 of 4 early facts, streamingllm 0, fullkv 4: "
        "more than the window alone.",
        "- **summarykv model, budget 256** recalls 0 of 4 early facts, streamingllm 0, fullkv 4: "
        "no difference from the window alone can be seen.",
    ]
    measured["streamingllm, budget 256"] = facts(*[True] * 4)
    assert "less than the window alone" in str(show.recall_sentence(measured, 256, 0))
    assert "nothing can be compared" in str(show.recall_sentence(measured, 400, 0))


def test_recall_by_age_is_told_by_its_first_last_and_lowest_share():
    one = {
        "facts": [
            {"found": found, "ago": ago} for found, ago in ((True, 5), (False, 15), (True, 25))
        ]
    }
    edges = [0, 10, 20, 30]
    told = str(show.age_sentence({"a": one}, {"a": "fullkv", "missing": "h2o"}, edges))
    assert told == (
        "- a: 100% of the facts told 0-10 tokens ago, 100% of those told over 20 tokens ago; "
        "lowest, 0%, of those told 10-20 tokens ago."
    )
    falling = {"facts": [{"found": True, "ago": 5}, {"found": False, "ago": 25}]}
    assert str(show.age_sentence({"a": falling}, {"a": "h2o"}, edges)).endswith(
        "over 20 tokens ago."
    )
    assert str(show.age_sentence({}, {"a": "h2o"}, edges)) == "No fact was asked for."


def test_a_document_is_told_by_what_was_found_and_by_its_memory():
    numbers = {"Oslo": "17", "Lima": "123"}
    document = Document(torch.zeros(1, 8), numbers)
    found = {"Oslo": False, "Lima": True}
    told = str(show.document_sentence(document, found, [NOTES], {100: 50, 400: 55}))
    assert "1 of 2 numbers are found" in told and "has 1 of them, and of these 1 are found" in told
    assert "From 100 to 400 tokens" in told and "grows by 10%" in told and "by 300%" in told


def test_summarizers_are_compared_by_their_seconds():
    def made(seconds, count=2):
        return {"summaries": count, "summary_seconds": seconds}

    both = {"slow, budget 2": made(6.0), "quick, budget 2": made(2.0)}
    assert "slow takes 3.0 times as long as one of quick" in str(show.summary_sentence(both))
    assert "nothing can be compared" in str(
        show.summary_sentence({"a": made(1.0), "b": made(0.0, 0)})
    )


def test_summaries_are_compared_with_reading_again_and_with_keeping():
    work = {"again": [1.0, 4.0, 100.0], "summarised": [2.0, 3.0, 10.0], "kept": [1.0, 2.0, 5.0]}
    told = str(show.reading_sentence(work, [60, 120, 180]))
    assert "At 180 tokens SummaryKV does 10.0% of" in told and "2.00 times the work" in told
    assert "From 120 tokens on it is less work than reading again." in told
    assert told.endswith("At the end it is not less work than keeping the whole cache.")


def test_less_work_counts_from_where_it_stays_less():
    work = {"again": [3.0, 4.0, 9.0], "summarised": [2.0, 3.0, 4.0], "kept": [3.0, 2.0, 5.0]}
    told = str(show.reading_sentence(work, [60, 120, 180]))
    assert "From 60 tokens on it is less work than reading again." in told
    assert told.endswith("From 180 tokens on it is less work than keeping the whole cache.")
