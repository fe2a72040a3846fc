"""Every chapter runs, and every code solution where a reader would try it: behind the last cell.

One Jupyter kernel executes all chapters in turn, in the smoke profile: starting one and importing
torch takes longer than most chapters. It has the models on a second device
(`second_device.second`), so that a tensor which a chapter or a solution leaves on the CPU is found
without a GPU; what runs there runs on the CPU, too. Where that device does not compile, they are on
the CPU.
"""

import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from pages import PAGES, exercises
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from second_device.second import NoCompilerError, compile_second

from kvbook.chapters.execute import _this_interpreter
from kvbook.chapters.registry import CHAPTERS, PAGES_ABOUT, get_chapter
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
ON_SECOND = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from second_device.second import load_models_there
load_models_there()
"""


def execute(manager, cells):
    """Run cells, of source or of a notebook, in a kernel that runs; what failed, or nothing."""
    new = nbformat.v4.new_code_cell
    made = [new(cell) if isinstance(cell, str) else cell for cell in cells]
    client = NotebookClient(nbformat.v4.new_notebook(cells=made), km=manager, timeout=600)
    try:
        client.execute()
    except CellExecutionError as error:
        return re.sub(r"\x1b\[[\d;]*m", "", str(error))
    finally:
        client.kc.stop_channels()
    return ""


@pytest.fixture(scope="module")
def kernel():
    first = [ON_SECOND]
    try:
        compile_second()
    except NoCompilerError:
        if os.environ.get("CI"):  # there somebody has to run them on it
            raise
        first = []
    with _this_interpreter():
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel()
    failed = execute(manager, first)
    assert not failed, failed
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


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name not in PAGES_ABOUT])
def test_a_chapter_runs_and_the_code_of_its_solutions_after_it(name, kernel, tmp_path):
    chapter = get_chapter(name)
    parameters = resolve_parameters(chapter, "smoke", LESS.get(name))
    notebook = parameterize_notebook(load_notebook_node(str(chapter.notebook)), parameters)
    solutions = []
    for exercise in exercises(name) if name in PAGES else ():
        if exercise.code:
            solutions += [f"# the solution of {exercise.label}\n{exercise.code}", FORGET]
    before = enter(tmp_path, name, parameters)
    failed = execute(kernel, [before, *notebook.cells, REMEMBER, *solutions])
    assert not failed, failed
