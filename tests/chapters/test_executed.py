"""What was executed beside a page: which chapters, and the tables of their notebooks."""

import json

import pytest

from kvbook import results
from kvbook.chapters import executed
from kvbook.chapters.registry import CHAPTERS, CONTENT


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_RESULTS", str(tmp_path / "results"))
    return tmp_path


def test_chapters_are_found_in_the_books_order_and_no_page_about_them(folder):
    for name in ("h2o", "snapkv", "status"):
        results.save(name, {})
    assert list(executed.find_executed()) == ["snapkv", "h2o"]


def test_the_chapters_of_another_build_are_found_in_its_folder(folder, tmp_path):
    results.save("snapkv", {}, directory=tmp_path / "theirs")
    assert list(executed.find_executed(tmp_path / "theirs")) == ["snapkv"]
    assert executed.find_executed() == {}


def test_a_chapter_leaves_a_notebook_and_results(folder):
    notebook, file = executed.left_by("snapkv")
    assert (notebook, file) == (folder / "snapkv.ipynb", folder / "results" / "snapkv.json")


def test_a_table_counts_once_for_each_kind_that_it_holds(tmp_path):
    measured, report = ('<b class="kv-measured">1</b>', '<b class="kv-report">2</b>')
    pages = [
        [f"<table>{measured}{measured}</table><p>{report}</p>"],
        [f"<table>{measured}</table>", f"<table>{measured}{report}</table>"],
    ]
    cells = [{"outputs": [{"data": {"text/html": page}}]} for page in pages]
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps({"cells": [*cells, {"source": []}]}))
    assert executed.tables_by_kind(path) == {"measured": 3, "report": 1}


def test_a_notebook_that_is_not_there_has_no_tables(tmp_path):
    assert not executed.tables_by_kind(tmp_path / "x.ipynb")


def test_in_common_is_what_all_have():
    machines = [{"cpu": "a", "cores": 2}, {"cpu": "a", "cores": 4}]
    assert executed.in_common(machines, ["cpu", "cores"]) == {"cpu": "a", "cores": None}


def test_the_models_of_a_profile_are_those_that_chapters_load():
    wanted = executed.models_to_fetch("gpu")
    assert "snapkv" in wanted["Qwen/Qwen3-0.6B"] and "lora" in wanted["Qwen/Qwen3-1.7B"]
    assert not any("figure_1" in names for names in wanted.values())  # it loads none


def test_the_pages_about_chapters_are_not_among_them():
    assert set(CHAPTERS) - set(CONTENT) == {"conclusions", "reproduce", "status"}
