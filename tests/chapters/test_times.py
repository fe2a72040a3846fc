"""How long a book took, beside what it may take."""

import json

import pytest

from kvbook import results
from kvbook.chapters import times
from kvbook.chapters.registry import CHAPTERS
from kvbook.results import Provenance

MACHINE = {"cpu": "AMD EPYC", "cores": 2, "threads": 1}


def ran(chapter, seconds, profile="laptop", day=2, key="k"):
    return Provenance(
        chapter=chapter, profile=profile, seed=0, model="m", started=f"2026-01-0{day}T03:04:05+00:00",
        seconds=seconds, parameters={}, key=key, commit=None, dirty=None, machine=MACHINE, versions={},
    )  # fmt: skip


@pytest.mark.parametrize("seconds, holds", [(90, True), (91, False)])
def test_a_chapter_holds_up_to_its_limit(seconds, holds):
    [one] = times.chapter_times({"snapkv": ran("snapkv", seconds)})
    assert (one.what, one.to, one.machine) == ("chapter snapkv", "1 of 2 cores, 2026-01-02", "AMD")
    assert (one.most, one.unit, one.holds) == (90, "s", holds)


def test_chapters_without_a_limit_and_other_profiles_are_left_out():
    runs = {"evaluation": ran("evaluation", 1), "snapkv": ran("snapkv", 1, "smoke")}
    assert times.chapter_times(runs) == []


def test_each_method_has_its_limit():
    most = {name: one.most_seconds for name, one in CHAPTERS.items() if one.most_seconds}
    assert most == {
        **dict.fromkeys(("fullkv", "streamingllm", "snapkv", "h2o"), 90),
        **dict.fromkeys(("pyramidinfer", "gemfilter", "fastkv"), 150),
        "summarykv": 120,
        "ondevice": 90,
    }


def test_a_whole_book_holds_by_the_clock_and_by_cpu_time(tmp_path):
    taken = {"seconds": 1201.0, "cpu_seconds": 2159.0, "pdf": False}
    results.save("book", taken, directory=tmp_path)
    clock, cpu = times.book_times(tmp_path, tmp_path)
    assert (clock.what, clock.most, clock.holds) == ("the whole book, clock time", 20, False)
    assert (cpu.what, cpu.most, cpu.holds) == ("the whole book, CPU time", 36, True)
    assert (cpu.unit, cpu.row()["measured"]) == ("min", "36 min")


def test_the_time_of_a_book_that_was_printed_too_says_so(tmp_path):
    taken = {"seconds": 1.0, "cpu_seconds": 1.0, "pdf": True}
    results.save("book", taken, directory=tmp_path)
    assert times.book_times(tmp_path, tmp_path)[0].what == "the whole book and the PDF, clock time"


def test_where_no_book_was_built_there_are_no_times(tmp_path):
    assert times.book_times(tmp_path, tmp_path) == []


@pytest.mark.parametrize(
    "later, counts",
    [(dict(day=3), True), (dict(day=1), False), (dict(day=3, key="other"), False)],
    ids=["since", "before", "with other code"],
)
def test_a_chapter_that_ran_alone_since_stands_for_the_books(tmp_path, later, counts):
    for folder, run in (("runs", ran("snapkv", 95)), ("alone/snapkv", ran("snapkv", 60, **later))):
        path = tmp_path / folder / "results" / "snapkv.json"
        path.parent.mkdir(parents=True)
        file = {"schema_version": 1, "name": "snapkv", "kind": "measured", "data": {}}
        path.write_text(json.dumps(file | {"provenance": run.model_dump()}))
    [one] = times.book_times(tmp_path, tmp_path / "alone")
    assert one.row()["measured"] == ("60 s" if counts else "95 s")
