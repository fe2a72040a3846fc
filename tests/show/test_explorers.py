"""Pictures to move through hold what they show, and let nothing of a prompt out into the page's code."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from scripts import data_of, words_of

from kvbook import show
from kvbook.show.explorers import frame
from kvbook.show.explorers.frame import change_words, explorer, slider
from kvbook.tasks.frames import Frames

RUN = SimpleNamespace(
    kept_positions=[torch.tensor([[[0, 2], [-1, 1]]]), torch.tensor([[[0, 1], [1, 2]]])]
)


SCRIPTS = sorted(Path(frame.__file__).parent.glob("*.js"))
NAMES = {"MiB", "GiB", "rgba", "pointer", "coarse", "text", "extra"}
"""Units, and names that a browser and plotly know, within longer texts."""
SHOWN = (
    r"(?:textContent|innerHTML|title|text) ?[=:] ?([^;]*)",
    r'setAttribute\("aria-label", ([^)]*)\)',
)
"""Where a script says what a reader sees or hears."""


def lettered(code):
    """Texts with a word in them, of a script."""
    texts = re.findall(r'"([^"\n]*)"', re.sub(r"//.*", "", code))
    return [one for one in texts if re.search("[A-Za-z]{3,}", re.sub(r"\{\w+\}", "", one))]


@pytest.fixture
def pages():
    """Every picture, by the name of its script; of what is given to it nothing has a space."""
    table = {
        "models": ["model"], "machines": ["CPU, 2 threads"], "contexts": [8], "budgets": [0.5],
        "methods": ["fullkv"], "memory": [9], "cells": [[[[[1, 2, 3, 4]]]]],
    }  # fmt: skip
    contents = SimpleNamespace(sinks="", summary="", recent="b", entries=3, waiting=4)
    frames = Frames(
        name="h2o", method="H2O(budget=2)", tokens=["a"], written=["b"], answer="b", layer=0,
        head=0, came=[0, 1], gone=[None, None], scores=[[], [], []],
    )  # fmt: skip
    return {
        "calculator": show.calculator(table),
        "chat": show.chat_explorer([SimpleNamespace(user="a", assistant="b", contents=contents)]),
        "families": show.families_explorer({"snapkv": [RUN]}, [2], "abc", [["snapkv"], []]),
        "kept": show.kept_explorer(RUN, "abc"),
        "stepper": show.stepper([frames]),
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda one: one.stem)
def test_a_script_has_no_words_of_its_own(script):
    code = script.read_text(encoding="utf-8")
    longer = [one for one in lettered(code) if not re.fullmatch(r"[\w.-]+", one)]
    assert not set(re.findall("[A-Za-z]{3,}", " ".join(longer))) - NAMES
    assert not [
        one for where in SHOWN for said in re.findall(where, code) for one in lettered(said)
    ]


def test_a_script_finds_the_words_it_asks_for(pages):
    for name, page in pages.items():
        code = Path(frame.__file__).with_name(f"{name}.js").read_text(encoding="utf-8")
        asked, held = set(re.findall(r"WORDS\.(\w+)", code)), words_of(page).keys()
        assert asked and asked <= held
        assert held - asked == ({"right", "wrong"} if name == "stepper" else set())


def test_what_a_script_is_given_holds_no_words(pages):
    def texts(data):
        if isinstance(data, str):
            return [data]
        parts = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
        return [text for part in parts for text in texts(part)]

    for page in pages.values():
        found = texts(data_of(page))
        assert found and not [one for one in found if re.search(r"[A-Za-z]{2} | [A-Za-z]{2}", one)]


def test_the_words_of_a_script_can_be_changed_and_nothing_else():
    words = {"one": "a </b>", "more": ["c", "d"]}
    page = explorer("mine", "", "chat", {"WORDS": "e"}, words, "").data
    changed = change_words(page, lambda text: f"{text}<i>".upper())
    assert words_of(SimpleNamespace(data=changed)) == {"one": "A </B><I>", "more": ["C<I>", "D<I>"]}
    assert changed.partition("DATA = ")[2] == page.partition("DATA = ")[2]
    assert changed.count("</") == page.count("</")
    assert change_words("let a = 1;", str.upper) == "let a = 1;"


def test_the_explorer_holds_the_same_for_every_layer():
    figure = data_of(show.kept_explorer(RUN, ["a", "b", "c"]))
    (trace,), steps = figure["data"], figure["layout"]["sliders"][0]["steps"]
    assert trace["z"] == steps[0]["args"][0]["z"][0] == [[1, 0, 1], [0, 1, 0]]
    assert steps[1]["args"][0]["z"][0] == [[1, 1, 0], [0, 1, 1]]


def test_the_families_explorer_counts_heads_per_layer():
    data = data_of(show.families_explorer({"snapkv": [RUN]}, [2], "abc", [["snapkv"], []]))
    assert data["kept"]["snapkv"] == [["111", "121"]]


def test_the_families_have_a_panel_a_method_in_two_columns():
    columns = [["snapkv", "h2o"], ["fastkv"]]
    runs = {method: [RUN] for column in columns for method in column}
    data = data_of(show.families_explorer(runs, [2], "abc", columns))
    figure, titles = data["figure"], data["figure"]["layout"]["annotations"]
    assert data["methods"] == [title["text"] for title in titles] == ["snapkv", "h2o", "fastkv"]
    assert [trace["zmax"] for trace in figure["data"]] == [2, 2, 2]
    starts = [figure["layout"][axis]["domain"][0] for axis in ("xaxis", "xaxis2", "xaxis3")]
    assert starts == [0, 0, 0.53]


def test_tokens_cannot_become_code():
    token = "</script><!--<script><img src=x>"
    pages = [
        show.kept_explorer(RUN, [token] * 3).data,
        show.families_explorer({"snapkv": [RUN]}, [2], [token] * 3, [["snapkv"], []]).data,
    ]
    for page in pages:
        data = re.search(r"DATA = (\{.*?\});", page).group(1)
        assert "img src=x" in data and "<" not in data
        assert page.count("</script>") == 2 and "img src=x" not in page.replace(data, "")


def test_a_page_has_its_data_its_script_and_words_without_it():
    page = explorer("mine", "<p>", "chat", {"turns": ["</script>"]}, {}, "Needs JavaScript.").data
    assert 'id="mine"' in page and 'NAME = "mine"' in page and "DATA.turns" in page
    assert page.count("</script>") == 1 and page.endswith("<noscript>Needs JavaScript.</noscript>")


def test_plotly_stands_beside_the_pages_and_only_where_it_draws():
    drawn = explorer("mine", "", "kept", {}, {}, "", plotly=True).data
    assert re.findall(r'<script src="(.*?)"', drawn) == [show.PLOTLY] and "//" not in show.PLOTLY
    assert "src=" not in explorer("mine", "", "chat", {}, {}, "").data


def test_a_slider_goes_from_its_least_to_its_most():
    one = slider("answer", 11, "answer", 3)
    assert 'min="3" max="11"' in one and "kv-answer-label" in one
