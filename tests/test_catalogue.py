"""What is read from the methods' sources is what their classes are."""

import dataclasses
import subprocess
import sys
from typing import get_type_hints

import pytest

from kvbook import catalogue
from kvbook.catalogue import choose_methods, method_names, method_parameters
from kvbook.errors import ParameterError
from kvbook.methods import CATALOGUE, METHODS

WITHOUT = {"summarykv": ("summarizer",)}


def read(name):
    return method_parameters(name, WITHOUT.get(name, ()))


def test_the_methods_are_those_of_the_catalogue_in_its_order():
    assert method_names() == METHODS


def test_fullkv_is_chosen_with_others_and_all_but_summarykv_without():
    assert choose_methods(["snapkv", "fullkv", "snapkv"]) == ["fullkv", "snapkv"]
    assert choose_methods(None) == [name for name in METHODS if name != "summarykv"]


@pytest.mark.parametrize("name", METHODS)
def test_names_types_and_defaults_are_those_of_the_class(name):
    fields = {one.name: one for one in dataclasses.fields(CATALOGUE[name])}
    types = get_type_hints(CATALOGUE[name], include_extras=True)
    got = read(name)
    assert [*got, *WITHOUT.get(name, ())] == list(fields)
    for key, one in got.items():
        missing = fields[key].default is dataclasses.MISSING
        assert one.default == (... if missing else fields[key].default)
        assert one.annotation == types[key]


def test_a_meaning_is_the_first_sentence_of_the_docstring():
    assert read("snapkv")["window"].meaning == "the last queries, which vote"
    assert read("streamingllm")["positions"].meaning == (
        "RoPE by the slot in the cache, or by the original position"
    )


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a method of a few lines into a folder that is read instead of the package's."""
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)

    def write(name, *lines):
        (tmp_path / f"{name}.py").write_text("\n".join(lines))

    return write


def test_a_helper_and_a_constant_of_the_class_are_no_parameters(write):
    write(
        "even", "class Helper:", "    size: int", "class Even(Method):",
        '    """Parameters', "    ----------", "    budget : int",
        '        All. Really.', '    """',
        "    budget: Budget", '    name: ClassVar[str] = "even"', "    sums: ClassVar[bool] = True",
    )  # fmt: skip
    assert list(method_parameters("even")) == ["budget"]


def test_a_method_that_is_not_listed_is_not_among_them(write):
    write("__init__", "from kvbook.methods.a import A", "from kvbook.methods.b import B")
    write("a", "class A(Method, listed=False):", '    name: ClassVar[str] = "a"')
    write("b", "class B(Method):", '    name: ClassVar[str] = "b"')
    assert method_names() == ("b",)
    with pytest.raises(ParameterError, match=r"methods/a\.py has no class"):
        method_parameters("a")


def test_a_type_that_is_not_of_the_ground_is_refused_by_name(write):
    body = ["    way: Callable = 1", '    name: ClassVar[str] = "a"']
    write(
        "a",
        "class A(Method):",
        '    """Parameters\n    ----------\n    way : x\n        W.\n    """',
        *body,
    )
    with pytest.raises(ParameterError, match=r"Callable is no type of kvbook\.fields"):
        method_parameters("a")


def test_a_parameter_without_a_word_in_the_docstring_is_found(write):
    write("a", "class A(Method):", "    way: int = 1", '    name: ClassVar[str] = "a"')
    with pytest.raises(ParameterError, match=r"methods/a\.py says nothing of way"):
        method_parameters("a")


def test_the_chapters_are_read_without_pytorch():
    code = "import sys, kvbook.chapters.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
