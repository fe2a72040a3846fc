"""A chapter's exercises as an assignment, in the form of nbgrader (schema 3).

nbgrader itself is not needed here. Its course folder has the teacher's notebooks in ``source``,
with solutions and hidden checks, and the students' in ``release``, without.
"""

import hashlib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from kvbook.chapters.checks import Check, checked_chapters, read_checks, unchecked
from kvbook.chapters.exercises import Exercise, exercises, read_exercises
from kvbook.chapters.page import plain_markdown
from kvbook.chapters.registry import get_chapter
from kvbook.chapters.resolve import resolve_parameters
from kvbook.errors import ParameterError
from kvbook.files import check_writable, write_whole

POINTS = {"easy": 1, "medium": 2, "hard": 3}
"""By level; an exercise that asks for code and for words has them twice."""
SOLUTION = "### BEGIN SOLUTION\n{}\n### END SOLUTION"
HIDDEN = "### BEGIN HIDDEN TESTS\n{}\n### END HIDDEN TESTS"
CODE_STUB = "# YOUR CODE HERE\nraise NotImplementedError()"
TEXT_STUB = "YOUR ANSWER HERE"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
CONFIG = """\
# nbgrader's settings for this course, written by `kvbook assignment`.
c = get_config()
c.CourseDirectory.course_id = "kvbook"
c.ExecutePreprocessor.timeout = 600  # seconds a cell may take
"""


def write_assignments(names: Sequence[str], output: Path, *, profile: str = "laptop") -> list[Path]:
    """Write the assignments of chapters into a course folder of nbgrader.

    Parameters
    ----------
    names : sequence of str
        The chapters.
    output : Path
        A new or an empty folder, or a course without these chapters.
    profile : str
        Whose parameters the chapters' cells get.

    Returns
    -------
    list of Path
        The notebooks: of each chapter the teacher's, and the students'.

    Raises
    ------
    ParameterError
        Before anything is written: a chapter is unknown, has no exercises, or has one that
        nothing checks; or the folder has something else in it.
    """
    names, config = list(dict.fromkeys(names)), output / "nbgrader_config.py"
    paths = {
        name: [output / part / name / f"{name}.ipynb" for part in ("source", "release")]
        for name in names
    }
    sources = {name: make_source(name, profile) for name in names}
    try:
        others = output.exists() and any(output.iterdir()) and not config.is_file()
    except OSError as error:
        raise ParameterError(
            f"cannot use {output} ({error.strerror}): give another --output"
        ) from None
    if others:
        raise ParameterError(
            f"{output} has other files in it, and is no course of nbgrader: give another --output"
        )
    for path in (path.parent for of_chapter in paths.values() for path in of_chapter):
        if path.exists():
            raise ParameterError(f"{path} is there already: delete it, or give another --output")
    check_writable(output)
    if not config.is_file():
        write_whole(config, CONFIG)
    for name, source in sources.items():
        for path, notebook in zip(paths[name], (source, make_release(source)), strict=True):
            write_whole(path, nbformat.writes(notebook) + "\n")
    return [path for of_chapter in paths.values() for path in of_chapter]


def make_source(name: str, profile: str = "laptop") -> NotebookNode:
    """The teacher's notebook of a chapter: its cells, its exercises, solutions and all checks.

    Raises
    ------
    ParameterError
        The chapter is unknown, has no exercises, or has one that nothing checks.
    """
    chapter = get_chapter(name)
    parameters = resolve_parameters(chapter, profile)
    if not exercises(name):
        raise ParameterError(
            f"{name} has no exercises; chapters with some are: {', '.join(checked_chapters())}"
        )
    if missing := unchecked(name):
        raise ParameterError(
            f"{name} has exercises in code that nothing checks yet "
            f"({', '.join(one.label for one in missing)}); "
            f"assignments can be made of: {', '.join(checked_chapters())}"
        )
    cells, checks, begun = [_opening(name, chapter.title, profile)], read_checks(name), 0
    numbers = itertools.count(1)
    for index, cell in enumerate(nbformat.read(chapter.notebook, as_version=4).cells):
        if cell.cell_type == "code":
            given = "parameters" in cell.metadata.get("tags", [])
            source = _assign(parameters) if given else cell.source
            cells.append(_cell("code", f"{name}-{index}", source, locked=True))
        for exercise in read_exercises(cell.source) if cell.cell_type == "markdown" else ():
            cells += _exercise(next(numbers), exercise, checks.get(exercise.label))
            begun = len(cells)
    notebook = nbformat.v4.new_notebook(cells=cells[:begun])  # not what only comes after them
    notebook.metadata |= {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    return notebook


def make_release(source: NotebookNode) -> NotebookNode:
    """The students' notebook of a teacher's: no solutions, no hidden checks; what nbgrader's own
    ``generate_assignment`` makes of it."""
    notebook = nbformat.from_dict(source)
    for cell in notebook.cells:
        ours = cell.metadata.nbgrader
        cell.metadata["deletable"] = False
        if ours.solution:
            written = cell.cell_type == "markdown"
            cell.source = TEXT_STUB if written else _region(SOLUTION).sub(CODE_STUB, cell.source)
        else:
            cell.metadata["editable"] = False
            cell.source = _region(HIDDEN).sub("", cell.source).rstrip("\n")
        ours |= {"checksum": checksum(cell), "cell_type": cell.cell_type}
    return notebook


def checksum(cell: NotebookNode) -> str:
    """nbgrader's, by which it sees whether a student has changed a cell."""
    ours = cell.metadata.nbgrader
    parts = [cell.source, cell.cell_type, ours.grade, ours.solution, ours.locked, ours.grade_id]
    parts += [float(ours.points)] if ours.grade else []
    return hashlib.md5("".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def _region(marked: str) -> re.Pattern[str]:
    """From the line that begins it to the line that ends it."""
    begin, end = map(re.escape, marked.split("\n{}\n"))
    return re.compile(f"^{begin}$.*?^{end}$", re.M | re.S)


def _opening(name: str, title: str, profile: str) -> NotebookNode:
    text = (
        f"# Exercises: {title}\n\n"
        "The first cells are the chapter's own, up to its exercises; they cannot be changed. "
        "Run them, and then write your answers into the cells below each exercise. "
        "The cell after your code checks it; more is checked when it is marked. "
        f"The model and the sizes are those of the profile *{profile}*."
    )
    return _cell("markdown", f"{name}-opening", text, locked=True)


def _exercise(number: int, exercise: Exercise, check: Check | None) -> list[NotebookNode]:
    """The question, and the cells for its answer: code and its check, words, or both."""
    label, points = exercise.label, POINTS[exercise.level or "easy"]
    asked = [f"## Exercise {number}\n\n{plain_markdown(exercise.text)}"]
    cells = []
    if check:
        asked.append(f"**Your code gives:** {check.give.strip()}")
        solution = "\n".join(part.strip("\n") for part in (exercise.code, check.answer) if part)
        cells.append(_cell("code", label, SOLUTION.format(solution), solution=True))
        tests = f"{check.visible.strip()}\n{HIDDEN.format(check.hidden.strip())}"
        cells.append(_cell("code", f"{label}-check", tests, locked=True, points=points))
    if check and check.words:
        asked.append(f"**In words:** {check.words.strip()}")
    if not check or check.words:
        prose = plain_markdown(exercise.prose)
        cells.append(_cell("markdown", f"{label}-words", prose, solution=True, points=points))
    return [_cell("markdown", f"{label}-asked", "\n\n".join(asked), locked=True), *cells]


def _cell(
    kind: str,
    grade_id: str,
    source: str,
    *,
    locked: bool = False,
    solution: bool = False,
    points: int | None = None,
) -> NotebookNode:
    ours = {
        "grade": points is not None,
        "grade_id": grade_id,
        "locked": locked,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    ours |= {} if points is None else {"points": points}
    new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    return new(source, id=grade_id, metadata={"nbgrader": ours})


def _assign(parameters: dict) -> str:
    return "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
