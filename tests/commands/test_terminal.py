"""Any terminal, a pipe that nobody reads, and Ctrl-C: one line at most, a true exit code, and what was
measured is there."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from kvbook.commands import cli, grid, terminal
from kvbook.commands.streams import make_steady
from kvbook.commands.terminal import interruptible
from kvbook.places import place

KVBOOK = [sys.executable, "-m", "kvbook.commands"]
QUICK = {
    "list": (["list"], 0),
    "help": (["evaluate", "-h"], 0),
    "parameters": (["run", "snapkv", "--help"], 0),
    "check": (["check", str(place("data") / "results")], None),  # 1, where a value is off
    "an error": (["run", "snapvk"], 2),
}
TINY = ["--model", "tiny-random"]
LONG = {  # and a file that it leaves
    "evaluate": ([*TINY, "--method", "fullkv", "--task", "trec", "--limit", "1", "--output", "e"], "e/summary.json"),
    "profile": ([*TINY, "--method", "fullkv", "--contexts", "64", "--repeats", "1", "--no-memory", "--output", "p.json"], "p.json"),
    "finetune": ([*TINY, "--items", "2", "--output", "f", "-p", "max_steps=1", "--data", "train.jsonl", "--test", "test.jsonl"], "f/finetune.json"),
}  # fmt: skip


DOCTOR = pytest.param(["doctor"], None, "ascii", id="doctor")


def narrow(encoding="utf-8"):
    return os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "40"}


def unread(command, **more):
    """Run it with its output into a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(command, stdout=writing, **more)
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    "arguments, code, encoding",
    [(*of, encoding) for of in QUICK.values() for encoding in ("latin-1", "ascii")] + [DOCTOR],
)
def test_a_narrow_terminal_without_unicode_shows_what_it_can(arguments, code, encoding):
    asked = subprocess.run([*KVBOOK, *arguments], capture_output=True, env=narrow(encoding))
    words = (asked.stdout + asked.stderr).decode(encoding)
    assert "Traceback" not in words and "Error" not in words and len(words) > 80
    assert asked.returncode == code or (code is None and asked.returncode in (0, 1))


@pytest.mark.parametrize("arguments, code", QUICK.values(), ids=QUICK)
def test_a_pipe_that_nobody_reads_changes_neither_words_nor_code(arguments, code):
    asked = subprocess.run([*KVBOOK, *arguments], capture_output=True)
    alone = unread([*KVBOOK, *arguments], stderr=subprocess.PIPE)
    assert (alone.returncode, alone.stderr) == (asked.returncode, asked.stderr)


@pytest.mark.parametrize("command", LONG)
def test_what_was_measured_is_kept_where_nobody_reads_what_is_printed(command, tmp_path):
    row = '{"instruction": "%s", "output": "Rest."}\n'
    for part, asked in (("train", ("a cough", "back pain")), ("test", ("headache", "a cold"))):
        (tmp_path / f"{part}.jsonl").write_text("".join(row % one for one in asked))
    arguments, left = LONG[command]
    ended = unread(
        [*KVBOOK, command, *arguments], cwd=tmp_path, env=narrow("ascii"), stderr=subprocess.STDOUT
    )
    assert ended.returncode == 0 and json.loads((tmp_path / left).read_text())


def test_evaluate_shows_its_table_in_latin_1(tmp_path):
    arguments, left = LONG["evaluate"]
    command = [*KVBOOK, "evaluate", *arguments]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=narrow("latin-1"))
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert "(0-9" in done.stdout.decode("latin-1")  # an interval, with an ASCII dash


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full")
def test_output_that_cannot_be_written_is_one_message():
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([*KVBOOK, "list"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "error: the output cannot be written: No space left on device\n"


def test_output_may_be_closed():
    ended = subprocess.run(f"{' '.join(KVBOOK)} list >&- 2>&-", shell=True)
    assert ended.returncode == 0


def test_a_letter_that_a_terminal_has_not_is_shown_by_its_number(tmp_path, monkeypatch):
    with (tmp_path / "out").open("w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(sys, "stderr", file)
        make_steady()
        print("1–2 中 \udcff", flush=True)
    assert (tmp_path / "out").read_text() == "1-2 \\u4e2d \\udcff\n"


# ---- Ctrl-C -------------------------------------------------------------------------------------


def press():
    signal.raise_signal(signal.SIGINT)


def test_an_interruption_is_one_line_and_the_shells_code(capsys):
    with pytest.raises(SystemExit) as ended, interruptible("the rest"), interruptible("all of it"):
        press()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted: all of it\n"


def test_without_alarms_as_on_windows_ctrl_c_is_answered(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "ALARM", None)
    monkeypatch.delattr(signal, "setitimer")
    with pytest.raises(SystemExit) as ended, interruptible("all of it"):
        signal.raise_signal(signal.SIGINT)
    assert ended.value.code == 130 and "all of it" in capsys.readouterr().err


def test_an_interruption_that_a_library_turns_into_an_error_is_one(capsys):
    with pytest.raises(SystemExit) as ended, interruptible("all of it"):
        try:
            press()
        except KeyboardInterrupt:
            raise ImportError("numpy failed to import") from None
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted: all of it\n"


def test_an_interruption_that_a_library_loses_comes_again(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "PATIENCE", 0.05)
    with pytest.raises(SystemExit) as ended, interruptible("all of it"):
        with suppress(KeyboardInterrupt):
            press()
        time.sleep(60)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted: all of it\n"


def test_tidying_up_is_not_interrupted(monkeypatch):
    monkeypatch.setattr(terminal, "PATIENCE", 0.02)
    tidy = []
    with pytest.raises(SystemExit), interruptible("all of it"):
        try:
            press()
        finally:
            time.sleep(0.1)
            tidy.append(True)
    assert tidy


def test_an_error_without_an_interruption_stays_one():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ImportError), interruptible("all of it"):
        raise ImportError
    assert signal.getsignal(signal.SIGINT) is before


PRESS_AT = """
import signal, sys
class Finder:
    def find_spec(self, name, *more):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["kvbook", *{arguments!r}]
from kvbook.commands.__main__ import main
main()
"""


@pytest.mark.parametrize(
    "command, module, says",
    [
        ("list", "typer", "nothing had begun"),
        ("list", "kvbook.chapters.registry", "what was written before is kept"),
        ("evaluate", "torch", "items measured so far are kept; the same command goes on"),
        ("finetune", "torch", "training is kept up to its last checkpoint; the same command"),
        ("profile", "torch", "nothing is kept"),
        ("bench", "torch", "nothing is kept"),
        ("run", "nbformat", "what was executed so far is kept"),
        ("book", "kvbook.chapters.building", "chapters executed so far are kept"),
    ],
)
def test_an_interruption_of_the_imports_is_one_line(command, module, says, tmp_path):
    arguments = [command, "introduction"] if command == "run" else [command]
    code = PRESS_AT.format(module=module, arguments=arguments)
    ended = subprocess.run(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert ended.returncode == 130
    assert ended.stderr.startswith(f"interrupted: {says}") and ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cells", [0, 1])
def test_an_interrupted_evaluation_keeps_its_cells_and_goes_on(cells, tmp_path, monkeypatch, capfd):
    arguments = ["evaluate", *LONG["evaluate"][0], "--task", "lcc"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kvbook", *arguments])
    begun, measure = [], grid.evaluate_all

    def interrupted(*args, **options):
        begun.append(args)
        if len(begun) > cells:
            press()
        return measure(*args, **options)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(grid, "evaluate_all", interrupted)
        cli.main()
    assert ended.value.code == 130 and "the same command goes on" in capfd.readouterr().err
    assert len([*(tmp_path / "e").glob("**/*.jsonl")]) == cells
    assert not (tmp_path / "e" / "summary.json").exists()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert len(json.loads((tmp_path / "e/summary.json").read_text())["data"]["cells"]) == 2
