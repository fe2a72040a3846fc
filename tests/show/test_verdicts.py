"""What the evaluation's sentences say, on numbers made by hand."""

from tables import cells

from kvbook import show

ABOVE, AROUND, BELOW = (3.0, 1.0, 5.0), (0.0, -1.0, 1.0), (-3.0, -5.0, -1.0)


def lines(said):
    return str(said).splitlines()


def test_who_is_below_full_kv_and_who_leads_the_compressed():
    points = {("a", "fullkv"): BELOW, ("b", "fullkv"): AROUND, ("a", "b"): ABOVE}
    told = lines(show.standing_sentence(points, ["fullkv", "a", "b"]))
    assert told == [
        "- **Below FullKV:** a.",
        "- **Not told apart from FullKV** with these items: b.",
        "- **The best compressed method** is a, 3.0 points (1.0 to 5.0) above the next one, b.",
    ]
    points |= {("a", "fullkv"): ABOVE, ("a", "b"): AROUND}
    told = lines(show.standing_sentence(points, ["a", "fullkv", "b"]))
    assert "- **Above FullKV:** a." in told
    assert "cannot be told apart with these items (-1.0 to +1.0 points)" in told[-1]
    told = lines(show.standing_sentence({("a", "fullkv"): BELOW}, ["fullkv", "a"]))
    assert told == ["- **Below FullKV:** a."]


def test_losses_are_counted_beside_the_report_s_of_what_both_have():
    measured = {
        "fullkv": {"trec": (50, 0, 0), "lcc": (100, 0, 0)},
        "a": {"trec": (25, 0, 0), "lcc": (90, 0, 0)},
        "b": {"trec": (40, 0, 0), "lcc": (80, 0, 0)},
        "not in the report": {"trec": (50, 0, 0), "lcc": (100, 0, 0)},
    }
    report = {
        "fullkv": {"trec": 10, "lcc": 10},
        "a": {"trec": 9, "lcc": 8},
        "b": {"trec": 7, "lcc": 7},
    }
    told = str(show.beside_report_sentence(measured, report))
    assert "larger here than in the report in 1 of the 4 pairs" in told
    assert "are b, a here, and a, b in the report" in told


def test_who_lost_when_the_question_came_after_is_told_most_first():
    told = lines(show.moved_sentence({"a": BELOW, "b": AROUND, "c": (-9.0, -10.0, -8.0)}))
    assert told[0].startswith("- **c**: -9.0 points (-10.0 to -8.0)")
    assert told[1].startswith("- **a**: -3.0 points")
    assert told[2] == "- No difference can be seen with these items: b."
    assert len(lines(show.moved_sentence({"a": BELOW}))) == 1


def test_a_lead_is_left_or_cannot_be_seen():
    pair = ("a", "b")
    assert "+3.0 points before, +3.0 (+1.0 to +5.0) after; a lead is left." in str(
        show.lead_sentence({pair: ABOVE}, {pair: ABOVE})
    )
    assert str(show.lead_sentence({pair: ABOVE}, {pair: AROUND})).endswith("no lead can be seen.")


def probes(*kl):
    return [{"kl": one} for one in kl]


def test_the_nearest_method_is_named_with_the_budgets_that_tell_it_apart():
    curves = {
        "a": {64: probes(0.1, 0.1, 0.1), 128: probes(0.1, 0.3, 0.1)},
        "b": {64: probes(0.9, 0.8, 0.7), 128: probes(0.2, 0.1, 0.3)},
    }
    (told,) = lines(show.fidelity_sentence(curves, 0))
    assert "**a** is nearest" in told and "at budget 64, 128;" in told
    assert told.endswith("tells it from the next method at budget 64.")
    unclear = {name: {128: of[128]} for name, of in curves.items()}
    assert str(show.fidelity_sentence(unclear, 0)).endswith("at none of them.")
    alone = show.fidelity_sentence({"a": curves["a"]}, 0)
    assert str(alone) == "One method: nothing can be compared."


def test_a_method_that_scores_more_and_is_further_away_is_named():
    curves = {"a": {64: probes(0.9, 0.9)}, "b": {64: probes(0.1, 0.1)}}
    points = {("a", "b"): ABOVE, ("b", "a"): BELOW}
    assert str(show.views_sentence(points, curves, 64, 0)).endswith("FullKV: a (b).")
    points = {("a", "b"): AROUND, ("b", "a"): AROUND}
    assert "no method scores more" in str(show.views_sentence(points, curves, 64, 0))


def test_needles_by_two_protocols_are_counted_and_paired():
    before = {
        "a": {"64": [[True] * 3] * 2},
        "b": {"64": [[False] * 3] * 2},
        "c": {"64": [[False] * 3] * 2},
    }
    after = {"a": before["b"], "b": before["b"], "c": before["a"]}
    told = lines(show.asked_after_sentence(before, after, "64", 0))
    assert "6 needles" in told[0] and "a 6 → 0, b 0 → 0, c 0 → 6" in told[0]
    assert told[1:] == [
        "- Fewer after it: a.",
        "- No difference can be seen with these items: b.",
        "- More after it: c.",
    ]


def test_needles_are_told_length_by_length_of_those_that_find_any():
    grids = {
        "a": {"64": [[True, False]] * 2, "0.1": [[False, True]] * 2},
        "b": {"64": [[True, False]] * 2, "0.1": [[False, False]] * 2},
    }
    told = lines(show.lengths_sentence(grids, [500, 1000]))
    assert told[0].startswith("Found of 2 needles a length, from 500 to 1000 tokens")
    assert told[2:] == ["- a: 2 → 0 (budget 64), 0 → 2 (budget 0.1)."]
    none = {"b": grids["b"]}
    assert (
        str(show.lengths_sentence(none, [500, 1000])) == "No method finds a needle at every budget."
    )


def test_the_correlation_that_is_nearest_to_a_fixed_budget_s_is_named():
    told = str(show.correlation_sentence({"a": 0.2, "b": -0.71}))
    assert "b -0.71, a +0.20" in told and told.endswith("b is nearest to that.")


def test_a_fault_costs_gains_or_cannot_be_seen():
    points = {("all", "x", "y"): BELOW, ("all", "y", "z"): AROUND, ("trec", "z", "x"): ABOVE}
    told = lines(show.fault_sentence(points))
    assert [one.rpartition("; ")[2] for one in told] == [
        "it scores less.",
        "no difference can be seen.",
        "it scores more.",
    ]
    assert told[0].startswith("- *x* against *y*, all: -3.0 points (-5.0 to -1.0)")


def test_folded_tables_stand_under_their_title():
    one = show.table([{"a": 1}], "measured")
    page = show.folded("All < of them", one, one)
    assert page.data.startswith("<details class='kv-fold'><summary>All &lt; of them</summary>")
    assert page.data.count("<table") == 2 and cells(page)[1] == ["1"]
