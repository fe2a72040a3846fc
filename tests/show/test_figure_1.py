"""Figure 1's panels and tables: what stands where, on numbers made by hand."""

import pytest
from tables import cells

from kvbook import show


def mark(text):
    """A cell that can be seen."""
    return f"[{text}]"


def test_panels_have_two_tasks_and_a_cost_a_row():
    measured = {"fullkv": {"a": (1, 1, 1)}, "h2o": {"a": (0.5, 0.4, 0.6)}}
    figure = show.figure_1_panels(measured, {"fullkv": {}}, list("abcd"), ["time", "memory"])
    assert [axes.get_title() for axes in figure.axes] == [
        "task: a", "task: b", "system: time", "task: c", "task: d", "system: memory",
    ]  # fmt: skip


def test_notes_say_what_is_ours_and_what_the_reports():
    page = show.two_notes(["left: <b>", "right"], "theirs").data
    assert 'class="kv-measured">measured here</span> left: &lt;b&gt;; right.' in page
    assert 'class="kv-report">the report</span> theirs.' in page


def test_files_have_their_letter_kind_and_run():
    rest = {"model": "m", "begun": "2026-01-02", "how much": "30 items"}
    ours = {"letter": "b", "address": "results/kept/x.json", "kind": "measured", "called": "kept"}
    theirs = {"letter": "a", "address": "results/report.json", "kind": "report", "called": ""}
    rows = cells(show.sources_table([theirs | rest, ours | rest], ""))
    assert rows[0] == ["", "file", "what", "model", "begun", "how much"]
    assert rows[2][1] == '<a href="results/kept/x.json">kept/x.json</a>'
    assert rows[1][2] == '<span class="kv-report">the report</span>'
    assert rows[2][2:] == ['<span class="kv-measured">measured here</span> kept', *rest.values()]


def test_our_scores_have_intervals_and_the_reports_have_none():
    columns = {"trec": "trec (Acc)", "lcc": "lcc (Edit Sim)"}
    ours = {"h2o": {"trec": (50.04, 39.6, 60.4)}}
    assert cells(show.task_scores_table(ours, columns, "measured", "", mark)) == [
        ["method", "trec (Acc)"],
        ["h2o", "[50.0 (40–60)]"],
    ]
    theirs = {"h2o": {"lcc": 56.31, "trec": 66.5}}
    assert cells(show.task_scores_table(theirs, columns, "report", ""))[1] == [
        "h2o",
        "66.50",
        "56.31",
    ]


COSTS = {
    "fullkv": {
        "prefill": {64: (1.0, 0.9, 1.1), 128: (2.0, 1.9, 2.1)},
        "e2e": {64: (3.0, 2.9, 3.1), 128: (4.0, 3.9, 4.1)},
        "memory": {64: (0.5, 0.5, 0.5)},
    },
    "h2o": {"prefill": {64: None}, "e2e": {64: None}, "memory": {64: None}},
}


def test_costs_are_times_and_memory_or_out_of_memory_or_nothing():
    rows = cells(show.costs_table(COSTS, "", mark, {"h2o": "h2o, 512"}))
    assert rows == [
        ["method", "stage", "64 tokens", "128 tokens"],
        ["fullkv", "prefill", "[1.00 s (0.90–1.10)]", "[2.00 s (1.90–2.10)]"],
        ["fullkv", "e2e", "[3.00 s (2.90–3.10)]", "[4.00 s (3.90–4.10)]"],
        ["fullkv", "memory", "[0.50 GiB]", "–"],
        ["h2o, 512", "prefill", "[OOM]", "–"],
        ["h2o, 512", "e2e", "[OOM]", "–"],
        ["h2o, 512", "memory", "[OOM]", "–"],
    ]


def test_memory_that_nobody_measured_has_no_row():
    costs = {method: of | {"memory": {}} for method, of in COSTS.items()}
    assert {row[1] for row in cells(show.costs_table(costs, ""))[1:]} == {"prefill", "e2e"}


def test_a_gain_has_an_interval_here_and_none_in_the_report():
    report = {"data": "theirs", "items": 500, "before": 0.63, "after": 0.7}
    ours = {"items": 33, "before": 0.8, "after": 0.85, "gain": 0.05, "low": 0.01, "high": 0.09}
    _, first, second = cells(show.gains_table(report, [("40 steps", ours, mark)], "", str))
    assert first[1:] == ["theirs", "500", "0.63", "0.70", "+0.07"]
    assert second[1:4] == ["40 steps", "33", "[0.800]"]
    assert second[5] == "[+0.050 (+0.010 to +0.090)]"


def test_the_order_is_ours_and_what_the_report_has_not_comes_last():
    ours = {"own": (0.9, 0.8, 1.0), "h2o": (0.2, 0.1, 0.3), "snapkv": (0.7, 0.6, 0.8)}
    places = ({"h2o": 2, "snapkv": 1}, {"h2o": 1, "snapkv": 2})
    report = {"h2o": 0.75, "snapkv": 0.5}
    rows = cells(show.order_table(ours, report, places, "", (mark, str)))
    assert rows[1:] == [
        ["snapkv", "[70% (60% to 80%)]", "1", "50%", "2"],
        ["h2o", "[20% (10% to 30%)]", "2", "75%", "1"],
        ["own", "[90% (80% to 100%)]", "–", "no row", "–"],
    ]


@pytest.mark.parametrize("agree, word", [(True, "agree"), (False, "differ")])
def test_a_reading_says_whether_it_holds_there_and_here(agree, word):
    reading = {
        "claim": "A < B.", "report": (True, "1 of 2"), "ours": (False, "0 of 2"), "agree": agree,
        "why": "Luck.", "page": "h2o.html#run", "title": "H2O",
    }  # fmt: skip
    page = show.readings_list([reading]).data
    assert f"<strong>A &lt; B.</strong> <em>The two {word}.</em>" in page
    assert "the report</span> holds: 1 of 2" in page
    assert "measured here</span> does not hold: 0 of 2" in page
    assert page.endswith('Luck. <a href="h2o.html#run">See H2O.</a></li></ol>')


def test_a_sentence_counts_the_readings_and_numbers_those_that_differ():
    rows = [{"agree": one} for one in (True, False, True, False)]
    told = str(show.readings_sentence(rows))
    assert told.startswith("**2 of 4 statements") and told.endswith("in number 2, 4.")
    assert str(show.readings_sentence(rows[:1])).startswith("**All 1 statements")


def test_a_score_is_below_where_its_interval_does_not_meet_full_kvs():
    scores = {
        "fullkv": {"trec": (80, 70, 90), "lcc": (50, 45, 55)},
        "h2o": {"trec": (40, 30, 50), "lcc": (44, 40, 46)},
        "snapkv": {"trec": (60, 50, 69), "lcc": (43, 42, 44)},
    }
    told = str(show.task_scores_sentence(scores))
    assert told.startswith("3 of 4 scores") and "of snapkv (trec), h2o (lcc)." in told


def test_a_cost_is_less_or_more_in_every_repeat_or_not_told_apart():
    shares = {
        "fullkv": {"time": (1, 1, 1)},
        "h2o": {"time": (0.9, 0.8, 1.1)},
        "fastkv": {"time": (0.5, 0.4, 0.6)},
        "own": {"time": (1.4, 1.1, 1.5)},
        "snapkv": {},
    }
    assert str(show.cost_shares_sentence(shares, "time", 2048)).splitlines() == [
        "Time at 2,048 tokens:",
        "",
        "- less than FullKV in every repeat: fastkv (50%)",
        "- more than FullKV in every repeat: own (140%)",
        "- no difference from FullKV can be seen: h2o",
    ]


def test_neighbours_that_overlap_are_named_and_so_is_the_largest_move():
    ours = {"a": (0.9, 0.8, 1.0), "b": (0.7, 0.6, 0.85), "c": (0.2, 0.1, 0.3)}
    places = {"a": 1, "b": 2, "c": 3}
    told = str(show.order_sentence(ours, (places, {"a": 3, "b": 2, "c": 1})))
    assert (
        "does not tell their places apart: a/b." in told
        and "a changes its place most: 1 here, 3" in told
    )
    ours["b"] = (0.7, 0.6, 0.75)
    told = str(show.order_sentence(ours, (places, places)))
    assert "no two neighbours overlap" in told and "All methods have the same place" in told


@pytest.mark.parametrize(
    "low, high, word", [(0.01, 0.09, "rises"), (-0.09, -0.01, "falls"), (-0.01, 0.01, "no change")]
)
def test_a_gain_is_told_by_its_interval(low, high, word):
    gain = {"gain": 0.01, "low": low, "high": high}
    assert word in str(show.gains_sentence([("40 steps", gain)]))
