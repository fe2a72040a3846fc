"""Building, with a small Snakefile of its own: nothing outlives it, and its end is told."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from filelock import FileLock

from kvbook import results
from kvbook.chapters import building
from kvbook.errors import ExecutionError, ParameterError

SLOW = """
rule all:
    output: "book/_build/done"
    run:
        import os, time
        Path("pid").write_text(str(os.getpid()))
        time.sleep(600)
"""
WRONG = """
rule all:
    output: "book/_build/done"
    run: raise WorkflowError("on purpose")
"""
CHAPTERS_MADE = """
from kvbook.chapters.registry import CHAPTERS
rule all:
    output: "book/_build/done"
    run:
        for name in list(CHAPTERS)[SKIP:]:
            Path(f"book/_build/runs/{name}.ipynb").touch()
        sum(range(30_000_000))
        Path("book/_build/done").touch()
"""
COMMAND = """
import pathlib, sys
from kvbook.chapters import building
from kvbook.commands import cli
building.clone = lambda what: pathlib.Path.cwd()
sys.argv = ["kvbook", "book"]
cli.main()
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    for folder in ("notebooks", "book/_build/runs"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(building, "clone", lambda what: tmp_path)
    return tmp_path


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def has_ended(job):
    """Also where nobody buries the dead, as in a container."""
    try:
        return psutil.Process(job).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_no_job_outlives_the_command(home, ending):
    (home / "notebooks" / "Snakefile").write_text(SLOW)
    command = subprocess.Popen([sys.executable, "-c", COMMAND], cwd=home, stdin=subprocess.DEVNULL)
    try:
        job = int(wait_for(lambda: (home / "pid").is_file() and (home / "pid").read_text()))
        command.send_signal(ending)
        command.wait(timeout=60)
        wait_for(lambda: has_ended(job), seconds=30)
    finally:
        command.kill()


def test_a_second_build_is_refused(home):
    with FileLock(home / "book" / "_build" / ".lock"):
        with pytest.raises(ParameterError, match="another kvbook book is at work"):
            building.build_book("laptop", 1)


def test_how_long_a_whole_book_took_is_kept(home):
    (home / "notebooks" / "Snakefile").write_text(CHAPTERS_MADE.replace("SKIP", "0"))
    built = building.build_book("laptop", 1)
    book = results.load("book", built)
    assert 0 < book.data["seconds"] < 600 and 0.2 < book.data["cpu_seconds"] < 600
    assert book.data["pdf"] is False and book.provenance.parameters == {"profile": "laptop"}


def test_of_a_part_of_the_book_no_time_is_kept(home):
    (home / "notebooks" / "Snakefile").write_text(CHAPTERS_MADE.replace("SKIP", "1"))
    first = home / "book" / "_build" / "runs" / f"{next(iter(building.CHAPTERS))}.ipynb"
    first.touch()
    os.utime(first, (1, 1))  # of a day before
    built = building.build_book("laptop", 1)
    assert results.find("book", built) is None


def test_a_failed_build_says_what_is_missing_and_that_the_old_book_is_old(home):
    (home / "notebooks" / "Snakefile").write_text(WRONG)
    for name in building.CHAPTERS:
        (home / "book" / "_build" / "runs" / f"{name}.ipynb").touch()
    missing = home / "book" / "_build" / "runs" / "lora.ipynb"
    missing.rename(partial := missing.with_suffix(".partial.ipynb"))
    html = home / "book" / "_build" / "html"
    (html / "zh").mkdir(parents=True)
    for page in (html / "index.html", html / "zh" / "index.html"):
        page.touch()
    with pytest.raises(ExecutionError) as caught:
        building.build_book("laptop", 1)
    assert f"lora: {partial}" in str(caught.value) and "snapkv" not in str(caught.value)
    assert "is still the book of an earlier run" in str(caught.value)


def test_without_process_groups_as_on_windows_what_a_process_started_ends_with_it(monkeypatch):
    code = (
        "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); input()"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child = psutil.Process(int(started.stdout.readline()))
    monkeypatch.setattr(building.os, "name", "nt")
    building.end_with_children(started.pid)
    monkeypatch.undo()
    started.communicate()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
