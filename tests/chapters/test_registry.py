"""Chapters: notebooks and parameter models agree, and wrong parameters are refused with what is valid."""

import inspect
import json
import re

import pytest
import yaml
from matplotlib.figure import Figure

from kvbook import show
from kvbook.chapters.registry import (
    CHAPTERS,
    PROFILES,
    get_chapter,
)
from kvbook.chapters.resolve import (
    describe_parameters,
    notebook_parameters,
    parameter_rows,
    resolve_parameters,
)
from kvbook.errors import ParameterError
from kvbook.places import place


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_notebook_has_the_names_types_and_defaults_of_the_model(name):
    chapter = get_chapter(name)
    written = notebook_parameters(chapter.notebook)
    expected = chapter.parameters().model_dump()
    assert written == expected
    assert {key: type(value) for key, value in written.items()} == {
        key: type(v) for key, v in expected.items()
    }


@pytest.mark.parametrize("name", CHAPTERS)
def test_notebooks_are_kept_without_outputs(name):
    for cell in json.loads(get_chapter(name).notebook.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_figure_has_alt_text(name):
    drawing = [
        name for name, one in ((name, getattr(show, name)) for name in show.__all__) if draws(one)
    ]
    pattern = re.compile(rf"plt\.(subplots|figure)\(|\b({'|'.join(drawing)})\(")
    for cell in json.loads(get_chapter(name).notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code" and pattern.search("".join(cell["source"])):
            assert cell["metadata"].get("mystnb", {}).get("image", {}).get("alt"), cell["source"]


def draws(thing):
    return inspect.isfunction(thing) and inspect.signature(thing).return_annotation is Figure


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", CHAPTERS)
def test_every_profile_is_valid(name, profile):
    assert resolve_parameters(get_chapter(name), profile)["model"]


@pytest.mark.parametrize(
    "text, value",
    [
        ({"budget": "128"}, 128),
        ({"budget": "0.1"}, 0.1),
        ({"budgets": "[64, 0.5]"}, [64, 0.5]),
        ({"rolling": "False"}, False),
        ({"chunk": "none"}, None),
        ({"chunk": "64"}, 64),
        ({"prompt": "42"}, "42"),
        ({"positions": "original"}, "original"),
    ],
)
def test_texts_of_the_command_line_become_values(text, value):
    (name,) = text
    assert resolve_parameters(get_chapter("streamingllm"), "laptop", text)[name] == value


@pytest.mark.parametrize(
    "overrides, says",
    [
        ({"budgt": "128"}, "Did you mean 'budget'"),
        ({"budget": "128x"}, "budget = '128x'"),
        ({"budget": "0"}, "budget = '0'"),
        ({"budget": "1.5"}, "budget = '1.5'"),
        ({"budget": "true"}, "budget = 'true'"),
        ({"needles": "2.5"}, "needles"),
        ({"positions": "slot"}, "'cache' or 'original'"),
        ({"budgets": "64"}, "list"),
    ],
)
def test_wrong_parameters_are_refused_with_the_valid_ones(overrides, says):
    with pytest.raises(ParameterError, match=says) as caught:
        resolve_parameters(get_chapter("streamingllm"), "laptop", overrides)
    assert "sinks: int from 0 = 4" in str(caught.value)


def test_the_evaluation_knows_all_methods_and_tasks():
    from kvbook.methods import METHODS
    from kvbook.tasks.longbench import TASKS

    given = resolve_parameters(get_chapter("evaluation"))
    assert given["methods"] == [name for name in METHODS if name != "summarykv"]
    assert given["tasks"] == list(TASKS)
    assert resolve_parameters(get_chapter("evaluation"), "laptop", {"methods": '["summarykv"]'})
    with pytest.raises(ParameterError, match="methods"):
        resolve_parameters(get_chapter("evaluation"), "laptop", {"methods": '["snapkvx"]'})


def test_an_even_kernel_is_refused():
    with pytest.raises(ParameterError, match="odd"):
        resolve_parameters(get_chapter("snapkv"), "laptop", {"kernel": "4"})


def test_an_unknown_chapter_is_refused_with_the_near_one():
    with pytest.raises(ParameterError, match="Did you mean 'snapkv'"):
        get_chapter("snapvk")


def test_an_unknown_profile_is_refused():
    with pytest.raises(ParameterError, match="smoke, laptop, gpu"):
        resolve_parameters(get_chapter("snapkv"), "desktop")


def test_the_description_has_types_defaults_and_meanings():
    text = describe_parameters(get_chapter("snapkv"))
    assert "window: int from 1 = 8 - the last queries, which vote" in text
    assert "pooling: max | avg = max - how a position takes on its neighbours' votes" in text
    assert "kernels: list of int from 1 = [3, 5, 7] - kernels to compare" in text


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_described_default_can_be_given_as_it_is_written(name, profile):
    chapter = get_chapter(name)
    given = {row["parameter"]: row["default"] for row in parameter_rows(chapter, profile)}
    given = {key: "" if text == '""' else text for key, text in given.items()}  # as a shell does
    assert resolve_parameters(chapter, "laptop", given) == resolve_parameters(chapter, profile)


def test_an_infinite_number_is_refused():
    with pytest.raises(ParameterError, match="finite"):
        resolve_parameters(get_chapter("pyramidinfer"), overrides={"distance_weight": "Infinity"})


def test_a_parameters_cell_with_code_is_refused(tmp_path):
    path = tmp_path / "x.ipynb"
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": ["import os"]}
    path.write_text(json.dumps({"cells": [cell]}))
    with pytest.raises(ParameterError, match="only assign literals"):
        notebook_parameters(path)


def test_what_a_chapter_goes_on_with_is_a_chapter_before_it():
    names = list(CHAPTERS)
    for chapter in CHAPTERS.values():
        assert all(names.index(one) < names.index(chapter.name) for one in chapter.after)


def test_the_book_has_every_chapter():
    toc = yaml.safe_load((place("book") / "_toc.yml").read_text(encoding="utf-8"))
    assert set(CHAPTERS) <= {one["file"] for part in toc["parts"] for one in part["chapters"]}


def test_contexts_given_twice_are_refused():
    with pytest.raises(ParameterError, match="each once"):
        resolve_parameters(CHAPTERS["profiling"], "laptop", {"contexts": "[128, 128]"})


@pytest.mark.parametrize("name", ["fullkv", "profiling", "ondevice"])
def test_where_times_are_the_subject_nothing_runs_beside(name):
    assert CHAPTERS[name].cores == 2


def test_figure_1_comes_after_its_halves():
    assert {"evaluation", "profiling", "bertscore"} <= set(CHAPTERS["figure_1"].after)
