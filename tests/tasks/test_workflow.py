"""The grid as a Snakemake workflow: killed in the middle and run again, it leaves the same files."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from kvbook.commands.grid import evaluate_grid, make_grid
from kvbook.places import place

METHODS, TASK, COUNT = ("fullkv", "snapkv"), "lcc", 16
SNAKEFILE = place("notebooks") / "grid" / "Snakefile"


@pytest.fixture(autouse=True)
def one_thread():
    """Two would only wait for each other on so small a model."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(tmp_path):
    """Items whose prompts are short, in LongBench's format."""
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [
        {"_id": f"a{i}", "input": "", "context": f"x = {i}\n", "answers": ["x"]}
        for i in range(COUNT)
    ]
    (folder / f"{TASK}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def snakemake(folder, *settings, **more):
    """The documented command, in a folder and a process group of its own."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--cores", "2"]
    return subprocess.Popen(
        [*command, "--directory", str(folder), "--config", *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **more,
    )


def counts(folder):
    """Items that are measured, of every file."""
    return [path.read_bytes().count(b"\n") - 1 for path in folder.rglob("evaluations/**/*.jsonl")]


def wait_until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def test_killed_in_the_middle_and_run_again_the_items_are_those_of_an_uninterrupted_run(
    data, tmp_path
):
    settings = ["models=tiny-random", "methods=[fullkv,snapkv]", f"tasks={TASK}", f"data={data}"]
    settings += ["dtype=float32", "output=grid"]
    running = snakemake(tmp_path, *settings)
    wait_until(lambda: max(counts(tmp_path), default=0) > 0)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    partial = counts(tmp_path)
    assert 0 < sum(partial) < len(METHODS) * COUNT

    again = snakemake(tmp_path, *settings)
    evaluate_grid(  # meanwhile, without a workflow and without an interruption
        make_grid(METHODS, [TASK]),
        model="tiny-random",
        dtype="float32",
        data=data,
        folder=tmp_path / "whole",
    )
    said = again.communicate()[0]
    assert again.returncode == 0, said
    assert "fullkv" in said and "budget=0.1" in said  # the table

    items = tmp_path / "grid" / "evaluations"
    files = sorted(path.relative_to(items) for path in items.rglob("*.jsonl"))
    assert len(files) == len(METHODS)
    for file in files:
        assert (items / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    times = [path.read_text().count("\n") for path in items.rglob("*.seconds")]
    assert sum(times) <= len(METHODS) * (COUNT + 1)  # what was measured was not measured again

    saved = json.loads((tmp_path / "grid" / "grid.json").read_text())
    assert [cell["label"] for cell in saved["data"]["cells"]] == ["fullkv", "snapkv budget=0.1"]
    assert all(cell["items"] == COUNT for cell in saved["data"]["cells"])
    assert saved["provenance"]["model"] == "tiny-random"
    assert saved["provenance"]["parameters"]["budgets"] == [0.1]


def test_wrong_settings_are_refused_before_any_job(tmp_path):
    wrong = {
        "methods=snapvk": "unknown method 'snapvk'",
        "budget=0.2": "no setting 'budget'; settings are: models, ",
    }
    both = [snakemake(tmp_path, setting) for setting in wrong]
    for running, says in zip(both, wrong.values(), strict=True):
        said = running.communicate()[0]
        assert running.returncode == 1 and says in said and "Traceback" not in said
    assert not (tmp_path / "kvbook-runs").exists()
