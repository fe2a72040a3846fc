"""The tables that all chapters of methods have."""

from types import SimpleNamespace

import torch
from tables import cells

from kvbook import show
from kvbook.places import place
from kvbook.stats import Rate
from kvbook.tasks.needle import Needle

EXAMPLE = SimpleNamespace(tokens=["the", "4", "2"], gold=(1, 2))


def body(page):
    """The texts of a table, without the names of its columns."""
    return [text for row in cells(page)[1:] for text in row]


def test_costs_are_a_row_a_trial_and_the_caption_has_both_lengths():
    trials = [SimpleNamespace(cost_row=lambda name=name: {"method": name}) for name in "ab"]
    page = show.cost_table(trials, 500, 8)
    assert body(page) == ["a", "b"]
    assert "500 tokens of prompt, 8 new ones" in page.data


def trial(label, kv_bytes, flops, seconds):
    """What `kvbook.tasks.trial.Trial` says, of a model of 2 MiB."""
    times = {"prefill_seconds": seconds, "decode_seconds": 2 * seconds, "decode_tokens": 2}
    model = torch.nn.Linear(2**18, 2, bias=False)
    run = SimpleNamespace(kv_bytes=kv_bytes, kv_bytes_peak=2 * kv_bytes, model=model, **times)
    return SimpleNamespace(label=label, flops=flops, run=run)


def test_costs_are_said_beside_the_first_trial():
    full, small = trial("fullkv", 2**20, 8.0, 1.0), trial("gemfilter", 2**18, 2.0, 0.5)
    told = str(show.cost_sentence([full, trial("h2o", 2**19, 8.0, 2.0), small]))
    assert "beside fullkv: h2o: 50%; gemfilter: 25%. At its largest: h2o: 50%" in told
    assert "do all the operations of fullkv: h2o." in told
    assert "on paper, beside fullkv: gemfilter: 25%." in told
    assert "took 0.50 to 2.00 of the time, and a decoded token 0.50 to 2.00." in told
    assert "2 MiB of weights and, with fullkv, 1.0 MiB of cache" in told and "at most 33%" in told


def test_a_prefill_that_is_nowhere_shorter_is_not_said_to_be_shorter():
    told = str(show.cost_sentence([trial("fullkv", 4, 8.0, 1.0), trial("h2o", 2, 8.0, 1.0)]))
    assert "all the operations" in told and "on paper, beside" not in told


MANY, FEW = [True] * 20, [True] * 5 + [False] * 15
ASKED = {("fullkv", None): MANY, ("snapkv", 64): FEW, ("snapkv", 128): MANY, ("h2o", 64): FEW}


def test_methods_that_lose_needles_are_told_from_those_that_may_not():
    told = str(show.found_sentence(ASKED | {("h2o", 128): FEW, ("other", None): MANY}))
    assert "Fewer answers are found than with fullkv: snapkv (64); h2o (64, 128)." in told
    assert "from fullkv can be seen with 20 prompts: snapkv (128); other." in told
    assert "At budget 128 snapkv finds more than h2o." in told
    assert "At budget 64 no difference between snapkv and h2o can be seen." in told


def test_a_method_that_finds_more_than_full_kv_is_said_to():
    told = str(show.found_sentence({("fullkv", None): FEW, ("a", 1): FEW, ("b", 1): MANY}))
    assert (
        "More answers are found than with fullkv: b (1)." in told and "a finds fewer than b" in told
    )


def test_one_prompt_compares_nothing():
    one = {("fullkv", None): [True], ("h2o", 1): [False]}
    assert str(show.found_sentence(one)) == "One prompt: nothing can be compared."
    assert str(show.against({"a": [True], "b": [False]}, "a")) == str(show.found_sentence(one))


def test_variants_are_compared_with_one_of_them():
    told = str(show.against({"a": FEW, "b": MANY, "c": [False] * 20, "d": FEW}, "a"))
    assert told.splitlines() == [
        "- More answers are found than with a: b.",
        "- Fewer answers are found than with a: c.",
        "- No difference from a can be seen with 20 prompts: d.",
    ]


def test_rates_of_needles_are_labelled_by_method_and_budget():
    rates = {("fullkv", None): Rate(2, 2, 0.2, 1.0), ("snapkv", 0.5): Rate(1, 2, 0.0, 1.0)}
    page = show.found_table(rates, [Needle("", "1", 0.5, 90)] * 2)
    assert body(page)[::3] == ["fullkv", "snapkv, budget 0.5"]
    assert "2 needles of about 90 tokens; intervals by bootstrap over the prompts" in page.data


def test_heads_that_hold_a_token_of_the_answer_are_counted():
    kept = [torch.tensor([[[0, 1], [1, 2]]]), torch.tensor([[[0, 1], [0, 1]]])]
    page = show.answer_table(EXAMPLE, {"kept by": kept}, "heads", "budget 2")
    assert body(page) == ["&#39;4&#39;", "1", "4 of 4 heads", "&#39;2&#39;", "2", "1 of 4 heads"]


def test_layers_that_read_a_token_of_the_answer_are_counted():
    read = [torch.tensor([[0, 1, 2]]), torch.tensor([[0, 1]])]
    assert body(show.answer_table(EXAMPLE, {"read by": read}))[2::3] == ["2 of 2", "1 of 2"]


def test_a_prompt_without_an_answer_has_no_table_of_it():
    assert show.answer_table(SimpleNamespace(tokens=["a"], gold=()), {"kept by": []}) is None


def test_heads_with_all_of_the_answer_a_part_and_nothing_are_counted():
    kept = [torch.tensor([[[1, 2], [0, 1]]]), torch.tensor([[[1, 2], [0, 3]]])]
    told = str(show.answer_sentence(EXAMPLE, {"kept by": kept}))
    assert told == "- kept by: the whole answer in 2 of 4, a part of it in 1, nothing of it in 1."
    assert show.answer_sentence(SimpleNamespace(gold=()), {"kept by": kept}) is None


def test_needles_are_counted_in_the_window_and_before_it():
    told = str(show.window_sentence([True, True, False], [True, False, True]))
    assert told == "Of 2 needles in the window 1 are found, and of 1 before it 1."


def test_an_answer_is_marked_as_right_or_wrong_or_expected_by_nobody():
    assert str(show.answered(" 42. It", "42")).endswith("**Right**: 42 was expected.")
    assert str(show.answered(" 4, or 42", "42")).endswith("**Wrong**: 42 was expected.")
    assert "no answer is expected" in str(show.answered(" 42", ""))
    assert body(show.said_table({"a": " 42.", "b": " 4."}, "42", ""))[2::3] == [
        "✓ right",
        "✗ wrong",
    ]
    assert len(body(show.said_table({"a": " 42."}, "", ""))) == 2


def test_methods_with_right_words_are_told_from_those_with_wrong_ones():
    told = str(show.said_sentence({"a": " 42.", "b": " 4.", "c": "42"}, "42"))
    assert told.startswith("Right: a, c. Wrong: b.")
    assert str(show.said_sentence({"a": "42"}, "42")).startswith("Right: a. Wrong: –.")
    assert show.said_sentence({"a": " 42."}, "") is None


def test_the_report_s_scores_are_said_as_shares_of_full_kv():
    told = str(show.report_sentence(place("data"), ["fullkv", "h2o"]))
    assert told.count("of the score of fullkv in the mean of 6 tasks: least on narrativeqa") == 1
    assert "h2o has" in told and "no intervals" in told


def test_the_report_s_rows_are_marked_as_the_report_s():
    page = show.report_table(place("data"), ["fullkv", "snapkv"])
    assert page.data.count("<tr>") == 3 and 'class="kv-report"' in page.data
