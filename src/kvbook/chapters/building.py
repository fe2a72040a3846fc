"""Build the book: Snakemake in a process group of its own, which never outlives us."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from kvbook.chapters.registry import CHAPTERS
from kvbook.errors import ExecutionError, ParameterError
from kvbook.places import clone
from kvbook.results import cpu_seconds, save

PROGRAM = """
import os, threading
from kvbook.chapters.building import end_with_children
threading.Thread(target=lambda: (os.read(0, 1), end_with_children(os.getpid())), daemon=True).start()
from snakemake.cli import main
main()
"""
"""Snakemake, which also ends when its standard input does, and all that it started with it."""

ENGLISH_PDF, CHINESE_PDF = "kvbook.pdf", "kvbook-zh.pdf"
"""The two editions on paper."""


def build_book(profile: str, cores: int, pdfs: Sequence[str] = ()) -> Path:
    """Execute what has changed, and build the book from it.

    Where all chapters were executed, how long it took is kept in ``book.json`` beside the pages.
    However this ends, no process is left behind, and the next call does again what was not
    finished: Snakemake marks what it has begun, and chapters are written whole or not at all.

    Parameters
    ----------
    profile : str
        The profile that sets the chapters' parameters.
    cores : int
        Cores that Snakemake may use at the same time.
    pdfs : sequence of str
        The files to print the book to as well, `ENGLISH_PDF` or `CHINESE_PDF`.

    Returns
    -------
    Path
        The folder with ``html/`` and the PDFs.

    Raises
    ------
    ParameterError
        There is no clone here, it cannot be written, or its book is being built already.
    ExecutionError
        The book was not built; Snakemake and the chapters have said why.
    """
    home = clone("kvbook book")
    folder = home / "book" / "_build"
    built = folder if profile == "laptop" else folder / profile
    with _alone(folder):
        started, used = time.time(), cpu_seconds()
        printed = [(built / name).relative_to(home).as_posix() for name in pdfs]
        _run_snakemake(home, profile, cores, ["all", *printed], built)
        if _executed_since(started, built) == set(CHAPTERS):
            taken = {"seconds": time.time() - started, "cpu_seconds": cpu_seconds() - used}
            save(
                "book",
                taken | {"pdf": bool(pdfs)},
                parameters={"profile": profile},
                directory=built,
            )
    return built


def _executed_since(started: float, built: Path) -> set[str]:
    """The chapters whose executed notebooks are younger."""
    notebooks = (built / "runs").glob("*.ipynb")
    return {path.stem for path in notebooks if path.stat().st_mtime >= started}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ParameterError(f"another kvbook book is at work on {folder}: let it end") from None
    except OSError as error:
        raise ParameterError(
            f"cannot write to {folder} ({error.strerror}): the book is built inside its clone"
        ) from None
    with lock:
        yield


def _run_snakemake(home: Path, profile: str, cores: int, targets: list[str], built: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, *targets, "--directory", str(home)]
    command += ["--snakefile", str(home / "notebooks" / "Snakefile")]
    command += ["--cores", str(cores), "--config", f"profile={profile}"]
    command += ["--rerun-incomplete", "--keep-going", "--quiet", "rules", "--nolock"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        failed = process.wait()
    finally:
        end_with_children(process.pid)  # after an interruption: jobs, too
        process.wait()
    if failed:
        raise ExecutionError(_what_failed(built, failed))


def end_with_children(leader: int) -> None:
    """Kill a process that leads a session, and all that it started; where it has ended, the rest."""
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        if os.name != "nt":
            return os.killpg(leader, signal.SIGKILL)
        process = psutil.Process(leader)  # Windows has no such groups
        for one in [*process.children(recursive=True), process]:
            one.kill()


def _what_failed(built: Path, code: int) -> str:
    """Which chapters are not there, and what the reader of an older book has to know."""
    missing = [name for name in CHAPTERS if not (built / "runs" / f"{name}.ipynb").is_file()]
    waiting = [name for name in missing if set(CHAPTERS[name].after) & set(missing)]
    words = ["the book was not built; the reasons are above"]
    if code < 0:
        words = [f"the book was not built: Snakemake was ended by signal {-code}"]
    for name in missing:
        partial = built / "runs" / f"{name}.partial.ipynb"
        if name not in waiting:
            words.append(f"  {name}: " + (str(partial) if partial.is_file() else "not executed"))
    if waiting:
        words.append(f"  and, as they read those: {', '.join(waiting)}")
    if (built / "html/zh/index.html").is_file():
        words.append(f"{built / 'html'} is still the book of an earlier run.")
    elif (built / "html/index.html").is_file():
        words.append(f"{built / 'html'} has the English edition, and no Chinese one.")
    return "\n".join(
        [*words, "All other chapters are kept, and the same command goes on from here."]
    )
