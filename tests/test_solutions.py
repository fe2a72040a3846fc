"""Every code solution runs where a reader would try it: behind the last cell of its chapter.

One Jupyter kernel executes all chapters in turn, in the smoke profile: starting one and importing
torch takes longer than most chapters.
"""

import json
import re

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from pages import PAGES, exercises
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from kvbook.chapters.execute import _this_interpreter
from kvbook.chapters.registry import get_chapter
from kvbook.chapters.resolve import resolve_parameters
from kvbook.places import place

LESS = {
    "evaluation": {"methods": ["snapkv", "fastkv"], "tasks": ["narrativeqa"]},
    "profiling": {"methods": ["fastkv"], "contexts": [64, 128], "memory_contexts": []},
    "summarykv": {"document_tokens": 200, "sizes": [], "segment": 512},
}
"""Smaller than the smoke profile, for the chapters that take longest."""
REMEMBER = "_chapter = dict(globals()); _chapter['_chapter'] = _chapter"
FORGET = "(lambda names: (globals().clear(), globals().update(names)))(_chapter)"
"""So that no solution lives on what another one has defined."""


@pytest.fixture(scope="module")
def kernel():
    with _this_interpreter():
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel()
    yield manager
    manager.shutdown_kernel(now=True)


def enter(folder, name, parameters):
    """A cell that does what `kvbook.chapters.execute` does around a chapter, in a used kernel."""
    run = {"chapter": name, "profile": "smoke", "parameters": parameters}
    settings = {
        "KVBOOK_RUN": json.dumps(run),
        "KVBOOK_RESULTS": str(folder / "results"),
        "KVBOOK_DATA": str(place("data")),
    }
    return f"%reset -f\nimport os\nos.chdir({str(folder)!r})\nos.environ.update({settings!r})"


@pytest.mark.parametrize("name", [name for name in PAGES if any(e.code for e in exercises(name))])
def test_code_solutions_run_after_the_chapter(name, kernel, tmp_path):
    chapter = get_chapter(name)
    parameters = resolve_parameters(chapter, "smoke", LESS.get(name))
    notebook = parameterize_notebook(load_notebook_node(str(chapter.notebook)), parameters)
    before, after = [enter(tmp_path, name, parameters)], [REMEMBER]
    for exercise in exercises(name):
        if exercise.code:
            after += [f"# the solution of {exercise.label}\n{exercise.code}", FORGET]
    new = nbformat.v4.new_code_cell
    notebook.cells = [*map(new, before), *notebook.cells, *map(new, after)]
    client = NotebookClient(notebook, km=kernel, timeout=600)
    failed = ""
    try:
        client.execute()
    except CellExecutionError as error:
        failed = re.sub(r"\x1b\[[\d;]*m", "", str(error))
    finally:
        client.kc.stop_channels()
    assert not failed, failed
