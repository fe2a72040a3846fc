"""Leads of one method in many comparisons, and how many of them chance would make."""

from tables import cells

from kvbook import show
from kvbook.tasks.leads import Contest

CONTESTS = [
    Contest("trec", "0.1", {"h2o": [0.5, 1.0], "snapkv": [0.5, 0.0], "other": [0.0, 0.0]}),
    Contest("lcc", "64", {"h2o": [0.0], "snapkv": [1.0], "other": [0.0]}),
]
ABOVE, AROUND, BELOW = (25.0, 1.0, 50.0), (25.0, -1.0, 50.0), (-9.0, -9.5, -8.5)
LEADS = {
    "snapkv": {"trec (budget 0.1)": ABOVE, "lcc (budget 64)": BELOW},
    "other": {"trec (budget 0.1)": ABOVE, "lcc (budget 64)": AROUND},
}


def test_a_row_has_the_means_and_the_lead_over_each_rival():
    rows = cells(show.leads_table(CONTESTS, "h2o", LEADS, ""))
    assert rows[0] == [
        *("task", "budget", "items", "h2o", "snapkv", "other"),
        *("above snapkv", "above other"),
    ]
    lead = "+25.0 (+1.0 to +50.0)"
    assert rows[1] == ["trec", "0.1", "2", "75.0", "25.0", "0.0", lead, lead]
    assert rows[2][-2:] == ["-9.0 (-9.5 to -8.5)", "+25.0 (-1.0 to +50.0)"]


def test_the_tasks_with_a_lead_are_named_and_all_comparisons_counted():
    told = str(show.leads_sentence(CONTESTS, "h2o", LEADS)).splitlines()
    assert told[0] == "- **h2o is above snapkv and other** in 1 of 2: trec (budget 0.1)."
    assert told[1].endswith("above in 1, below in 1, and not told apart in 0.")
    assert told[2].endswith("above in 1, below in 0, and not told apart in 1.")
    assert "These are 4 comparisons" in told[3]


def test_chance_makes_one_lead_in_forty_comparisons():
    many = CONTESTS * 20
    assert "80 comparisons" in str(show.leads_sentence(many, "h2o", LEADS))
    assert "about 2 of the intervals" in str(show.leads_sentence(many, "h2o", LEADS))


def test_without_a_lead_it_is_said_with_how_many_items_and_where_the_mean_is_the_highest():
    leads = {rival: {"trec (budget 0.1)": AROUND, "lcc (budget 64)": BELOW} for rival in LEADS}
    told = str(show.leads_sentence(CONTESTS, "h2o", leads)).splitlines()
    assert "no task on which h2o is seen above snapkv and other**: of 2" in told[0]
    assert "at most 2 items" in told[0]
    assert told[1].startswith("- Its mean is the highest on trec (budget 0.1); but")
