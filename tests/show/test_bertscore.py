"""Scores as tables, pictures and sentences."""

import pytest
import torch
from finetune.rows import asks
from tables import cells

from kvbook import show
from kvbook.finetune.score import compare
from kvbook.finetune.score.gains import NLL, RAW, RESCALED
from kvbook.results import Provenance, ResultFile

REPORT = {"data": "D", "items": 500, "bertscore_f1": {"before": 0.6, "after": 0.7}}
GAINED = {
    RAW: compare([0.5, 0.6], [0.7, 0.6]),
    RESCALED: compare([0.0, 0.2], [0.4, 0.2]),
    NLL: compare([4.0, 3.0], [2.0, 2.0], less_is_better=True),
}
KEPT = ResultFile(
    name="bertscore",
    data={
        "held_out_losses": [[0, 3.0], [9, 2.0]],
        "answers": {"after": ["a", "b"]},
        "scores": {"after": {"bert": {"raw": {"f1": [0.64, 0.66]}}}},
    },
    provenance=Provenance(
        chapter="bertscore",
        profile="laptop",
        parameters={"steps": 400, "batch": 2},
        seed=7,
        model="m",
        started="2025-01-02T03:04",
        seconds=600.0,
        commit=None,
        dirty=None,
        machine={"cpu": "C"},
        versions={},
    ),
)


def probe(nll, kl=0.0, agreement=1.0, kept_bytes=10):
    return {"nll": nll, "kl": kl, "agreement": agreement, "kept_bytes": kept_bytes}


def caption(shown):
    return shown.data.split("</caption>")[0]


# ---- the report, and the scale -------------------------------------------------------------------


def test_the_reports_line_is_that_of_its_file():
    shown = show.report_scores(REPORT)
    assert [row[1] for row in cells(shown)[1:]] == ["0.60", "0.70"]
    assert "D, 500 items" in caption(shown) and "the report" in caption(shown)


def test_the_best_of_a_column_has_a_star():
    cosines = torch.tensor([[0.1, 0.9], [0.4, 0.2]])
    rows = cells(show.match_table(cosines, ["a", "b"], ["c", "d"], ""))
    assert rows[0][1:] == ["0 c", "1 d"]
    assert rows[1:] == [["a", "0.10", "★ 0.90"], ["b", "★ 0.40", "0.20"]]


def test_unrelated_answers_are_told_with_their_range():
    text = str(show.unrelated_sentence([0.8, 0.9], 0.83))
    assert "score **0.85** on average (0.80 to 0.90)" in text and "more pairs, is 0.830" in text


def test_the_reports_line_is_rescaled():
    text = str(show.rescaled_sentence(REPORT, 0.5))
    assert "0.60 → 0.70 is **0.20 → 0.40** rescaled" in text and "went up by 0.20" in text
    assert "stays 0.60 below 1." in text


def test_cosines_are_told_with_their_range():
    text = str(show.cosines_sentence(torch.tensor([[0.1, 0.9], [0.4, 0.2]])))
    assert text == "The cosines go from 0.10 to 0.90, with a mean of 0.40."


def test_f1_by_hand_is_told_beside_that_of_the_package():
    assert "0.5000 by hand, and 0.5001 by" in str(show.by_hand_sentence(0.5, 0.5001))


# ---- before and after ----------------------------------------------------------------------------


def test_comparisons_are_told_by_name():
    shown = show.comparisons_table(GAINED, "measure", "this run")
    assert [row[0] for row in cells(shown)] == ["measure", RAW, RESCALED, NLL]
    assert "this run" in caption(shown)


def test_every_item_is_a_mark_over_its_score_before():
    axes = show.before_and_after([0.1, 0.2], [0.3, 0.1], [0.25, 0.35]).axes[0]
    marks, diagonal = axes.lines
    assert marks.get_xydata().tolist() == [[0.1, 0.3], [0.2, 0.1]]
    assert diagonal.get_xdata().tolist() == diagonal.get_ydata().tolist()
    assert axes.get_xlim() == axes.get_ylim() == (pytest.approx(0.08), pytest.approx(0.37))


@pytest.mark.parametrize(
    "other, above, says",
    [
        ([0.8], 0, "**answers drawn at random from the data score higher than its own.**"),
        ([0.65], 1, "**it cannot be told from answers drawn at random from the data.**"),
        ([0.5], 2, "more than such an answer."),
    ],
)
def test_answers_that_reach_those_to_other_questions_are_counted(other, above, says):
    text = str(show.gain_sentence(GAINED, [0.7, 0.6], other))
    assert f"scores {other[0]:.3f} on average. The trained model scores 0.650" in text
    assert (
        says in text
        and f"Of the 2 answers of the trained model, {above} score above {other[0]:.3f}." in text
    )


@pytest.mark.parametrize(
    "after, says",
    [
        ([0.9, 1.0], "the training raised the score"),
        ([0.9, 0.1], "with 2 items no change can be seen"),
        ([0.1, 0.1], "the training lowered the score"),
    ],
)
def test_an_interval_says_whether_the_gain_is_one(after, says):
    gained = GAINED | {RAW: compare([0.5, 0.6], after)}
    assert f"): {says}. Rescaled" in str(show.gain_sentence(gained, after, [0.5]))


@pytest.mark.parametrize(
    "gained, says",
    [
        ({"a": [1.0, 2.0], "b": [3.0, 3.0]}, "All 2 rows got better"),
        ({"a": [1.0, -1.0], "b": [-3.0, -3.0]}, "Of 2 rows, 0 got better and 1 worse"),
    ],
)
def test_measures_that_changed_beyond_chance_are_counted(gained, says):
    compared = {name: compare([0.0, 0.0], after) for name, after in gained.items()}
    assert str(show.measures_sentence(compared)).startswith(says)


def test_gains_stand_in_the_reports_form_with_their_intervals():
    rows = cells(show.gains_form({"this run": GAINED}, REPORT, 0.5))[1:]
    assert [row[1:] for row in rows] == [
        ["raw", "2", "0.550", "0.650", "+0.100 (+0.000 to +0.200)"],
        ["rescaled", "2", "0.100", "0.300", "+0.200 (+0.000 to +0.400)"],
        ["raw", "500", "0.60", "0.70", "+0.10"],
        ["rescaled by us", "500", "0.20", "0.40", "+0.20"],
    ]
    assert ["the report" in row[0] for row in rows] == [False, False, True, True]


def test_a_kept_run_says_where_it_comes_from():
    assert show.kept_name(KEPT) == (
        "a longer run, kept: m, 400 steps, 2025-01-02, C, 10 minutes, seed 7"
    )
    assert "2 items, 400 steps of 2 rows" in caption(show.kept_gains(KEPT, GAINED))


@pytest.mark.parametrize("unrelated, says", [([0.6], "more than such"), ([0.7], "score higher")])
def test_a_kept_run_is_set_beside_this_one(unrelated, says):
    text = str(show.kept_run_sentence(KEPT, GAINED, 40, unrelated))
    assert "has 10 times the steps" in text and "loss went from 3.00 to 2.00" in text
    assert "references from 3.50 to 2.00 nats" in text and "scores 0.650" in text and says in text


# ---- what it cannot see, what was forgotten ------------------------------------------------------

TEXTS = {"right": "R", "dose": "D", "other": "O"}
MARKS = {
    "dose": {"raw": 0.9, "rescaled": 0.4},
    "right": {"raw": 0.8, "rescaled": 0.1},
    "other": {"raw": 0.5, "rescaled": -0.2},
}


def test_damaged_answers_stand_in_the_order_of_their_scores():
    assert cells(show.damaged_table(MARKS, TEXTS, "right", "good"))[1:] == [
        ["dose", "D", "no", "0.900", "+0.400"],
        ["right", "R", "yes", "0.800", "+0.100"],
        ["other", "O", "no", "0.500", "-0.200"],
    ]


def test_wrong_answers_above_the_right_one_are_named():
    text = str(show.damaged_sentence(MARKS, TEXTS, "right"))
    assert text.startswith("**Of 2 wrong answers, 1 score above the right one**, up to 0.900")
    assert "against 0.800: dose." in text
    best = MARKS | {"right": {"raw": 0.95, "rescaled": 0.5}}
    text = str(show.damaged_sentence(best, TEXTS, "right"))
    assert text == "No wrong answer scores above the right one (0.950)."


def test_the_three_largest_gains_are_shown_and_long_answers_cut():
    said = {"before": ["b" * 90] * 4, "after": ["a" * 130] * 4}
    rows = cells(
        show.risen_answers(asks(*"wxyz"), said, [0.1, 0.1, 0.1, 0.1], [0.2, 0.4, 0.1, 0.3])
    )
    assert [row[0] for row in rows[1:]] == ["x", "z", "w"]
    assert rows[1][2:] == ["b" * 80, "a" * 120, "0.10 → 0.40"]


def test_words_for_a_doctor_are_counted_in_the_largest_gains():
    said = {"before": ["a", "b", "请就医", "请就医"], "after": ["请就医", "b", "请就医", "请就医"]}
    text = str(show.risen_sentence(said, [0.1, 0.1, 0.1, 0.1], [0.4, 0.4, 0.4, 0.1]))
    assert "is in 1 of these 3 answers before the training, and in 2 after it" in text


def test_forgetting_is_told_by_its_interval():
    text = show.forgetting_sentence(
        {
            "zh": compare([3.0, 3.0], [2.0, 2.5], less_is_better=True),
            "en": compare([3.0, 3.0], [4.0, 3.5], less_is_better=True),
            "fr": compare([3.0, 3.0], [4.0, 2.0], less_is_better=True),
        }
    )
    chinese, english, french = str(text).splitlines()
    assert "in Chinese: they became more probable (+0.75, +0.50 to +1.00)." in chinese
    assert "in English: they became less probable (-0.75" in english
    assert "in fr: no change can be seen with 2 of them" in french


# ---- under compression ---------------------------------------------------------------------------

FULL = [probe(2.0, kept_bytes=20), probe(3.0, kept_bytes=20)]
CURVES = {
    "snapkv": {8: [probe(2.5, kl=0.2, agreement=0.5), probe(3.5, kl=0.4, agreement=1.0)]},
    "h2o": {8: [probe(4.0, kl=1.0), probe(4.0, kl=1.0)]},
}


def test_a_method_is_told_against_the_full_cache_on_the_same_consultations():
    shown = show.consultation_table(CURVES, FULL, "this run")
    assert cells(shown)[1] == [
        "snapkv",
        "8",
        "50%",
        "3.00",
        "+0.50 (+0.50 to +0.50)",
        "0.30",
        "75%",
    ]
    assert "this run: 2 consultations" in caption(shown) and "NLL is 2.50" in caption(shown)


def test_the_methods_that_move_the_model_least_and_most_are_named():
    text = str(show.consultation_sentence(CURVES, FULL))
    assert "At 8 entries, h2o moves the fine-tuned model most and snapkv least" in text
    assert "KL 1.00 beside 0.30, larger" in text
    assert "worse than full KV's in 2 of 2 cases, and better in 0;" in text
    assert "worse by 1.50 at most" in text


def test_one_consultation_has_no_interval():
    one = {name: {8: of[8][:1]} for name, of in CURVES.items()}
    text = str(show.consultation_sentence(one, FULL[:1]))
    assert "(one item: no interval)" in text and "by 2.00 at most (one consultation" in text
