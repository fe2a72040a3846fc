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
    data={"held_out_losses": [[0, 3.0], [9, 2.0]], "answers": {"after": ["a", "b"]}},
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
    text = show.unrelated_sentence([0.8, 0.9], 0.83).data
    assert "score **0.85** here (0.80 to 0.90)" in text and "more pairs, is 0.830" in text


def test_the_reports_line_is_rescaled():
    text = show.rescaled_sentence(REPORT, 0.5).data
    assert "0.60 → 0.70 is **0.20 → 0.40** rescaled" in text and "went up by 0.20" in text
    assert [row[2:] for row in cells(show.report_form(REPORT, 0.5))[1:]] == [
        ["0.60", "0.70", "+0.10"],
        ["0.20", "0.40", "+0.20"],
    ]


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


def test_answers_that_reach_those_to_other_questions_are_counted():
    text = show.gain_sentence(GAINED, [0.7, 0.6], [0.6, 0.7], REPORT).data
    assert "scores 0.650 on average, and the trained model 0.650; only 1 of 2" in text
    assert "like the report's +0.10" in text


@pytest.mark.parametrize("after, says", [([0.9, 1.0], "excludes 0"), ([0.9, 0.1], "includes 0")])
def test_an_interval_says_whether_the_gain_is_one(after, says):
    gained = GAINED | {RAW: compare([0.5, 0.6], after)}
    assert f"which {says};" in show.gain_sentence(gained, after, [0.5], REPORT).data


def test_a_gain_in_the_reports_form_has_its_interval():
    rows = cells(show.gain_form(GAINED, ""))[1:]
    assert rows[0][:4] == ["raw", "2", "0.550", "0.650"]
    assert rows[1] == ["rescaled", "2", "0.100", "0.300", "+0.200 (+0.000 to +0.400)"]


def test_a_kept_run_says_where_it_comes_from():
    said = "a longer run, kept: m, 400 steps, 2025-01-02, C, 10 minutes, seed 7"
    assert said in caption(show.kept_form(KEPT, GAINED))


@pytest.mark.parametrize("unrelated, says", [([0.6], "above the 0.600"), ([0.7], "still below")])
def test_a_kept_run_is_set_beside_this_one(unrelated, says):
    shown, text = show.kept_gains(KEPT, GAINED, 40, unrelated)
    assert "2 items, 400 steps of 2 rows; held-out loss 3.00 → 2.00" in caption(shown)
    assert text.data.startswith("10 times the steps") and "(NLL 3.50 → 2.00)" in text.data
    assert f"F1 arrives at 0.650, {says}" in text.data


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
    text = show.damaged_sentence(MARKS, TEXTS, "right").data
    assert text.startswith(
        "**1 wrong answers score above the right one**, up to 0.900 against 0.800: dose."
    )


def test_the_three_largest_gains_are_shown_and_long_answers_cut():
    said = {"before": ["b" * 90] * 4, "after": ["a" * 130] * 4}
    rows = cells(
        show.risen_answers(asks(*"wxyz"), said, [0.1, 0.1, 0.1, 0.1], [0.2, 0.4, 0.1, 0.3])
    )
    assert [row[0] for row in rows[1:]] == ["x", "z", "w"]
    assert rows[1][2:] == ["b" * 80, "a" * 120, "0.10 → 0.40"]


def test_forgetting_is_told_by_its_interval():
    text = show.forgetting_sentence(
        {
            "zh": compare([3.0, 3.0], [2.0, 2.5], less_is_better=True),
            "en": compare([3.0, 3.0], [4.0, 3.5], less_is_better=True),
            "fr": compare([3.0, 3.0], [4.0, 2.0], less_is_better=True),
        }
    ).data
    assert "answers in Chinese got better (+0.75, +0.50 to +1.00)." in text
    assert "answers in English got worse (-0.75" in text
    assert "answers in fr did not change beyond chance" in text


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
    text = show.consultation_sentence(CURVES, FULL).data
    assert "At 8 entries, snapkv moves the fine-tuned model least (KL 0.30) and h2o most" in text
    assert "worse by 1.50 at most" in text
