"""The pages that are made from results files: alone, and with other chapters' results beside."""

import json

import pytest

from kvbook import results
from kvbook.chapters.execute import run_chapter


def execute(name, output):
    done = run_chapter(name, profile="smoke", output=output, progress=False)
    return json.loads(done.results.read_text())["data"], done.page.read_text(encoding="utf-8")


def test_figure_1_is_rebuilt_from_the_kept_runs_alone(tmp_path):
    data, page = execute("figure_1", tmp_path)
    assert set(data["sources"].values()) >= {
        "results/kept/evaluation.json",
        "results/kept/profiling-bench.json",
    }
    assert {"ahead", "prefill-aware"} <= set(data["readings"])
    assert '<a href="evaluation.html' not in page and "<sup>b</sup>" in page


@pytest.mark.parametrize("name", ["status", "reproduce"])
def test_a_page_about_the_others_takes_what_is_there(name, tmp_path):
    results.save("snapkv", {"prompt_tokens": 473}, directory=tmp_path / "results")
    data, page = execute(name, tmp_path)
    told = data["chapters"] if name == "status" else data["values"]["snapkv: tokens of the prompt"]
    assert told == ["snapkv"] if name == "status" else told["found"] == 473
    assert "kv-table" in page
