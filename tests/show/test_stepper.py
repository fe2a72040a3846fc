"""The moving picture: it shows the frames that it is given, whole in itself, and is still without a script."""

import re
from dataclasses import replace
from importlib import util
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from scripts import data_of, words_of

from kvbook import results, show
from kvbook.places import place
from kvbook.show.explorers import stepper as module
from kvbook.show.style import COLOURS
from kvbook.tasks.frames import Frames

SNAPKV = Frames(
    name="snapkv",
    method="SnapKV(budget=2)",
    tokens=["a", " b", " c"],
    written=[" b", "."],
    answer=" b",
    layer=1,
    head=0,
    came=[0, 1, 2, 5],
    gone=[3, None, None, None],
    scores=[[], [], [0.01, 1.0, None], [], [], []],
    gold=[1],
    holding=(3, 4),
)
SUMMARY = replace(
    SNAPKV,
    name="summarykv",
    method="SummaryKV(budget=2)",
    written=[" d", "."],
    gone=[None, 2, 4, None],
    scores=[[]] * 6,
    summaries={"4": "b is"},
    sinks=1,
)


def soup(*frames, **options):
    return BeautifulSoup(show.stepper(frames, **options).data, "lxml")


def test_without_a_script_the_last_step_stands():
    page = soup(SNAPKV, SUMMARY)
    rows = [[i["class"][0] for i in row.select("i")] for row in page.select(".kv-cells")]
    assert rows[0] == ["kv-gone", "kv-on", "kv-on", "kv-on"]
    assert rows[1] == ["kv-on", "kv-gone", "kv-gone", "kv-on"]
    assert [one.text for one in page.select(".kv-says")] == ["“b.” ✓ right", "“d.” ✗ wrong"]
    assert page.select_one(".kv-steps").has_attr("hidden")


def test_a_summary_stands_between_the_sinks_and_what_is_recent():
    page = soup(SUMMARY)
    back = page.select_one(".kv-back")
    assert back.text == "b is" and back["style"] == "grid-column: 2 / 4"
    assert not back.has_attr("hidden") and soup(SNAPKV).select_one(".kv-back").has_attr("hidden")


def test_the_script_has_all_steps():
    data = data_of(show.stepper([SNAPKV, SUMMARY]))
    assert data["steps"] == 6 and data["tokens"] == ["a", " b", " c"]
    assert [row["scored"] for row in data["rows"]] == [True, False]
    assert data["rows"][0]["heights"] == [None, None, [6, 100, None], None, None, None]
    assert data["rows"][1]["summaries"] == [None, None, None, None, "b is", None]


def test_every_step_is_a_sentence():
    words = words_of(show.stepper([SNAPKV, SUMMARY]))
    assert words["read"].format(number=2, all=3, token="b") == "Token 2 of 3 is read: b"
    assert words["written"].format(number=1) == "Token 1 of the answer is written."
    assert words["done"] == soup(SNAPKV).select_one(".kv-now").text == "The answer is written."


def test_the_step_behind_the_prompt_says_who_cuts():
    h2o = replace(SNAPKV, name="h2o", method="H2O(budget=2)")
    assert module.cut_words([SNAPKV, SUMMARY]) == "The prompt is read. SnapKV cuts."
    assert module.cut_words([SNAPKV, h2o]) == "The prompt is read. SnapKV and H2O cut."
    assert module.cut_words([SUMMARY]) == "The prompt is read."


def test_what_a_model_and_a_prompt_say_is_told_apart_from_our_words():
    page = soup(SNAPKV, SUMMARY)
    said = [one.text for one in page.select(".kv-said")]
    assert said == ["a", "b", "c", "“b.”", "", "“d.”", "b is"]


def test_scores_below_zero_are_drawn_linearly():
    linear = replace(SNAPKV, scores=[[], [], [-3.0, 1.0, -1.0], [], [], []])
    assert module.heights(linear)[2] == [6, 100, 53] and not module.is_logarithmic(linear)
    assert "linear" in module.caption([linear]) and "logarithmic" in module.caption([SNAPKV])


def test_the_words_say_which_head_and_how_many_hold_the_answer():
    said = module.caption([SNAPKV])
    assert "KV head 0 in layer 1" in said and "3 of 4 heads hold the answer" in said
    assert "hold the answer" not in module.caption([SNAPKV, SUMMARY])


def test_those_who_do_not_see_it_hear_what_came_of_it():
    label = soup(SNAPKV, SUMMARY).figure["aria-label"]
    assert "SnapKV holds 3 entries and writes 'b.', right" in label
    assert "SummaryKV holds 2 entries and a summary and writes 'd.', wrong" in label


def test_one_method_alone_has_its_own_answer_over_the_columns():
    alone, both = soup(SNAPKV), soup(SNAPKV, SUMMARY)
    assert [one.text for one in alone.select(".kv-over span")] == ["a", "b", "c", "b"]
    assert [one.text for one in both.select(".kv-over span")] == ["a", "b", "c", "answer"]
    assert alone.select_one(".kv-gold").text == "b"


def test_methods_can_be_chosen_and_pictures_told_apart():
    page = soup(SNAPKV, SUMMARY, methods=["summarykv"])
    assert [one.text for one in page.select(".kv-head b")] == ["SummaryKV"]
    assert page.select_one(".kv-explorer")["id"] == "stepper-summarykv"
    assert COLOURS["summarykv"] in page.select_one(".kv-cells")["style"]


def test_it_loads_nothing():
    page = show.stepper([SNAPKV, SUMMARY]).data
    assert not re.search(r"src=|href=|url\(|@import|https?:|fetch\(|import\(", page)


def test_tokens_cannot_become_code():
    bad = "</script><img src=x>"
    page = show.stepper([replace(SUMMARY, tokens=[bad] * 3, written=[bad], summaries={"4": bad})])
    assert page.data.count("</script>") == 1 and "<img" not in page.data


@pytest.mark.parametrize("kind", ["js", "css"])
def test_what_it_is_made_of_is_small(kind):
    file = Path(module.__file__).with_suffix(f".{kind}")
    assert file.stat().st_size < 8_000


def test_it_moves_only_when_it_is_asked_to():
    script = Path(module.__file__).with_suffix(".js").read_text(encoding="utf-8")
    assert script.count("setInterval") == 1 and script.rstrip().endswith("go(last);\n})();")
    style = Path(module.__file__).with_suffix(".css").read_text(encoding="utf-8")
    assert "prefers-reduced-motion" in style and "@media print" in style


def test_the_landing_page_shows_what_the_families_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_RESULTS", str(tmp_path))
    results.save("families", {"frames": [vars(SNAPKV)]}, parameters={"model": "m", "seed": 0})
    spec = util.spec_from_file_location("moving", place("book") / "_ext/moving_picture.py")
    extension = util.module_from_spec(spec)
    spec.loader.exec_module(extension)
    page = extension.picture(tmp_path, "stepper-index")
    assert 'id="stepper-index"' in page and "SnapKV" in page
