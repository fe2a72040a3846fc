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
