"""Executing a chapter: a real kernel on a small notebook, and what is left when it fails."""

import json
import os
import re
import sys
from importlib.util import source_from_cache
from pathlib import Path

import nbformat
import pytest

from kvbook.chapters.execute import run_chapter
from kvbook.chapters.inputs import chapter_inputs, inputs_key
from kvbook.chapters.registry import get_chapter
from kvbook.errors import ExecutionError, ParameterError
from kvbook.places import PACKAGE
from kvbook.threads import WAITING

PARAMETERS = 'model = "smollm2-135m"\ndtype = "auto"\nseed = 0\n'


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Put a notebook of these cells in place of the status chapter's."""
    monkeypatch.setenv("KVBOOK_NOTEBOOKS", str(tmp_path))

    def write(*sources):
        cells = [nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
        cells += [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "status.ipynb")

    return write


def test_parameters_reach_the_notebook_and_results_come_back(notebook, tmp_path):
    notebook("from kvbook import results", "results.save('status', {'seed': seed, 'model': model})")
    done = run_chapter(
        "status", {"seed": "7"}, profile="smoke", output=tmp_path / "out", progress=False
    )
    saved = json.loads(done.results.read_text())
    assert saved["data"] == {"seed": 7, "model": "tiny-random"}
    assert saved["provenance"]["parameters"]["seed"] == 7
    assert saved["provenance"]["profile"] == "smoke"


def test_the_executed_notebook_says_where_it_comes_from(notebook, tmp_path):
    notebook("1 + 1")
    done = run_chapter("status", output=tmp_path / "out", progress=False)
    made = nbformat.read(done.notebook, 4)
    assert made.metadata.kvbook["versions"]["torch"] and made.metadata.kvbook["seconds"] > 0
    assert 0 < made.metadata.kvbook["cpu_seconds"] < 600
    assert made.metadata.kvbook["key"] == inputs_key(
        get_chapter("status"), made.metadata.kvbook["parameters"]
    )
    assert str(tmp_path) not in json.dumps(made.metadata)
    [injected] = [c for c in made.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert "hide-input" in injected.metadata.tags
    assert not list((tmp_path / "out").glob("*.partial*"))


def test_the_kernel_is_this_python_whatever_is_installed(notebook, tmp_path, monkeypatch):
    theirs = tmp_path / "kernels" / "python3"
    theirs.mkdir(parents=True)
    kernel = {"argv": ["/bin/false"], "display_name": "Theirs", "language": "python"}
    (theirs / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    notebook("import sys; print(sys.executable)")
    done = run_chapter("status", output=tmp_path / "out", page=False, progress=False)
    assert sys.executable in done.notebook.read_text()


def test_the_callers_environment_comes_back(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_RESULTS", "mine")
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    names = [*WAITING, "KVBOOK_RESULTS"]
    notebook(f"import os; print(*(os.environ[name] for name in {names}))")
    done = run_chapter("status", output=tmp_path / "out", page=False, progress=False)
    assert " ".join([*WAITING.values(), f"{tmp_path}/out/results"]) in done.notebook.read_text()
    assert dict(os.environ) == before


def test_the_page_loads_nothing_from_outside(notebook, tmp_path):
    notebook("1 + 1")
    page = run_chapter("status", output=tmp_path / "out", progress=False).page.read_text()
    loads = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[^>]*>", page)
    assert not [tag for tag in loads if "//" in tag]
    assert 'src="http' not in page


def test_a_failing_cell_is_shown_and_the_notebook_up_to_there_is_kept(notebook, tmp_path):
    notebook("print('first')", "number = 0\n1 / number", "print('never')")
    with pytest.raises(ExecutionError, match="ZeroDivisionError: division by zero") as caught:
        run_chapter("status", output=tmp_path / "out", progress=False)
    kept = tmp_path / "out" / "status.partial.ipynb"
    assert "1 / number" in str(caught.value) and str(kept) in str(caught.value)
    assert "first" in kept.read_text()
    assert not (tmp_path / "out" / "status.ipynb").exists()


def test_a_kernel_that_dies_at_its_start_is_started_again(notebook, tmp_path, monkeypatch):
    """As one does whose port another kernel has taken in the meantime."""
    begun = tmp_path / "begun"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pathlib\n"
        f"begun = pathlib.Path({str(begun)!r})\n"
        "begun.exists() or (begun.touch(), os._exit(1))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    notebook("1 + 1")
    done = run_chapter("status", output=tmp_path / "out", progress=False)
    assert begun.exists() and done.notebook.is_file()


def test_a_kernel_that_dies_is_told_with_its_cell(notebook, tmp_path):
    notebook("print('first')", "import os\nos._exit(9)  # as the system ends what takes all memory")
    with pytest.raises(ExecutionError, match="the kernel died in cell 4.*memory") as caught:
        run_chapter("status", output=tmp_path / "out", progress=False)
    assert "os._exit(9)" in str(caught.value)
    assert "first" in (tmp_path / "out" / "status.partial.ipynb").read_text()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_message(notebook, tmp_path):
    notebook("1 + 1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "status.partial.ipynb").symlink_to("/dev/full")
    with pytest.raises(ExecutionError, match="status cannot be executed in .*No space left"):
        run_chapter("status", output=tmp_path / "out", progress=False)


@pytest.mark.parametrize("text", ["", '{"cells": [', "[]", '{"nbformat": 4, "cells": 3}'])
def test_a_damaged_notebook_is_refused(notebook, tmp_path, text):
    (tmp_path / "status.ipynb").write_text(text)
    with pytest.raises(ParameterError, match=r"status\.ipynb is damaged"):
        run_chapter("status", output=tmp_path / "out", progress=False)


def test_an_output_folder_that_cannot_be_made_is_refused(notebook, tmp_path):
    notebook("1 + 1")
    (tmp_path / "file").touch()
    with pytest.raises(ParameterError, match="cannot write to .*give another --output"):
        run_chapter("status", output=tmp_path / "file" / "out", progress=False)


def test_wrong_parameters_are_refused_before_a_kernel_starts(notebook, tmp_path):
    notebook("1 + 1")
    with pytest.raises(ParameterError):
        run_chapter("status", {"seeed": "7"}, output=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_missing_prompt_file_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="there is no file"):
        run_chapter("snapkv", {"prompt_file": "nowhere.txt"}, output=tmp_path, progress=False)


def test_a_folder_is_no_prompt_file(tmp_path):
    with pytest.raises(ParameterError, match="there is no file"):
        run_chapter("snapkv", {"prompt_file": str(tmp_path)}, output=tmp_path, progress=False)


def test_missing_data_are_refused_before_a_kernel_starts(tmp_path):
    with pytest.raises(ParameterError, match="there is no file or folder"):
        run_chapter("evaluation", {"data": "nowhere"}, output=tmp_path, progress=False)


def test_a_model_in_a_folder_is_found_from_where_the_user_is(tmp_path, notebook, monkeypatch):
    notebook("from kvbook import results", "results.save('status', {'model': model})")
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "smollm2-135m").mkdir()  # a name of ours means no folder
    monkeypatch.chdir(tmp_path)
    for given, wanted in (("models/mine", tmp_path / "models/mine"), ("smollm2-135m",) * 2):
        done = run_chapter("status", {"model": given}, output=tmp_path / "out", progress=False)
        assert json.loads(done.results.read_text())["data"]["model"] == str(wanted)


LISTENING = """
import os, sys

def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith({package!r}):
        os.write(log, f"{{arguments[0]}}\\n".encode())

log = os.open({log!r}, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
sys.addaudithook(note)
"""
"""A ``sitecustomize`` for each process of a run: it writes down what of the package is opened."""


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The whole of a real chapter, on the tiny random model, with the parameters of the README;
    and the modules and resources of the package that its processes opened."""
    folder = tmp_path_factory.mktemp("smoke")
    log = folder / "opened"
    (folder / "sitecustomize.py").write_text(LISTENING.format(package=str(PACKAGE), log=str(log)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        changed = {"budget": "48", "window": "16"}
        done = run_chapter(
            "snapkv", changed, profile="smoke", output=folder / "out", progress=False
        )
    opened = {Path(line) for line in log.read_text().splitlines()}
    return done, {
        Path(source_from_cache(path)) if path.suffix == ".pyc" else path
        for path in opened
        if path.suffix in (".pyc", ".py", ".js", ".yaml")
    }


def test_a_chapter_runs_in_the_smoke_profile(smoke):
    done, _ = smoke
    saved = json.loads(done.results.read_text())
    assert saved["provenance"]["parameters"]["window"] == 16
    assert len(saved["data"]["needle"]["fullkv"]) == 2
    assert done.page.stat().st_size > 100_000


def test_what_a_chapter_opens_of_the_package_is_among_its_inputs(smoke):
    _, opened = smoke
    assert {PACKAGE / "engine/attention.py", PACKAGE / "show/explorers/kept.js"} <= opened
    assert opened <= set(chapter_inputs(get_chapter("snapkv")).values())
