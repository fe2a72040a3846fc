"""Whatever is given as a parameter: a clear refusal, or a value that comes back as it went in."""

import ast
import json

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from papermill.parameterize import parameterize_notebook
from pydantic import ValidationError

from kvbook.chapters.parameters import Needled, of_method
from kvbook.chapters.registry import CHAPTERS
from kvbook.chapters.resolve import resolve_parameters
from kvbook.errors import ParameterError

SIMPLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = SIMPLE | st.lists(SIMPLE, max_size=3)
NEAR = st.integers(0, 300) | st.floats(0, 1) | st.lists(st.integers(1, 300), min_size=1, max_size=3)
"""Values that many parameters do take, so that not all is refused."""
TEXTS = ["model", "prompt", "prompt_file", "data"]


@st.composite
def overrides(draw, values=VALUES):
    """A chapter, and values for some of its parameters and perhaps for one that it has not."""
    chapter = draw(st.sampled_from(list(CHAPTERS.values())))
    names = st.sampled_from(list(chapter.parameters.model_fields)) | st.just("budgt")
    return chapter, draw(st.dictionaries(names, values, max_size=3))


def outcome(chapter, given):
    """The resolved parameters, or the refusal."""
    try:
        return resolve_parameters(chapter, "laptop", given)
    except ParameterError as error:
        return str(error)


def test_a_methods_chapter_has_the_methods_parameters_and_its_own():
    @of_method("snapkv", window=2)
    class Own(Needled):
        extra: int = 1

    base, own = Needled().model_dump(), Own().model_dump()
    assert own == base | {"window": 2, "kernel": 7, "pooling": "max", "gqa": "mean", "extra": 1}
    assert list(own)[-5:] == ["window", "kernel", "pooling", "gqa", "extra"]
    with pytest.raises(ValidationError, match="odd"):
        Own(kernel=4)


def test_another_default_for_what_the_method_has_not_is_found():
    with pytest.raises(KeyError, match="windw"):
        of_method("snapkv", windw=2)(Needled)


@settings(max_examples=400, deadline=None)
@given(overrides(NEAR | VALUES))
def test_values_are_refused_with_what_is_valid_or_come_back_from_json(chosen):
    chapter, given = chosen
    got = outcome(chapter, given)
    if isinstance(got, str):
        assert f"Parameters of {chapter.name}:" in got and any(name in got for name in given)
    else:
        assert set(got) == set(chapter.parameters.model_fields)
        assert resolve_parameters(chapter, "laptop", got) == got
        assert json.loads(json.dumps(got, allow_nan=False)) == got


@settings(max_examples=300, deadline=None)
@given(overrides(NEAR | st.none() | st.booleans() | st.lists(st.floats(0, 2), max_size=3)))
def test_a_value_and_its_text_on_the_command_line_are_the_same(chosen):
    chapter, given = chosen
    given = {name: value for name, value in given.items() if name not in TEXTS}
    as_value, as_text = outcome(chapter, given), outcome(chapter, _as_texts(given))
    assert as_value == as_text or (isinstance(as_value, str) and isinstance(as_text, str))


def _as_texts(given):
    return {name: json.dumps(value) for name, value in given.items()}


@settings(deadline=None)
@given(st.sampled_from(list(CHAPTERS.values())), st.text())
def test_a_text_stays_the_text_that_it_is(chapter, text):
    for name in set(TEXTS) & set(chapter.parameters.model_fields):
        assert resolve_parameters(chapter, "laptop", {name: text})[name] == text


@settings(deadline=None)
@given(st.sampled_from(list(CHAPTERS.values())), st.text(), st.floats(0.001, 1))
def test_the_notebook_gets_literals_with_the_very_values(chapter, text, budget):
    """papermill writes parameters into a notebook as Python; no text may become code there."""
    values = chapter.defaults() | {"prompt": text, "model": text, "budget": budget, "list": [text]}
    notebook = nbformat.v4.new_notebook()
    notebook.metadata |= {"papermill": {}, "kernelspec": {"name": "python3", "language": "python"}}
    [cell] = parameterize_notebook(notebook, values).cells
    written = ast.parse(cell.source).body
    assert {line.targets[0].id: ast.literal_eval(line.value) for line in written} == values


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[1," * 50_000, "9" * 5000, "1e999", "-Infinity", "NaN"]
)
@pytest.mark.parametrize(
    "chapter, name",
    [("snapkv", "budget"), ("snapkv", "budgets"), ("pyramidinfer", "distance_weight")],
)
def test_a_monstrous_text_is_refused(chapter, name, text):
    with pytest.raises(ParameterError):
        resolve_parameters(CHAPTERS[chapter], "laptop", {name: text})


@pytest.mark.parametrize("seed", ["-1", "4294967296"])
def test_a_seed_that_not_every_generator_takes_is_refused(seed):
    with pytest.raises(ParameterError, match="seed"):
        resolve_parameters(CHAPTERS["snapkv"], "laptop", {"seed": seed})
