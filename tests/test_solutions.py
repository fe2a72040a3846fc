"""Every chapter runs, and every code solution where a reader would try it: behind the last cell.
There its checks (`data/checks`) let it through, and no wrong answer.

One Jupyter kernel executes all chapters in turn, in the smoke profile: starting one and importing
torch takes longer than most chapters. It has the models on a second device
(`second_device.second`), so that a tensor which a chapter or a solution leaves on the CPU is found
without a GPU; what runs there runs on the CPU, too. Where that device does not compile, they are on
the CPU.
"""

import pytest
from kernels import FORGET, REMEMBER, enter, execute
from nbformat.v4 import new_code_cell
from pages import PAGES
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from second_device.kernel import started_on_second

from kvbook.chapters.checks import read_checks
from kvbook.chapters.exercises import exercises
from kvbook.chapters.registry import CHAPTERS, PAGES_ABOUT, get_chapter
from kvbook.chapters.resolve import resolve_parameters

LESS = {
    "evaluation": {"methods": ["snapkv", "fastkv"], "tasks": ["narrativeqa"]},
    "profiling": {"methods": ["fastkv"], "contexts": [64, 128], "memory_contexts": []},
    "summarykv": {"document_tokens": 200, "sizes": [], "segment": 512},
}
"""Smaller than the smoke profile, for the chapters that take longest."""


@pytest.fixture(scope="module")
def kernel():
    with started_on_second() as manager:
        yield manager


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name not in PAGES_ABOUT])
def test_a_chapter_runs_and_the_code_of_its_solutions_after_it(name, kernel, tmp_path):
    chapter = get_chapter(name)
    parameters = resolve_parameters(chapter, "smoke", LESS.get(name))
    notebook = parameterize_notebook(load_notebook_node(str(chapter.notebook)), parameters)
    tried = [cell for cells in tries(name) for cell in cells] if name in PAGES else []
    before = enter(tmp_path, name, "smoke", parameters)
    failed = execute(kernel, [before, *notebook.cells, REMEMBER, *tried])
    assert not failed, failed
    for cell in tried:
        kinds = {output.output_type for output in cell.outputs}
        if cell.metadata.get("tags"):
            assert "error" in kinds, f"a check lets this through: {cell.source}"
        elif cell.source.startswith("# the checks"):
            assert not kinds, f"nbgrader takes what a check says for a mark: {cell.source}"


def tries(name):
    """Of each exercise in code: nothing, a wrong answer and the right one, and what its checks
    say."""
    for exercise in exercises(name):
        if not exercise.code:
            continue
        check = read_checks(name)[exercise.label]
        test = f"# the checks of {exercise.label}\n{check.visible}\n{check.hidden}"
        fails = {"tags": ["raises-exception"]}
        yield [
            new_code_cell(test, metadata=fails),
            new_code_cell(f"# a wrong answer to {exercise.label}\n{check.wrong}"),
            new_code_cell(test, metadata=fails),
            new_code_cell(FORGET),
            new_code_cell(f"# the solution of {exercise.label}\n{exercise.code}\n{check.answer}"),
            new_code_cell(test),
            new_code_cell(FORGET),
        ]
