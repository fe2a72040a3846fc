"""`kvbook laws`: a file of a student, good or bad."""

import os
import subprocess
import sys

import pytest

from kvbook.commands import cli

GOOD = '''
from pydantic.dataclasses import dataclass

from kvbook.fields import Budget
from kvbook.methods import Method
from kvbook.methods.base import STRICT, last_indices, resolve_budget


@dataclass(frozen=True, config=STRICT)
class Mine(Method):
    """Keeps the last entries."""

    budget: Budget

    name = "mine"

    def keep(self, seen):
        budget = resolve_budget(self.budget, seen.prompt_length)
        if budget >= min(seen.entries, seen.input_length):
            return None
        return last_indices(seen.entries, budget, 1, seen.keys.device)

    evict = keep


class Late(Mine):
    name = "late"
    evict = None

    def keep(self, seen):
        raise RuntimeError("not yet")


class Other:
    pass


size = 3
'''


@pytest.fixture
def laws(monkeypatch, capsys, tmp_path):
    """The command in this process: exit code and words."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(GOOD)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kvbook", "laws", *arguments])
        monkeypatch.setattr(sys, "path", list(sys.path))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, "".join(capsys.readouterr())

    return run


def test_a_good_method_passes(laws):
    code, words = laws("mine.py:Mine")
    assert code == 0 and words.count("pass  ") == 9


def test_a_method_that_breaks_a_law_ends_with_1(laws):
    code, words = laws("mine.py:Late", "--budget", "4")
    assert code == 1 and "Traceback" not in words
    assert "expected no error, found RuntimeError: not yet (`keep`, line 31)" in words


def test_against_a_naive_rule(laws):
    code, words = laws("mine.py:Mine", "--against", "streamingllm")
    assert code == 1
    assert "budget 1, layer 0, head 0" in words or "expected kept, as by the naive rule" in words


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["mine.py"], "mine.py: give FILE.py:CLASS"),
        (["mine.py:"], "mine.py:: give FILE.py:CLASS"),
        (["nowhere.py:Mine"], "there is no file nowhere.py"),
        (["mine.py:Min"], "mine.py has no class Min; its methods are: Mine, Late"),
        (["mine.py:Other"], "Other in mine.py is no method: begin it with `class Other(Method):`"),
        (["mine.py:size"], "size in mine.py is no method"),
        (["mine.py:Mine", "--budget", "0"], "budget=0: give entries, such as 12, or a fraction"),
        (["mine.py:Mine", "--budget", "few"], "--budget few: give entries"),
        (["mine.py:Mine", "--budget", "nan"], "budget=nan: give entries"),
        (["mine.py:Mine", "--against", "snapvk"], "no naive rule for 'snapvk'; there is one for"),
        (["empty.txt:Mine"], "empty.txt is no file of Python"),
    ],
)
def test_bad_input_is_one_message(arguments, says, laws, tmp_path):
    (tmp_path / "empty.txt").touch()
    code, words = laws(*arguments)
    assert code == 2 and says in words and "Traceback" not in words


@pytest.mark.parametrize(
    "source, says",
    [
        (
            "x = 1\nimport nothing_there\n",
            ", line 2: ModuleNotFoundError: No module named 'nothing",
        ),
        ("x = 1\n\ndef f(:\n", ", line 3: SyntaxError: invalid syntax"),
        ("raise SystemExit('bye')\n", ", line 1: SystemExit: bye"),
        ("\x00", "null bytes"),
        ("assert False\n", ", line 1: AssertionError"),
    ],
)
def test_a_file_that_fails_says_its_last_line(source, says, laws, tmp_path):
    (tmp_path / "bad.py").write_text(source)
    code, words = laws("bad.py:Mine")
    assert code == 2 and "bad.py fails when it is imported" in words and says in words


def test_a_file_may_import_its_neighbour_and_have_any_name(laws, tmp_path):
    (tmp_path / "torch copy.py").write_text(
        "from mine import Mine\n\nclass Copy(Mine):\n    pass\n"
    )
    code, words = laws("torch copy.py:Copy")
    assert code == 0, words


def test_help_says_that_the_file_is_executed():
    asked = subprocess.run(
        [sys.executable, "-m", "kvbook.commands.cli", "laws", "--help"],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert asked.returncode == 0 and "executed" in asked.stdout and "FILE.py:CLASS" in asked.stdout
