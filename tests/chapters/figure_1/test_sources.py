"""Every file has a letter, and every number leads to its file."""

import pytest

from kvbook import results
from kvbook.chapters.figure_1 import sources
from kvbook.chapters.figure_1.sources import Source
from kvbook.results import Provenance, ResultFile

EVALUATION = {
    "evaluated": {"fullkv": {"scores": {"trec": {"a": 1.0}, "lcc": {"a": 1.0, "b": 0.0}}}}
}
PROFILING = {
    "measurements": [
        {"method": "fullkv", "context_length": 1024, "prefill": [1.0, 1.0]},
        {"method": "fullkv", "context_length": 2048, "prefill": [2.0]},
        {"method": "h2o", "context_length": 1024, "prefill": [1.0, 1.0, 1.0]},
    ]
}


def source(chapter, data, run="here", model="m"):
    provenance = Provenance(
        chapter=chapter, profile="laptop", seed=0, model=model, started="2026-01-02T03:04:05+00:00",
        seconds=1, parameters={}, commit=None, dirty=None, machine={}, versions={},
    )  # fmt: skip
    return Source("b", chapter, run, ResultFile(name=chapter, provenance=provenance, data=data))


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The results of a build, and those that are kept."""
    monkeypatch.setenv("KVBOOK_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("KVBOOK_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "results").mkdir(parents=True)
    return tmp_path / "results", tmp_path / "data" / "results"


def test_files_get_letters_in_order_and_what_is_missing_gets_none(folders):
    here, kept = folders
    results.save("evaluation", {}, directory=kept)
    results.save("profiling", {}, directory=here)
    results.save("profiling-bench", {}, directory=kept)
    assert [(one.letter, one.address) for one in sources.find_sources()] == [
        ("b", "results/kept/evaluation.json"),
        ("c", "results/profiling.json"),
        ("d", "results/kept/profiling-bench.json"),
    ]


def test_a_number_leads_to_its_page_and_its_file():
    cell = source("evaluation", {}, "kept").cell("30.2")
    assert '<a href="evaluation.html">30.2</a>' in cell
    assert '<a href="results/kept/evaluation.json"' in cell and ">b</a>" in cell


def test_a_number_of_the_report_leads_to_the_same_page_and_to_the_report():
    cell = sources.report_cell("profiling")("0.83 s")
    assert '<a href="profiling.html">0.83 s</a>' in cell
    assert '<a href="results/report.json"' in cell and ">a</a>" in cell


@pytest.mark.parametrize(
    "chapter, data, amount",
    [
        ("evaluation", EVALUATION, "2 items a task"),
        ("evaluation", {"evaluated": {"fullkv": {"scores": {"lcc": {"a": 1}}}}}, "1 item a task"),
        ("profiling", PROFILING, "2 repeats at 1,024, 2,048 tokens"),
        ("bertscore", {"references": ["x"] * 33, "steps": 40}, "33 items, 40 steps"),
    ],
)
def test_a_file_says_how_much_was_asked_or_repeated(chapter, data, amount):
    assert source(chapter, data).amount == amount


def test_a_row_says_which_run_and_when():
    row = source("evaluation", EVALUATION, "kept", "unknown").row()
    assert (row["called"], row["begun"]) == ("the kept run", "2026-01-02")
    assert row["model"] == "smollm2-135m"  # the benchmark has no parameter for it


def test_of_two_files_the_one_with_more_items_is_taken():
    few = source("evaluation", {"evaluated": {"fullkv": {"scores": {"lcc": {"a": 1}}}}})
    many = source("evaluation", EVALUATION, "kept")
    assert sources.most([few, many], "evaluation") is many
    assert sources.most([few, many], "profiling") is None


def test_files_are_picked_by_chapter_and_run():
    files = [source("evaluation", {}), source("evaluation", {}, "kept"), source("profiling", {})]
    assert sources.pick(files, "evaluation") == files[:2]
    assert sources.pick(files, "evaluation", "kept") == [files[1]]


def test_a_gpus_file_comes_last_and_is_taken_only_by_its_name(folders):
    here, kept = folders
    results.save("profiling-gpu", PROFILING, directory=kept)
    results.save("bertscore", {}, directory=here)
    files = sources.find_sources()
    assert [(one.letter, one.run) for one in files] == [("b", "here"), ("c", "gpu")]
    assert files[1].address == "results/kept/profiling-gpu.json" and files[1].called == "a GPU"
    assert sources.pick(files, "profiling") == [] and sources.most(files, "profiling") is None
    assert sources.pick(files, "profiling", "gpu") == [files[1]]


def test_the_benchmarks_methods_are_called_with_their_budgets():
    data = {"promises": [{"what": "fastkv, 512: prefill of 4096"}, {"what": "fullkv: decode"}]}
    assert sources.budget_names(data) == {"fastkv": "fastkv, 512", "fullkv": "fullkv"}
    assert sources.budget_names({}) == {}
