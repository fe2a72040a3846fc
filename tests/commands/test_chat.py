"""`kvbook chat`: lines in, answers out, what the cache holds, and files to go on with."""

import pytest
from typer.testing import CliRunner

from kvbook import load_model
from kvbook.commands import cli
from kvbook.errors import KvbookError
from kvbook.ondevice import find_llamacpp
from kvbook.ondevice.weights import home_of

ENGINES = {
    "torch": ["--model", "tiny-random"],
    "llamacpp": ["--engine", "llamacpp", "--weights", "f32", "--model"],
}


def chat(*arguments, lines="Hello.\n"):
    return CliRunner().invoke(cli.app, ["chat", *map(str, arguments)], input=lines)


@pytest.fixture(params=ENGINES)
def engine(request, tmp_path, monkeypatch):
    """The options of an engine and of a tiny model in it."""
    options = ENGINES[request.param]
    if request.param == "llamacpp":
        if find_llamacpp() is None:
            pytest.skip("llama.cpp's environment is not there: make llamacpp")
        monkeypatch.setenv("KVBOOK_CACHE", str(tmp_path / "cache"))
        options = [*options, home_of(load_model("tiny-random", dtype="float32"))]
    return options


SMALL = ["--budget", "64", "-p", "segment=16", "-p", "summary_tokens=8", "--new-tokens", "6"]


def test_a_line_is_answered_and_the_cache_shown(engine):
    done = chat(*engine, *SMALL, lines="Hello.\nAnd now?\n/cache\n")
    assert "64 entries, " in done.stdout
    assert "recent" in done.stdout and "sinks" in done.stdout
    assert "summarykv, at most 64 entries a layer" in done.stderr


def test_a_saved_conversation_goes_on_where_it_was(engine, tmp_path):
    path = tmp_path / "talk.chat"
    whole = chat(*engine, *SMALL, lines="Hello.\nAnd now?\n").stdout
    first = chat(*engine, *SMALL, "--save", path, lines="Hello.\n").stdout
    model = [*engine[:2], "--model", engine[-1]] if "--engine" in engine else engine
    second = chat(*model, "--resume", path, "--new-tokens", "6", lines="And now?\n").stdout
    assert first + second == whole


def test_a_word_that_is_no_command_says_which_there_are(engine):
    done = chat(*engine, "--method", "fullkv", lines="/what\n")
    assert isinstance(done.exception, KvbookError) and "/save FILE" in str(done.exception)


def test_the_end_of_input_and_quit_end_it(engine):
    for lines in ("", "/quit\nHello.\n"):
        assert chat(*engine, "--method", "fullkv", lines=lines).stdout == ""


@pytest.mark.parametrize(
    "options, words",
    [
        (["--cache", "q8_0"], "--cache is of llama.cpp: give --engine llamacpp"),
        (["--method", "nokv"], "unknown method 'nokv'"),
        (["--method", "gemfilter"], "take another method"),
        (["--budget", "none"], "budget"),
        (["-p", "window"], "give name=value"),
        (["-p", "windows=3"], "'windows'"),
        (["--resume", "nothing.chat"], "there is no saved chat"),
        (["--resume", "a.chat", "--budget", "5"], "leave out --budget"),
        (["--engine", "llamacpp", "--method", "snapkv"], "chooses by attention"),
        (["--engine", "llamacpp", "--budget", "0.5"], "give entries"),
        (["--engine", "llamacpp", "--cache", "q3"], "'f32', 'f16', 'q8_0', 'q4_0'"),
        (["--engine", "llamacpp", "--model", "none.gguf"], "there is no file"),
        (["--engine", "llamacpp", "--how", "move"], "how='move'"),
    ],
)
def test_bad_input_is_one_message(options, words):
    model = [] if "--model" in options or "llamacpp" in options else ["--model", "tiny-random"]
    done = chat(*model, *options)
    assert isinstance(done.exception, KvbookError) and words in str(done.exception)
