"""Pictures and tables of SummaryKV's conversations show the numbers that they are given."""

import re
from types import SimpleNamespace

import pytest
import torch

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


def cells(page):
    return re.findall(r"<td[^>]*>([^<]*)</td>", page.data)


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
    row = cells(show.asked_table([fact], ["No idea."], "The code is 123.", ""))
    assert row == ["The code of my locker is 123", "3", "yes", "No idea."]
    assert cells(show.asked_table([], [], "", "")) == ["none in so few turns"]


def test_the_last_summaries_are_shown_and_all_are_counted():
    page = show.summaries_table([NOTES] * 5, last=2)
    assert cells(page) == ["300", "90", "2", "0.50", "The code is 123."] * 2
    assert "the last of 5 summaries" in page.data
    assert cells(show.summaries_table([])) == ["none"]


def test_a_method_without_early_facts_has_a_dash():
    rows = cells(show.recall_table(MEASURED, least=256, seed=0, caption=""))
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
    assert cells(page) == ["Oslo", "0.25", "yes", "no", "Lima", "0.75", "no", "yes"]


def test_seconds_are_those_of_one_summary():
    rows = cells(show.summary_seconds(MEASURED))
    assert rows == ["fullkv", "0", "0.00", "summarykv model", "4", "0.50"]


def test_work_of_reading_is_in_tera():
    work = {"again": [1e12, 3e12], "summarised": [1e12, 2e12], "kept": [1e12, 1.5e12]}
    axes = show.reading_curves(work, [60, 120], "").axes[0]
    assert [list(line.get_ydata()) for line in axes.lines] == [
        pytest.approx([1, 3]),
        pytest.approx([1, 2]),
        pytest.approx([1, 1.5]),
    ]
