"""Results files: whole or not at all, and never without their origin."""

import errno
import json
import os
import subprocess
import sys
import time
from datetime import datetime

import numpy as np
import psutil
import pytest
import torch

from kvbook import results
from kvbook.errors import ResultError
from kvbook.lm.number_format import NumberFormat


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_RESULTS", str(tmp_path))
    monkeypatch.delenv("KVBOOK_RUN", raising=False)
    return tmp_path


def test_what_is_saved_is_loaded():
    results.save("x", {"a": 1, "b": [True, None, "é"]})
    assert results.load("x").data == {"a": 1, "b": [True, None, "é"]}


def test_tensors_and_numpy_numbers_become_plain():
    results.save("x", {"t": torch.tensor([1, 2]), "n": np.float64(0.5)})
    assert results.load("x").data == {"t": [1, 2], "n": 0.5}


def test_provenance_names_the_run(monkeypatch):
    run = {
        "chapter": "snapkv",
        "profile": "smoke",
        "parameters": {"seed": 3, "model": "m"},
        "started": "2026-01-02T03:04:05+00:00",
    }
    monkeypatch.setenv("KVBOOK_RUN", json.dumps(run))
    results.save("x", {})
    p = results.load("x").provenance
    assert (p.chapter, p.profile, p.seed, p.model, p.started) == (
        "snapkv",
        "smoke",
        3,
        "m",
        run["started"],
    )
    assert p.versions["torch"] and p.machine["cores"] == os.cpu_count()


def test_outside_of_a_chapter_the_provenance_has_what_was_asked_for():
    results.save("x", {}, parameters={"model": "m", "seed": 5, "limit": None})
    p = results.load("x").provenance
    assert (p.chapter, p.model, p.seed, p.parameters["limit"]) == ("interactive", "m", 5, None)


def test_the_provenance_has_the_number_format_where_it_was_measured(monkeypatch):
    found = NumberFormat(dtype="float32", float32=0.03, bfloat16=0.05, threads=2)
    for expected in (None, found):
        monkeypatch.setattr(results, "remembered", lambda expected=expected: expected)
        results.save("x", {})
        assert results.load("x").provenance.number_format == expected


def test_an_interactive_session_began_with_its_process():
    results.save("x", {})
    p = results.load("x").provenance
    began = datetime.fromisoformat(p.started).timestamp()
    assert abs(began - psutil.Process().create_time()) <= 1.01
    assert p.seconds == pytest.approx(time.time() - began, abs=5)


def test_cpu_time_is_of_the_process_and_of_those_that_ended(monkeypatch):
    before = results.cpu_seconds()
    subprocess.run([sys.executable, "-c", "sum(range(20_000_000))"], check=True)
    used = results.cpu_seconds() - before
    assert 0.05 < used < 30
    results.save("x", {})
    assert results.load("x").provenance.cpu_seconds == pytest.approx(results.cpu_seconds(), abs=5)


def test_older_files_have_no_cpu_time(folder):
    path = results.save("x", {})
    old = json.loads(path.read_text())
    del old["provenance"]["cpu_seconds"]
    path.write_text(json.dumps(old))
    assert results.load("x").provenance.cpu_seconds is None


@pytest.mark.parametrize(
    "asked, threads", [("3", 3), ("2,1", 2), ("", os.cpu_count()), ("all", os.cpu_count())]
)
def test_threads_are_those_of_the_outermost_level(monkeypatch, asked, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert results.machine()["threads"] == threads


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_hold_is_refused(value, folder):
    with pytest.raises(ResultError, match="cannot be saved"):
        results.save("x", {"a": value})
    assert list(folder.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(monkeypatch, folder):
    results.save("x", {"a": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultError, match="No space left"):
        results.save("x", {"a": 2})
    assert results.load("x").data == {"a": 1}
    assert [path.name for path in folder.iterdir()] == ["x.json"]


def test_a_missing_file_says_how_to_make_it():
    with pytest.raises(ResultError, match="kvbook run snapkv"):
        results.load("snapkv")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace('"schema_version": 1', '"schema_version": 2'),
    ],
)
def test_a_damaged_file_is_refused(folder, damage):
    path = results.save("x", {"a": 1})
    path.write_text(damage(path.read_text()))
    with pytest.raises(ResultError, match="damaged or of another schema"):
        results.load("x")


def test_what_may_be_missing_is_found_or_not():
    assert results.find("x") is None
    results.save("x", {"a": 1})
    assert results.find("x").data == {"a": 1}


def test_the_commit_is_the_repositorys_and_says_whether_all_is_in_it(tmp_path, monkeypatch):
    def git(*words):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "x")
    monkeypatch.setattr(results, "REPOSITORY", tmp_path.resolve())
    assert results._commit() == (git("rev-parse", "HEAD"), False)
    (tmp_path / "new").touch()
    assert results._commit() == (git("rev-parse", "HEAD"), True)


def test_others_may_read_a_results_file():
    assert results.save("x", {}).stat().st_mode & 0o777 == 0o644


def test_kept_runs_are_found_by_the_beginning_of_their_names(tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_DATA", str(tmp_path))
    for name in ("snapkv", "profiling-bench", "profiling"):
        results.save(name, {}, directory=results.kept_dir())
    found = [one.name for one in results.find_kept("profiling")]
    assert found == ["profiling-bench", "profiling"]
    assert len(results.find_kept()) == 3


def test_the_report_has_three_parts_and_its_source():
    assert {"tasks", "system", "finetuning", "source"} <= set(results.load_report())
