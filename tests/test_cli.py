"""The command line as a user meets it: in a process of its own, and never a traceback."""

import json
import subprocess
import sys

import pytest

from kvbook import cli


def kvbook(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "kvbook.cli", *arguments], capture_output=True, text=True, **more
    )


def test_list_names_the_chapters():
    asked = kvbook("list")
    assert asked.returncode == 0 and "snapkv" in asked.stdout


def test_run_shows_the_parameters_of_a_chapter():
    asked = kvbook("run", "snapkv", "--parameters")
    assert "window: int = 8" in asked.stdout


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["run", "snapvk"], "Did you mean 'snapkv'"),
        (["run", "snapkv", "-p", "windw=3"], "Did you mean 'window'"),
        (["run", "snapkv", "-p", "window=three"], "window = 'three'"),
        (["run", "snapkv", "-p", "window"], "name=value"),
        (["run", "snapkv", "--profile", "desktop"], "smoke, laptop, gpu"),
        (["book", "--profile", "desktop"], "smoke, laptop, gpu"),
        (["evaluate", "--task", "squad"], "unknown task 'squad'; tasks are: narrativeqa, "),
    ],
)
def test_bad_input_is_one_message(arguments, says):
    asked = kvbook(*arguments)
    assert asked.returncode == 2
    assert says in asked.stderr and "Traceback" not in asked.stderr


@pytest.fixture
def evaluate(monkeypatch, capsys, tmp_path):
    """`kvbook evaluate` in this process, which has loaded what takes long: exit code and words."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kvbook", "evaluate", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, "".join(capsys.readouterr())

    return run


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--method", "snapvk"], "unknown method 'snapvk'"),
        (["-p", "windw=3"], "has a parameter 'windw'"),
        (["-p", "window"], "name=value"),
        (["-p", "budget=3"], "give --budget instead"),
        (["--budget", "1.5"], "budget=1.5"),
        (["--limit", "0"], "--limit"),
        (["--summary", "scores.csv"], "does not end with .json"),
    ],
)
def test_bad_input_to_evaluate_is_one_message(arguments, says, evaluate):
    code, words = evaluate(*arguments)
    assert code == 2 and says in words


def test_data_that_are_not_there_are_one_message(evaluate):
    code, words = evaluate("--task", "trec", "--data", "nowhere")
    assert code == 1 and "no trec.jsonl in nowhere" in words


def test_data_that_are_damaged_are_one_message(evaluate, tmp_path):
    (tmp_path / "trec.jsonl").write_text('{"_id": "a", "inp\n')
    code, words = evaluate("--task", "trec", "--data", ".")
    assert code == 1 and "line 1 is not an item of LongBench" in words


def test_evaluate_leaves_its_summary_where_it_is_told(evaluate, tmp_path):
    more = ["--method", "fullkv", "--task", "lcc", "--limit", "1", "--max-length", "40"]
    more += ["--model", "tiny-random", "--output", "items", "--summary", "scores/mine.json"]
    code, words = evaluate(*more)
    [cell] = json.loads((tmp_path / "scores" / "mine.json").read_text())["data"]["cells"]
    assert code == 0 and "fullkv" in words
    assert (tmp_path / "items" / cell["file"]).is_file()
    assert not (tmp_path / "items" / "summary.json").exists()


def test_doctor_answers_every_question():
    asked = kvbook("doctor", env={"COLUMNS": "200", "PATH": ""})
    for what in ("Python", "packages", "embedded model", "processor", "disk", "Chinese font"):
        assert what in asked.stdout


@pytest.mark.parametrize("command", ["list", "run", "evaluate", "book", "doctor"])
def test_help(command):
    assert kvbook(command, "-h").returncode == 0
