"""An assignment in nbgrader itself: generated, validated, and marked.

nbgrader is in an environment of its own (`make nbgrader`), whose kernel is this Python's.
"""

import csv
import os
import subprocess
from itertools import pairwise
from types import SimpleNamespace

import nbformat
import pytest

from kvbook.chapters.assignment import write_assignments
from kvbook.chapters.checks import read_checks
from kvbook.places import REPOSITORY

CHAPTER = "from_scratch"
BIN = REPOSITORY / ".venv-nbgrader" / "bin"
pytestmark = pytest.mark.skipif(
    not (BIN / "nbgrader").is_file() and not os.environ.get("CI"),
    reason="nbgrader is not here: make nbgrader",
)
KNOWN = ["ex-scratch-bytes", "ex-scratch-slots"]
"""What the wrong submission answers right."""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course whose students have handed in a right, a wrong and an empty notebook."""
    folder = tmp_path_factory.mktemp("nbgrader") / "course"
    source, release = write_assignments([CHAPTER], folder, profile="smoke")
    ours = nbformat.read(release, as_version=4)
    nbgrader(folder, "generate_assignment", CHAPTER, "--force")
    theirs = nbformat.read(release, as_version=4)
    right, wrong = (nbformat.from_dict(theirs) for _ in range(2))
    solved = {cell.id: cell.source for cell in nbformat.read(source, as_version=4).cells}
    mistakes = {label: check.wrong for label, check in read_checks(CHAPTER).items()}
    for cell in right.cells:
        if cell.metadata.nbgrader.solution:
            cell.source = solved[cell.id]
    for cell in wrong.cells:
        if cell.id in mistakes:
            cell.source = solved[cell.id] if cell.id in KNOWN else mistakes[cell.id]
    for student, notebook in {"right": right, "wrong": wrong, "empty": theirs}.items():
        path = folder / "submitted" / student / CHAPTER / release.name
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    return SimpleNamespace(folder=folder, ours=ours, theirs=theirs)


def nbgrader(folder, *arguments):
    """What nbgrader says, in a course; it has to end well."""
    ran = subprocess.run(
        [BIN / "nbgrader", *arguments],
        env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},  # it calls alembic
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def points(notebook, part):
    return {
        cell.id.removesuffix(part): cell.metadata.nbgrader.points
        for cell in notebook.cells
        if cell.id.endswith(part)
    }


def test_nbgrader_makes_the_students_notebook_that_kvbook_makes(course):
    assert course.ours == course.theirs


def test_nbgrader_validates_the_teachers_notebook(course):
    said = nbgrader(course.folder, "validate", f"source/{CHAPTER}/{CHAPTER}.ipynb")
    assert "Success! Your notebook passes all the tests." in said


def test_nbgrader_gives_full_points_partial_points_and_none(course):
    nbgrader(course.folder, "autograde", CHAPTER)
    nbgrader(course.folder, "export", "--to", "grades.csv")
    with (course.folder / "grades.csv").open() as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    scores = {student: float(row["raw_score"]) for student, row in rows.items()}
    code, words = points(course.ours, "-check"), points(course.ours, "-words")
    assert scores["right"] == sum(code.values())  # words are marked by hand
    assert scores["wrong"] == sum(code[label] for label in KNOWN)
    assert scores["empty"] == 0
    assert all(
        float(row["max_score"]) == sum((*code.values(), *words.values())) for row in rows.values()
    )
    assert all(low < high for low, high in pairwise(sorted(scores.values())))
