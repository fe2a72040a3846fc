"""How threads wait: what the book sets, and what it leaves to the shell."""

import subprocess
import sys

import pytest

from kvbook.threads import WAITING, waiting


def test_where_the_shell_says_nothing_all_is_set(monkeypatch):
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    assert waiting() == WAITING


@pytest.mark.parametrize("name", WAITING)
def test_what_the_shell_says_of_either_stays(monkeypatch, name):
    for one in WAITING:
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(name, "active")
    assert waiting() == {}


def test_the_openmp_of_torch_takes_the_count():
    environment = {"OMP_DISPLAY_ENV": "verbose", "PATH": ""} | WAITING
    said = subprocess.run(
        [sys.executable, "-c", "import torch"], env=environment, capture_output=True, text=True
    ).stderr
    if "GOMP_SPINCOUNT" not in said:
        pytest.skip("this torch comes with another OpenMP than GNU's")
    assert f"GOMP_SPINCOUNT = '{WAITING['GOMP_SPINCOUNT']}'" in said
