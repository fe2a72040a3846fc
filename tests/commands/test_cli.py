"""The command line as a user meets it: in a process of its own, and never a traceback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from kvbook.commands import cli, doctor


def kvbook(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "kvbook.commands.cli", *arguments],
        capture_output=True,
        text=True,
        **more,
    )


def test_list_names_the_chapters():
    asked = kvbook("list")
    assert asked.returncode == 0 and "snapkv" in asked.stdout


def test_run_shows_the_parameters_of_a_chapter():
    asked = kvbook(
        "run", "snapkv", "--profile", "smoke", "--help", env=os.environ | {"COLUMNS": "120"}
    )
    assert re.search(r"window +int from 1 +8 +the last queries, which vote", asked.stdout)
    assert re.search(r"needles +int from 2 +2 +prompts with a needle", asked.stdout)  # smoke's


def test_the_commands_are_known_without_what_takes_long_to_import():
    code = (
        "import sys, kvbook.commands.cli; sys.exit(bool({'torch', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_help_for_run_names_the_chapters():
    assert re.search(r"snapkv +SnapKV: the question votes", kvbook("run", "--help").stdout)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["run"], "which chapter? They are: introduction, "),
        (["run", "snapvk"], "Did you mean 'snapkv'"),
        (["run", "snapvk", "--help"], "Did you mean 'snapkv'"),
        (["run", "snapkv", "-p", "windw=3"], "Did you mean 'window'"),
        (["run", "snapkv", "-p", "window=three"], "window = 'three'"),
        (["run", "snapkv", "-p", "window"], "name=value"),
        (["run", "snapkv", "--profile", "desktop"], "smoke, laptop, gpu"),
        (["book", "--profile", "desktop"], "smoke, laptop, gpu"),
        (["evaluate", "--task", "squad"], "unknown task 'squad'; tasks are: narrativeqa, "),
        (["check", "nowhere"], "there is no folder nowhere"),
        (["run", "snapkv", "-p", b"prompt=abc\xff"], "this is not UTF-8"),
        (["run", "snapkv", "-p", "model=./nowhere"], "model: there is no folder"),
        (["run", "profiling", "-p", "contexts=[2048,1024]"], "the smallest first"),
        (["run", "introduction", "-p", "contexts=[]"], "at least 1"),
        (["profile", "--method", ","], "nothing to do"),
        (["profile", "--context", "²"], "give numbers of tokens"),
        (["profile", "--budget", "[" * 5000], "budget="),
        (["evaluate", "--budget", "Infinity"], "budget=inf"),
        (["compare"], "give one prompt"),
        (["compare", "a", "--budget", "0"], "budget=0"),
    ],
)
def test_bad_input_is_one_message(arguments, says):
    asked = kvbook(*arguments)
    assert asked.returncode == 2
    assert says in asked.stderr and "Traceback" not in asked.stderr


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    """A command in this process, which has loaded what takes long: exit code and words."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kvbook", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, "".join(capsys.readouterr())

    return run


@pytest.fixture
def evaluate(here):
    return partial(here, "evaluate")


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


# ---- finetune -----------------------------------------------------------------------------------

TINY = ["--model", "tiny-random", "--items", "2", "--output", "run"]
ROW = '{"instruction": "%s", "output": "Rest."}\n'


@pytest.fixture
def finetune(here, tmp_path):
    """`kvbook finetune`, and beside it two files that can be used and one that cannot."""
    questions = ("a cough", "back pain", "a sore throat", "no sleep")
    (tmp_path / "train.jsonl").write_text("".join(ROW % one for one in questions))
    (tmp_path / "test.jsonl").write_text("".join(ROW % one for one in ("headache", "a cold")))
    (tmp_path / "other.jsonl").write_text('{"question": "a cough"}\n')
    return partial(here, "finetune", *TINY)


FILES = ["--data", "train.jsonl", "--test", "test.jsonl"]


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--data", "nowhere.jsonl", "--test", "test.jsonl"], "there is no file nowhere.jsonl"),
        (["--data", "train.jsonl"], "give --data and --test"),
        (["--data", "other.jsonl", "--test", "test.jsonl"], "line 1: no instruction, conver"),
        (["-p", "lora_rnk=8"], "Did you mean 'lora_rank'"),
        (["-p", "max_steps=many"], "max_steps='many': "),
        (["-p", "max_steps"], "give key=value"),
        (["--config", "train.jsonl"], "train.jsonl is not YAML"),
        (["--backend", "tlr"], "unknown backend 'tlr'"),
        (["--gguf", "q4"], "dtype='q4'"),
        (["--items", "0"], "--items"),
        (["--output", "."], "holds no training of kvbook"),
    ],
)
def test_bad_input_to_finetune_is_one_message(arguments, says, finetune):
    code, words = finetune(*arguments)
    assert code == 2 and says in words


def test_finetune_leaves_a_model_and_says_what_it_gained(finetune, tmp_path):
    code, words = finetune(*FILES, "-p", "max_steps=1", "--gguf", "f16")
    assert code == 0
    assert "LoRA trains 126,976 of 751,232" in words and "NLL of the" in words
    for path in ("merged/config.json", "model.gguf", "adapter_model.safetensors"):
        assert (tmp_path / "run" / path).is_file() and str(tmp_path / "run") in words
    data = json.loads((tmp_path / "run/finetune.json").read_text())["data"]
    assert data["training"]["steps"] == 1 and len(data["items"]) == 2


def test_an_interrupted_finetune_says_so_and_goes_on(finetune, tmp_path):
    more = [*FILES, "-p", "max_steps=30", "-p", "save_steps=2", "-p", "eval_steps=30"]
    command = [sys.executable, "-m", "kvbook.commands.cli", "finetune", *TINY, *more]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "run/checkpoint-4").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    words = process.communicate()[1]
    assert process.returncode == 130 and "Traceback" not in words
    assert "the same command goes on" in words
    code, words = finetune(*more)
    data = json.loads((tmp_path / "run/finetune.json").read_text())["data"]
    assert code == 0 and data["training"]["resumed_from"] >= 2


def test_an_interrupted_profile_says_that_nothing_is_kept(tmp_path):
    long = ["--model", "tiny-random", "--contexts", "64", "--repeats", "100000", "--no-memory"]
    command = [sys.executable, "-m", "kvbook.commands.cli", "profile", *long]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tmp_path)
    process.stderr.read(1)  # its line of progress: it measures
    process.send_signal(signal.SIGINT)
    words = process.communicate()[1].decode()
    assert process.returncode == 130 and "Traceback" not in words
    assert "interrupted: nothing is kept" in words


def test_bench_says_at_once_that_its_numbers_cannot_be_kept(tmp_path):
    (tmp_path / "file").touch()
    asked = kvbook("bench", "--output", tmp_path / "file")
    assert (asked.returncode, "Traceback" in asked.stderr) == (2, False)
    assert "cannot write to" in asked.stderr


def test_a_path_is_printed_as_it_is(tmp_path):
    """Brackets in it mean nothing to the terminal's colours."""
    folder = tmp_path / "my [bold]runs[/bold] :smile:"
    done = kvbook("run", "introduction", "--profile", "smoke", "--output", str(folder), "--no-page")
    assert f"{folder}/introduction.ipynb" in done.stdout, done.stderr


def test_doctor_answers_every_question():
    asked = kvbook("doctor", env={"COLUMNS": "200", "PATH": ""})
    asks = "Python, packages, embedded model, embedded encoder, number format, disk, Chinese font"
    for what in (*asks.split(", "), "browser", "(threads:"):
        assert what in asked.stdout


def test_the_doctor_looks_for_what_this_system_needs_of_the_lock(tmp_path, monkeypatch):
    lock = f"# a lock\nhere==1\nthere==2 ; sys_platform == '{sys.platform}'\n"
    (tmp_path / "requirements.lock").write_text(lock + "elsewhere==3 ; sys_platform == 'none'\n")
    monkeypatch.setattr(doctor, "REPOSITORY", tmp_path)
    assert doctor.locked() == {"here": "1", "there": "2"}


@pytest.mark.parametrize(
    "command", ["list", "run", "compare", "evaluate", "finetune", "book", "doctor"]
)
def test_help(command):
    assert kvbook(command, "-h").returncode == 0


def test_the_table_of_a_profile_fits_a_terminal(tmp_path):
    done = kvbook(
        "profile", "--model", "tiny-random", "--method", "pyramidinfer", "--context", "64", "--no-memory",
        "--new-tokens", "2", "--output", "profile.json",
        cwd=tmp_path, env=os.environ | {"COLUMNS": "80"},
    )  # fmt: skip
    row = next(line for line in done.stdout.splitlines() if "pyramidinfer " in line)
    assert len(row.split()) == 10, done.stdout  # nothing is broken within a word or a number
