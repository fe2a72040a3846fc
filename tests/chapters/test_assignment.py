"""Assignments: what students get and do not get, and that the notebook itself runs as it is.

That every check lets the solution through, and no wrong answer, is in `test_solutions`.
"""

import os
import subprocess
import sys
from collections import Counter

import nbformat
import pytest
from kernels import run, started

from kvbook.chapters import checks
from kvbook.chapters.assignment import (
    CODE_STUB,
    POINTS,
    TEXT_STUB,
    make_release,
    make_source,
    write_assignments,
)
from kvbook.chapters.checks import checked_chapters, read_checks
from kvbook.chapters.exercises import exercises
from kvbook.chapters.registry import CHAPTERS
from kvbook.errors import ParameterError

COVERED = [name for name in CHAPTERS if exercises(name)]
ONE_BY_ONE = pytest.mark.parametrize("name", COVERED)


def by_id(notebook):
    return {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells}


def test_every_chapter_with_exercises_makes_an_assignment():
    assert checked_chapters() == COVERED


@ONE_BY_ONE
def test_cells_have_nbgraders_metadata_and_ids_of_their_own(name):
    source = make_source(name, "smoke")
    for notebook in (source, make_release(source)):
        nbformat.validate(notebook)
        assert (
            max(Counter(cell.metadata.nbgrader.grade_id for cell in notebook.cells).values()) == 1
        )
        for cell in notebook.cells:
            ours = cell.metadata.nbgrader
            assert ours.schema_version == 3 and ours.grade == ("points" in ours)
            assert ours.solution != ours.locked  # a cell is the student's, or it is not
            assert cell.cell_type == "code" or ours.grade == ours.solution


@ONE_BY_ONE
def test_an_exercise_has_the_points_of_its_level(name):
    cells = by_id(make_source(name, "smoke"))
    for exercise in exercises(name):
        parts = [cells.get(f"{exercise.label}-{part}") for part in ("check", "words")]
        marked = [part.metadata.nbgrader.points for part in parts if part]
        assert marked and set(marked) == {POINTS[exercise.level]}
        assert bool(parts[0]) == bool(exercise.code)


@ONE_BY_ONE
def test_students_get_no_solution_and_no_hidden_check(name):
    source = make_source(name, "smoke")
    cells = by_id(make_release(source))
    known = read_checks(name)
    for exercise in exercises(name):
        words = cells.get(f"{exercise.label}-words")
        assert not words or words.source == TEXT_STUB
        if exercise.code:
            check = known[exercise.label]
            assert cells[exercise.label].source == CODE_STUB
            assert cells[f"{exercise.label}-check"].source == check.visible.strip()
            assert check.hidden.strip() in by_id(source)[f"{exercise.label}-check"].source
    text = "\n".join(cell.source for cell in cells.values())
    assert "SOLUTION" not in text and "HIDDEN" not in text and "{eq}" not in text


def test_the_chapters_cells_come_first_with_a_profiles_parameters_and_are_locked():
    source = make_source("from_scratch", "smoke")
    first = next(i for i, cell in enumerate(source.cells) if "ex-" in cell.id)
    assert all(cell.metadata.nbgrader.locked for cell in source.cells[:first])
    assert "model = 'tiny-random'" in source.cells[1].source
    assert "results.save" not in "\n".join(cell.source for cell in source.cells)


def test_a_teachers_notebook_runs_from_its_first_cell_to_its_last(tmp_path):
    source = make_source("from_scratch", "smoke")
    with started() as manager:
        run(manager, source.cells, resources={"metadata": {"path": str(tmp_path)}})
    answered = [cell for cell in source.cells if cell.id.endswith("-check")]
    assert answered and not any(cell.outputs for cell in answered)


def test_a_course_is_a_folder_of_nbgrader_and_can_grow(tmp_path):
    write_assignments(["introduction"], tmp_path / "course", profile="smoke")
    made = write_assignments(["h2o", "h2o"], tmp_path / "course", profile="smoke")
    assert [str(path.relative_to(tmp_path / "course")) for path in made] == [
        "source/h2o/h2o.ipynb",
        "release/h2o/h2o.ipynb",
    ]
    assert all(nbformat.read(path, 4).cells for path in made)
    files = [path for path in (tmp_path / "course").rglob("*") if path.is_file()]
    assert len(files) == 5 and (tmp_path / "course" / "nbgrader_config.py") in files


def test_the_same_notebook_is_written_again(tmp_path):
    once, twice = (
        write_assignments(["introduction"], tmp_path / name, profile="smoke") for name in "ab"
    )
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in twice]


@pytest.mark.parametrize(
    "names, profile, says",
    [
        (["introduction", "snapvk"], "smoke", "Did you mean 'snapkv'"),
        (["introduction", "figure_1"], "smoke", "figure_1 has no exercises; .*introduction, "),
        (["introduction"], "desktop", "smoke, laptop, gpu"),
    ],
)
def test_what_cannot_be_made_is_said_before_anything_is_written(names, profile, says, tmp_path):
    with pytest.raises(ParameterError, match=says):
        write_assignments(names, tmp_path / "course", profile=profile)
    assert not (tmp_path / "course").exists()


def test_a_chapter_with_an_unchecked_exercise_is_refused_by_name(tmp_path, monkeypatch):
    known = checks.read_checks
    monkeypatch.setattr(checks, "read_checks", lambda name: {} if name == "h2o" else known(name))
    with pytest.raises(ParameterError, match="h2o .*ex-h2o-bias.*made of: introduction, "):
        write_assignments(["h2o"], tmp_path / "course")
    assert not (tmp_path / "course").exists()


@pytest.mark.parametrize(
    "there, says",
    [
        ("notes.txt", "has other files in it"),
        ("source/h2o/h2o.ipynb", "has other files in it"),
    ],
)
def test_a_folder_of_other_things_is_left_alone(there, says, tmp_path):
    path = tmp_path / there
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(ParameterError, match=says):
        write_assignments(["h2o"], tmp_path, profile="smoke")
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]


def test_an_assignment_that_is_there_is_not_overwritten(tmp_path):
    [teachers, _] = write_assignments(["h2o"], tmp_path, profile="smoke")
    teachers.write_text("changed by hand")
    with pytest.raises(ParameterError, match="is there already"):
        write_assignments(["introduction", "h2o"], tmp_path, profile="smoke")
    assert teachers.read_text() == "changed by hand"
    assert not (tmp_path / "source" / "introduction").exists()


def test_a_file_in_place_of_the_folder_is_one_message(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ParameterError, match="another --output"):
        write_assignments(["h2o"], tmp_path / "file", profile="smoke")


@pytest.mark.parametrize(
    "text, says",
    [
        ("ex-h2o-bias: [", "cannot be used"),
        ("ex-h2o-bias: {give: x}", "visible"),
        ("ex-other: {give: x, visible: x, hidden: x, wrong: x}", "ex-other"),
    ],
)
def test_a_damaged_file_of_checks_is_one_message(text, says, tmp_path, monkeypatch):
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "h2o.yaml").write_text(text)
    monkeypatch.setenv("KVBOOK_DATA", str(tmp_path))
    with pytest.raises(ParameterError, match=says):
        read_checks("h2o")


def assignment(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "kvbook.commands.cli", "assignment", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
    )


def test_the_command_names_what_it_has_written(tmp_path):
    made = assignment(tmp_path, "h2o", "--output", "course")
    assert made.returncode == 0 and made.stderr == ""
    assert made.stdout.split() == [
        "teacher",
        os.path.join("course", "source", "h2o", "h2o.ipynb"),
        "students",
        os.path.join("course", "release", "h2o", "h2o.ipynb"),
    ]


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["h3o", "--output", "course"], "Did you mean 'h2o'"),
        (["status", "--output", "course"], "status has no exercises"),
        (["h2o", "--output", "/dev/null/course"], "another --output"),
        (["h2o", "--output", ""], "has other files in it"),
        (["h2o"], "--output"),
        (["--output", "course"], "CHAPTER"),
    ],
)
def test_bad_input_is_one_message_and_nothing_is_written(arguments, says, tmp_path):
    (tmp_path / "mine.txt").touch()
    asked = assignment(tmp_path, *arguments)
    assert asked.returncode == 2
    assert says in asked.stderr and "Traceback" not in asked.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
