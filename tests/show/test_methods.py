"""The tables that all chapters of methods have."""

import re
from types import SimpleNamespace

import torch

from kvbook import show
from kvbook.places import place
from kvbook.stats import Rate
from kvbook.tasks.needle import Needle

EXAMPLE = SimpleNamespace(tokens=["the", "4", "2"], gold=(1, 2))


def cells(page):
    return re.findall(r"<td[^>]*>([^<]*)</td>", page.data)


def test_costs_are_a_row_a_trial_and_the_caption_has_both_lengths():
    trials = [SimpleNamespace(cost_row=lambda name=name: {"method": name}) for name in "ab"]
    page = show.cost_table(trials, 500, 8)
    assert cells(page) == ["a", "b"]
    assert "500 tokens of prompt, 8 new ones" in page.data


def test_rates_of_needles_are_labelled_by_method_and_budget():
    rates = {("fullkv", None): Rate(2, 2, 0.2, 1.0), ("snapkv", 0.5): Rate(1, 2, 0.0, 1.0)}
    page = show.found_table(rates, [Needle("", "1", 0.5, 90)] * 2)
    assert cells(page)[::3] == ["fullkv", "snapkv, budget 0.5"]
    assert "2 needles of about 90 tokens; bootstrap over prompts" in page.data


def test_heads_that_hold_a_token_of_the_answer_are_counted():
    kept = [torch.tensor([[[0, 1], [1, 2]]]), torch.tensor([[[0, 1], [0, 1]]])]
    page = show.answer_table(EXAMPLE, {"kept by": kept}, "heads", "budget 2")
    assert cells(page) == ["&#39;4&#39;", "1", "4 of 4 heads", "&#39;2&#39;", "2", "1 of 4 heads"]


def test_layers_that_read_a_token_of_the_answer_are_counted():
    read = [torch.tensor([[0, 1, 2]]), torch.tensor([[0, 1]])]
    assert cells(show.answer_table(EXAMPLE, {"read by": read}))[2::3] == ["2 of 2", "1 of 2"]


def test_a_prompt_without_an_answer_has_no_table_of_it():
    assert show.answer_table(SimpleNamespace(tokens=["a"], gold=()), {"kept by": []}) is None


def test_the_report_s_rows_are_marked_as_the_report_s():
    page = show.report_table(place("data"), ["fullkv", "snapkv"])
    assert page.data.count("<tr>") == 3 and 'class="kv-report"' in page.data
