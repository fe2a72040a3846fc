"""The promises: what holds, what is said, and an environment of kvpress that is not there."""

import json
import sys
from pathlib import Path

import pytest

from kvbook import create_method
from kvbook.errors import ExecutionError
from kvbook.places import place
from kvbook.profiling import bench
from kvbook.results import load
from kvbook.stats import Spread


@pytest.mark.parametrize("median, holds", [(0.9, True), (1.0, True), (1.01, False)])
def test_the_median_decides_whether_a_promise_holds(median, holds):
    promise = bench.Promise("this", "that", 1.0, Spread(median, 0.5, 2.0))
    assert promise.holds is holds
    assert promise.row()["holds"] == ("yes" if holds else "NO")
    assert promise.data()["holds"] is holds


def test_every_promise_names_a_method_that_exists():
    made = bench.methods()
    assert set(made) == {"fullkv", *bench.PREFILL}
    assert made["pyramidinfer"].budget == 0.5 and made["snapkv"] == create_method(
        "snapkv", budget=512
    )


def test_a_given_python_of_kvpress_must_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("KVBOOK_KVPRESS", str(tmp_path / "python"))
    with pytest.raises(ExecutionError, match="make kvpress"):
        bench.find_kvpress()


def test_kvpress_is_left_out_when_it_is_not_set_up(monkeypatch, tmp_path):
    monkeypatch.delenv("KVBOOK_KVPRESS", raising=False)
    monkeypatch.setattr(bench, "REPOSITORY", tmp_path)
    assert bench.find_kvpress() is None


def test_a_python_without_kvpress_says_what_to_do():
    with pytest.raises(ExecutionError, match=r"kvpress.*make kvpress"):
        bench.ask_kvpress(Path(sys.executable), "bfloat16", 1, {"press": None})


def test_the_kept_run_has_every_promise():
    kept = load("profiling-bench", place("data") / "results").data
    assert len(kept["promises"]) == len(bench.PREFILL) + 7
    assert json.dumps(kept["promises"]) and all(
        one["measured"]["low"] <= one["measured"]["median"] <= one["measured"]["high"]
        for one in kept["promises"]
    )
