"""`kvbook compare`: rows and a page for any prompt; bad input is one message, before a model is loaded."""

import io
import sys

import pytest
import torch
from bs4 import BeautifulSoup
from typer.testing import CliRunner

from kvbook import create_method, load_model
from kvbook.commands import cli, comparison
from kvbook.errors import ParameterError
from kvbook.methods import METHODS, Method
from kvbook.tasks.side_by_side import try_side_by_side
from kvbook.tasks.trial import as_example, try_method

TEXT = "A fox hid a key under the seventh stone. " * 3 + "Where is the key?"
LENGTH = len(TEXT)  # a token of tiny-random is a byte


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32")


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """The command in an empty folder, with a tiny model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words, **more):
        return CliRunner().invoke(
            cli.app, ["compare", "--model", "tiny-random", "--new-tokens", "3", *words], **more
        )

    return run


def rows_of(done):
    """The table's rows, word by word."""
    rows = [line.split() for line in done.stdout.splitlines()]
    return [row for row in rows if row and row[0] in METHODS]


def test_side_by_side_is_alone_and_those_that_only_choose_share_a_reading(lm):
    methods = [
        create_method("fullkv"),
        create_method("fastkv", budget=32),
        create_method("snapkv", budget=32),
    ]
    example, told = as_example(lm, TEXT), []
    done = try_side_by_side(lm, methods, example, 4, told.append)
    assert told == [2, 1] and [one.readers for one in done] == [2, 1, 2]
    for method, one in zip(methods, done, strict=True):
        alone = try_method(lm, method, example, 4)
        assert one.trial.method == method and one.trial.text == alone.text
        assert one.trial.flops == alone.flops
        kept = zip(one.trial.run.kept_positions, alone.run.kept_positions, strict=True)
        assert all(torch.equal(*pair) for pair in kept)


def test_a_prompt_is_read_once_for_all_methods_that_only_choose(lm):
    read = []

    class Counting(Method, listed=False):
        name = "counting"

        def keep(self, seen):
            if seen.layer == 0:
                read.append(seen.prompt_length)

    hook = lm.model.base_model.layers[0].register_forward_pre_hook(
        lambda layer, args: read.append(tuple(args[0].shape[:2]))
    )
    try_side_by_side(lm, [Counting(), create_method("h2o", budget=8)], as_example(lm, TEXT), 1)
    hook.remove()
    assert read == [(1, LENGTH), LENGTH]


def test_every_method_has_its_rows_and_the_page_opens_from_disk(compare, tmp_path):
    done = compare(TEXT, "--method", "all", "--budget", "16", "--budget", "32", "-p", "segment=32")
    assert done.exit_code == 0, done.output
    rows = rows_of(done)
    names = [row[0] for row in rows]
    assert names == [n for name in METHODS for n in [name] * (1 if name == "fullkv" else 2)]
    snap = next(row for row in rows if row[:2] == ["snapkv", "16"])
    assert snap[2:4] == ["16", f"{100 * 16 / LENGTH:.0f}%"]
    assert "kvbook-runs/compare.html" in done.stdout and "one reading" in done.stderr
    page = BeautifulSoup((tmp_path / "kvbook-runs/compare.html").read_text("utf-8"), "lxml")
    assert len(page.select("tbody tr")) == len(names)
    slider = page.select_one(".kv-explorer .kv-slider")
    assert slider["max"] == "1" and not page.select("[src], link")
    assert "newPlot" in page.select("script")[-1].string
    shown = [one.get_text() for one in page.select(".kv-select option")]
    assert shown == [name for name in METHODS if name != "summarykv"]
    assert "summarykv budget=16 segment=32: holds a summary" in done.stderr


def test_without_a_method_all_are_compared_but_the_slow_one(compare):
    names = [row[0] for row in rows_of(compare(TEXT, "--budget", "16"))]
    assert names == [name for name in METHODS if name != "summarykv"]


@pytest.mark.parametrize("methods, budget", [("fullkv", "64"), ("fastkv,gemfilter", "0.25")])
def test_a_few_methods_have_a_page_too(methods, budget, compare, tmp_path):
    page = tmp_path / "deep" / "mine.html"
    done = compare(TEXT, "--method", methods, "--budget", budget, "--page", str(page))
    assert done.exit_code == 0, done.output
    assert "one reading" not in done.stderr and "kv-explorer" in page.read_text("utf-8")


def test_what_is_piped_in_is_the_prompt(compare):
    done = compare("-", "--method", "fullkv", input=b"\xef\xbb\xbfa b\r\nc")
    assert done.exit_code == 0, done.output
    [row] = rows_of(done)
    assert row[2:4] == ["5", "100%"]


def test_an_answer_of_no_words_is_explained(compare, monkeypatch):
    trial = comparison.try_side_by_side

    def silent(lm, *more):
        end = lm.tokenizer.eos_token_id
        lm.model.lm_head.register_forward_hook(
            lambda head, given, out: out.index_fill(-1, torch.tensor([end]), out.max() + 1)
        )
        return trial(lm, *more)

    monkeypatch.setattr(comparison, "try_side_by_side", silent)
    done = compare(TEXT, "--method", "fullkv")
    assert done.exit_code == 0 and "an answer of no words" in done.stderr
    assert rows_of(done)[0][-2:] == ["–", "''"]


def test_the_browser_is_opened_only_where_it_is_asked_for(compare, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for words in ([], ["--open"]):
        assert compare(TEXT, "--method", "fullkv", *words).exit_code == 0
    assert opened == [(tmp_path / "kvbook-runs/compare.html").as_uri()]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "nul.txt").write_bytes(b"a\0b")
    (tmp_path / "file").touch()


@pytest.mark.parametrize(
    "words, says",
    [
        ([], "give one prompt"),
        (["a", "--prompt-file", "empty.txt"], "give one prompt"),
        ([""], "the prompt is empty"),
        (["--prompt-file", "empty.txt"], "the prompt is empty"),
        (["-"], "the prompt is empty"),  # nothing is piped in
        (["--prompt-file", "none.txt"], "none.txt cannot be read: No such file"),
        (["--prompt-file", "."], "cannot be read: Is a directory"),
        (["--prompt-file", "picture.png"], "picture.png is not UTF-8"),
        (["--prompt-file", "nul.txt"], "nul.txt is not text"),
        (["a\udcff"], "half a character"),
        (["a", "--method", "snapvk"], "unknown method 'snapvk'"),
        (["a", "--method", ","], "nothing to do"),
        (["a", "--budget", ","], "nothing to do"),
        (["a", "--budget", "1.5"], "budget=1.5"),
        (["a", "--budget", "many"], "budget='many'"),
        (["a", "-p", "windw=3"], "has a parameter 'windw'"),
        (["a", "-p", "window"], "name=value"),
        (["a", "-p", "budget=3"], "give --budget instead"),
        (["a", "--page", "page.pdf"], "ends in .html"),
        (["a", "--page", "."], "ends in .html"),
        (["a", "--page", "file/page.html"], "give another --page"),
    ],
)
def test_bad_input_is_refused_before_a_model_is_loaded(words, says, compare, files, monkeypatch):
    monkeypatch.setattr(comparison, "load_model", lambda name: pytest.fail("loaded"))
    done = compare(*words)
    assert isinstance(done.exception, ParameterError) and says in str(done.exception)


def test_bytes_that_are_piped_in_and_are_no_text_are_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfea\0")))
    with pytest.raises(ParameterError, match="what is piped in is not UTF-8"):
        comparison.read_prompt("-", None)


def test_a_prompt_that_the_model_has_no_positions_for_is_not_read(compare):
    done = compare("a" * 8190)
    assert isinstance(done.exception, ParameterError)
    assert "8190 tokens and 3 new ones are more than the 8192 positions" in str(done.exception)


def test_no_new_token_is_refused_by_the_option(compare):
    assert compare("a", "--new-tokens", "0").exit_code == 2
