"""Every chapter runs, and every code solution where a reader would try it: behind the last cell.

One Jupyter kernel executes all chapters in turn, in the smoke profile: starting one and importing
torch takes longer than most chapters. It has the models on a second device
(`second_device.second`), so that a tensor which a chapter or a solution leaves on the CPU is found
without a GPU; what runs there runs on the CPU, too. Where that device does not compile, they are on
the CPU.
"""

import pytest
from pages import PAGES, exercises
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from second_device.kernel import enter, execute, start

from kvbook.chapters.registry import CHAPTERS, PAGES_ABOUT, get_chapter
from kvbook.chapters.resolve import resolve_parameters

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
    yield from start()


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name not in PAGES_ABOUT])
def test_a_chapter_runs_and_the_code_of_its_solutions_after_it(name, kernel, tmp_path):
    chapter = get_chapter(name)
    parameters = resolve_parameters(chapter, "smoke", LESS.get(name))
    notebook = parameterize_notebook(load_notebook_node(str(chapter.notebook)), parameters)
    solutions = []
    for exercise in exercises(name) if name in PAGES else ():
        if exercise.code:
            solutions += [f"# the solution of {exercise.label}\n{exercise.code}", FORGET]
    before = enter(tmp_path, name, "smoke", parameters)
    failed = execute(kernel, [before, *notebook.cells, REMEMBER, *solutions])
    assert not failed, failed
