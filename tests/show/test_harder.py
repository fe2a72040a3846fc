"""The pictures of the harder tasks draw shares, guesses, and what is followed."""

from tables import cells

from kvbook import show

TASKS = {
    "needle": {"fullkv": [True, True], "h2o": [False, False], "snapkv": [True, False]},
    "linked": {"fullkv": [True, False], "h2o": [False, False], "snapkv": [False, False]},
}
FOLLOWED = {
    "fullkv": [{"shop": True, "cat": True}, {"shop": True, "cat": False}],
    "h2o": [{"shop": False, "cat": False}, {"shop": False, "cat": False}],
}


def test_the_reach_is_drawn_with_a_guess():
    figure = show.reach({0: {1: [True, True], 4: [True, False]}, 1: {1: [True], 4: [False]}}, 0)
    lines = figure.axes[0].get_lines()
    shares, guess = lines[0], lines[-1]
    assert shares.get_ydata().tolist() == [1, 0.5]
    assert list(guess.get_ydata()) == [1, 0.25] and guess.get_linestyle() == ":"
    assert [axes.get_title() for axes in figure.axes] == ["no link", "1 link(s)"]


def test_a_task_is_a_panel_and_a_guess_a_dotted_line():
    first, second = show.found_by_task(TASKS, {"needle": 1, "linked": 0.25}, 0).axes
    assert second.get_title() == "linked"
    assert [label.get_text() for label in first.get_yticklabels()] == ["fullkv", "h2o", "snapkv"]
    dotted = [line for line in second.get_lines() if line.get_linestyle() == ":"]
    assert dotted[0].get_xdata() == [0.25, 0.25]


def test_methods_stand_in_the_order_of_the_first_task():
    rows = cells(show.task_table(TASKS, 0, ""))
    assert [row[0] for row in rows[1:]] == ["fullkv", "snapkv", "h2o"]
    assert rows[2][1:] == ["0.50 (0.00 to 1.00)", "0.00 (0.00 to 0.84)"]


def test_two_tasks_stand_with_their_correlation():
    rows = cells(show.agreement_table({"a, b": (0.5, -0.25, 1.0)}, ""))
    assert rows[1] == ["a, b", "+0.50 (-0.25 to +1.00)"]


def test_a_rule_is_a_column_and_a_method_a_row():
    axes = show.rules_map(FOLLOWED).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "shop"]
    assert axes.images[0].get_array().tolist() == [[0.5, 1], [0, 0]]


def test_rules_followed_stand_beside_what_is_held():
    rows = cells(show.rules_table(FOLLOWED, {"fullkv": 1.0, "h2o": 0.25}, 0, ""))
    assert rows[1][:2] == ["fullkv", "3 of 4"] and rows[1][3] == "100%"
    assert rows[2][:2] == ["h2o", "0 of 4"] and rows[2][3] == "25%"


def test_the_easiest_and_the_hardest_grade_are_told_and_where_a_guess_is_as_good():
    found = {0: {1: [True] * 9, 4: [True] * 9}, 1: {1: [True] * 9, 2: [True, False] * 4}}
    told = str(show.reach_sentence(found, 0)).splitlines()
    assert told[0].startswith(
        "- Keys: 1, links: 0. The whole cache finds 9 of 9; a guess would find 1.00"
    )
    assert told[1].startswith(
        "- Keys: 2, links: 1. The whole cache finds 4 of 8; a guess would find 0.50"
    )
    assert told[2].startswith("- In 1 of 2 grades")


def test_methods_are_better_or_worse_than_a_guess_or_not_told_from_it():
    linked = {
        "fullkv": [True] * 20,
        "snapkv": [True] * 20,
        "h2o": [False] * 20,
        "own": [True, False] * 10,
    }
    needle = {"fullkv": [True] * 20, "snapkv": [True] * 20, "h2o": [False] * 20, "own": [True] * 20}
    told = str(
        show.tasks_sentence({"needle": needle, "linked": linked}, {"needle": 1, "linked": 0.5}, 0)
    ).splitlines()
    assert told[:3] == [
        "- linked, better than a guess (0.50): snapkv.",
        "- linked, no difference from a guess can be seen: own.",
        "- linked, worse than a guess: h2o.",
    ]
    assert (
        "needle: snapkv beside own finds 1.00 beside 1.00: with 20 items no difference" in told[3]
    )
    assert "linked: snapkv beside own finds 1.00 beside 0.50, larger" in told[4]


def test_orders_are_alike_or_opposite_or_neither_can_be_seen():
    points = {"a, b": (0.9, 0.5, 1.0), "a, c": (-0.9, -1.0, -0.5), "a, d": (0.1, -0.4, 0.6)}
    points["a, e"] = (float("nan"),) * 3
    told = str(show.agreement_sentence(points)).splitlines()
    for words, line in zip(("similar", "opposite", "no common", "no common"), told, strict=True):
        assert words in line


def test_rules_are_compared_with_full_kvs():
    full = [{"cat": True, "shop": False}] * 5
    followed = {"fullkv": full, "h2o": [{"cat": False, "shop": False}] * 5}
    followed |= {"same": full, "own": [{"cat": True, "shop": True}] * 5}
    kept = {"fullkv": 1.0, "h2o": 0.4, "same": 0.3, "own": 0.2}
    told = str(show.rules_sentence(followed, kept, 0)).splitlines()
    assert told == [
        "- Fewer rules than fullkv (50%) follow: h2o (0%).",
        "- As far as can be seen, as many rules as fullkv (50%) follow: same (50%).",
        "- More rules than fullkv (50%) follow: own (100%).",
        "- Of the smaller caches h2o holds the largest share of the system prompt (40%); own follows most rules (10 of 10).",
        '- They follow the rule "cat" most often, 67% of the times.',
    ]


def test_full_kv_alone_is_compared_with_nothing():
    assert str(show.rules_sentence({"fullkv": [{"cat": True}]}, {"fullkv": 1.0}, 0)) == ""
