"""`kvbook gpu-report`, tried on the CPU: compared first, kept after every run, and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import count

import pytest
import torch
from tables import cells
from typer.testing import CliRunner

from kvbook import results, show
from kvbook.commands import cli, gpu_grid
from kvbook.errors import ExecutionError
from kvbook.methods import StreamingLLM
from kvbook.places import place
from kvbook.profiling import hardware, memory
from kvbook.profiling.gpu import GpuReport
from kvbook.profiling.profile import cost_curves
from kvbook.profiling.reported import SystemReport

TINY = ["--device", "cpu", "--model", "tiny-random", "--new-tokens", "3", "--budget", "0.25"]


def arguments(file, *words, methods="fullkv,snapkv"):
    return ["gpu-report", *TINY, "--methods", methods, "--output", str(file), *words]


def run(file, *words, **more):
    return CliRunner().invoke(cli.app, arguments(file, *words, **more))


def read(file):
    return json.loads(file.read_text())["data"]


def seconds(data):
    return {
        (one["context_length"], one["method"]): one["end_to_end"] for one in data["measurements"]
    }


@pytest.fixture
def quick(monkeypatch):
    """Without the processes that memory is measured in, and with a small micro-benchmark."""
    monkeypatch.setattr(memory, "measures_memory", lambda: False)
    monkeypatch.setitem(hardware.SIZES, "cpu", hardware.Sizes(64, 64, 1))


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run that was killed after its first measurement: its file."""
    file = tmp_path_factory.mktemp("killed") / "gpu.json"
    words = arguments(file, "--contexts", "96,64", "--repeats", "9")
    with subprocess.Popen(
        [sys.executable, "-m", "kvbook.commands", *words], stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not (file.exists() and read(file)["measurements"]):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    return file


def test_a_kill_leaves_a_whole_file_with_what_was_done(killed):
    data = read(killed)
    assert data["measurements"][0]["context_length"] == 64  # the shortest is the first
    assert sum(map(len, seconds(data).values())) < 2 * 2 * 9
    assert data["agreement"]["snapkv"] == {"kept": 1.0, "tokens": True}
    if memory.measures_memory():
        assert data["measurements"][0]["peak_bytes"] > 0


def test_the_same_command_goes_on_where_it_was_killed(killed, quick, monkeypatch):
    monkeypatch.setattr(gpu_grid, "compare_with_cpu", None)  # it was done
    before = read(killed)
    done = run(killed, "--contexts", "96,64", "--repeats", "9")
    assert done.exit_code == 0, done.output
    after = read(killed)
    for at, known in seconds(before).items():
        assert seconds(after)[at][: len(known)] == known  # not measured again
    assert {at: len(one) for at, one in seconds(after).items()} == {
        (64, "fullkv"): 9, (64, "snapkv"): 9, (96, "fullkv"): 9, (96, "snapkv"): 9,
    }  # fmt: skip
    assert after["hardware"] == before["hardware"] and after["left_out"] == []
    assert "going on after the" in " ".join(done.output.split())


def test_the_file_says_where_its_numbers_come_from(killed):
    kept = results.load(killed.stem, killed.parent)
    header = kept.data["header"]
    assert (header["model"], header["device"]["type"]) == ("tiny-random", "cpu")
    assert header["versions"]["torch"] == kept.provenance.versions["torch"]
    assert kept.provenance.model == "tiny-random" and kept.provenance.parameters["repeats"] == 9


def test_another_number_of_tokens_begins_anew_and_keeps_the_old_file(killed, quick):
    before = killed.read_bytes()
    done = run(killed, "--new-tokens", "2", "--contexts", "64", "--repeats", "1")
    assert done.exit_code == 0, done.output
    assert "no longer the same: new_tokens; " in " ".join(done.output.split())
    assert [len(one) for one in seconds(read(killed)).values()] == [1, 1]
    [aside] = set(killed.parent.glob("*.json")) - {killed}
    assert aside.read_bytes() == before


def test_more_contexts_and_methods_are_added_to_what_is_there(tmp_path, quick):
    file = tmp_path / "gpu.json"
    run(file, "--contexts", "64", "--repeats", "1")
    first = seconds(read(file))
    done = run(file, "--contexts", "48", "--repeats", "1", methods="h2o")
    assert done.exit_code == 0, done.output
    both = seconds(read(file))
    assert list(both) == [(48, "h2o"), (64, "fullkv"), (64, "snapkv")]
    assert {at: both[at] for at in first} == first
    assert set(read(file)["agreement"]) == {"fullkv", "snapkv", "h2o"}


def test_what_does_not_fit_into_the_minutes_is_left_out_and_said(tmp_path, quick):
    """A million tokens would take this model hours."""
    file = tmp_path / "gpu.json"
    done = run(file, "--contexts", "1000000,64", "--repeats", "2", "--minutes", "1")
    assert done.exit_code == 0, done.output
    data = read(file)
    assert list(seconds(data)) == [(64, "fullkv"), (64, "snapkv")]
    assert data["left_out"] == [
        f"{name} at 1,000,000 tokens: 2 runs left out (no time)" for name in ("fullkv", "snapkv")
    ]
    said = " ".join(done.output.split())
    assert data["left_out"][0] in said and "beyond the 8,192 positions" in said


def hungry(method):
    """A method that wants more memory than there is, at prompts above 200 tokens."""

    class Hungry(method):
        name = "hungry"

        def keep(self, seen):
            if seen.prompt_length > 200:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().keep(seen)


def broken(method, error):
    """One that fails there for another reason."""

    class Broken(method):
        name = "broken"

        def keep(self, seen):
            if seen.prompt_length > 200:
                raise error
            return super().keep(seen)


def drifting(method):
    """One that keeps something else every time it is attached, as on no device it should."""
    attached = count()

    class Drifting(method):
        name = "drifting"

        def attach(self, model):
            object.__setattr__(self, "sinks", 1 + next(attached) % 5)
            return super().attach(model)


def test_memory_that_is_not_enough_is_written_down(tmp_path, quick):
    hungry(StreamingLLM)
    file = tmp_path / "gpu.json"
    done = run(file, "--contexts", "64,300", "--repeats", "2", methods="fullkv,hungry")
    assert done.exit_code == 0, done.output
    data = read(file)
    assert [(one["method"], one["out_of_memory"]) for one in data["measurements"]] == [
        ("fullkv", False), ("hungry", False), ("fullkv", False), ("hungry", True),
    ]  # fmt: skip
    assert data["left_out"] == [] and "OOM" in done.output


def test_a_run_that_fails_costs_no_other_and_is_told(tmp_path, quick):
    broken(StreamingLLM, RuntimeError("CUDA error: an illegal access"))
    file = tmp_path / "gpu.json"
    done = run(file, "--contexts", "64,300,320", "--repeats", "1", methods="broken,fullkv")
    assert done.exit_code == 1 and "some runs failed" in done.output
    data = read(file)
    assert list(seconds(data)) == [
        (64, "broken"), (64, "fullkv"), (300, "fullkv"), (320, "fullkv"),
    ]  # fmt: skip
    assert data["left_out"] == [
        f"broken at {n} tokens: 1 run left out (RuntimeError: CUDA error: an illegal access)"
        for n in (300, 320)
    ]


def test_a_device_that_keeps_other_entries_is_not_measured(tmp_path):
    drifting(StreamingLLM)
    done = run(tmp_path / "gpu.json", "--contexts", "64", methods="fullkv,drifting")
    assert isinstance(done.exception, ExecutionError)
    said = str(done.exception)
    assert "something else than the CPU" in said and "drifting (" in said and "fullkv (" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words, said",
    [
        (["--method", "snapvk"], "unknown method"),
        (["--contexts", "64,many"], "--contexts many"),
        (["--contexts", "0"], "--contexts 0"),
        (["--budget", "2.5"], "budget"),
        (["--output", "numbers.txt"], "ends in .json"),
        (["--device", "tpu"], "device='tpu'"),
        (["--dtype", "int4"], "dtype='int4'"),
        (["--device", "cuda"], "sees no CUDA device"),
    ],
)
def test_wrong_words_are_refused_before_anything_runs(tmp_path, words, said, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu_grid, "load_model", None)
    done = run(tmp_path / "gpu.json", *words)
    assert said in str(done.exception) and not list(tmp_path.iterdir())


def test_the_chapters_draw_the_file_beside_the_report(killed):
    gpu = GpuReport.read(read(killed))
    report = SystemReport.read(place("data"))
    costs = gpu.costs(64)["fullkv"]
    assert costs["prefill"].measured > 0 and costs["e2e"].paper > costs["prefill"].paper > 0
    rows = cells(show.beside_gpu(report, gpu, 64, "tiny"))
    assert rows[1][:2] == ["fullkv", "–"] and len(rows[1]) == 10
    assert "tiny-random" in gpu.called and gpu.hardware.name in show.gpu_machine(gpu, "").data
    panels = show.cost_panels(cost_curves(gpu.measurements), {"prefill": "prefill, s"}, "measured")
    assert len(panels.axes) == 1


def test_the_file_that_comes_with_the_book_is_a_gpus():
    kept = results.find(results.GPU_REPORT, results.kept_dir())
    if kept:
        assert kept.name == results.GPU_REPORT  # as the pages call it
        assert kept.data["header"]["device"]["type"] == "cuda"


def test_without_a_gpu_there_is_one_message_and_no_traceback(tmp_path):
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-m", "kvbook.commands", "gpu-report"],
        capture_output=True, text=True, cwd=tmp_path, env=hidden,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "sees no CUDA device" in done.stderr and "--device cpu" in done.stderr
