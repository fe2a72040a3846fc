"""The command line as a user meets it: in a process of its own, and never a traceback."""

import subprocess
import sys

import pytest


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
    ],
)
def test_bad_input_is_one_message(arguments, says):
    asked = kvbook(*arguments)
    assert asked.returncode == 2
    assert says in asked.stderr and "Traceback" not in asked.stderr


def test_doctor_answers_every_question():
    asked = kvbook("doctor", env={"COLUMNS": "200", "PATH": ""})
    for what in ("Python", "packages", "embedded model", "processor", "disk", "Chinese font"):
        assert what in asked.stdout


@pytest.mark.parametrize("command", ["list", "run", "book", "doctor"])
def test_help(command):
    assert kvbook(command, "-h").returncode == 0
