"""Work by token draws the positions that it is given."""

from kvbook import show

COMPUTED, READ = 2, 1
TWO = {
    "without": [([0, 1, 2], []), ([0, 1, 2, 3], [])],
    "with": [([0, 1, 2], []), ([3], [0, 2])],
}


def grids(figure):
    return [axes.images[0].get_array().tolist() for axes in figure.axes]


def test_a_panel_has_a_row_a_token_and_a_column_a_position():
    without, cached = grids(show.work_by_token(TWO))
    assert without == [[COMPUTED, COMPUTED, COMPUTED, 0], [COMPUTED] * 4]
    assert cached == [[COMPUTED, COMPUTED, COMPUTED, 0], [READ, 0, READ, COMPUTED]]


def test_panels_have_their_titles_and_one_legend():
    figure = show.work_by_token(TWO)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["without", "with"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["computed", "read from cache"]


def test_tokens_stand_under_the_last_panel():
    axes = show.work_by_token(TWO, ["The", " ", " $5"]).axes[-1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["The", "␣", r"\$5"]


def test_a_text_too_long_to_be_read_has_positions_instead():
    long = {"with": [(range(200), []), ([200], range(200))]}
    axes = show.work_by_token(long, ["word"] * 200).axes[-1]
    assert axes.get_xlabel() == "position"
    assert "word" not in [label.get_text() for label in axes.get_xticklabels()]


def test_computed_positions_and_read_entries_are_counted():
    without, cached = str(show.work_sentence(TWO)).splitlines()
    assert "7 positions are computed for 2 tokens; the last one reads 0 entries" in without
    assert "4 positions are computed for 2 tokens; the last one reads 2 entries" in cached
