"""Exercises: three levels in every chapter, and a folded solution each. What runs is in `test_solutions`."""

import re
from collections import Counter

import pytest
from pages import PAGES, markdown

from kvbook.chapters.exercises import exercises

LEVELS = ("easy", "medium", "hard")
EVERY = [(name, exercise) for name in PAGES for exercise in exercises(name)]
ONE_BY_ONE = pytest.mark.parametrize(
    "name, exercise", EVERY, ids=[exercise.label for _, exercise in EVERY]
)


@ONE_BY_ONE
def test_an_exercise_begins_with_its_level(name, exercise):
    assert exercise.level in LEVELS


@ONE_BY_ONE
def test_an_exercise_has_a_solution_that_is_folded_away(name, exercise):
    assert exercise.solution and exercise.folded


@pytest.mark.parametrize("name", PAGES)
def test_a_chapter_has_exercises_of_all_levels_from_easy_to_hard(name):
    levels = [LEVELS.index(exercise.level) for exercise in exercises(name)]
    assert set(levels) == {0, 1, 2} and levels == sorted(levels)


@pytest.mark.parametrize("name", PAGES)
def test_a_solution_answers_an_exercise_of_its_chapter(name):
    answered = re.findall(r"^`{3,}\{solution\} (\S+)", markdown(name), re.M)
    assert sorted(answered) == sorted(exercise.label for exercise in exercises(name))


def test_no_two_exercises_have_one_label():
    labels = Counter(exercise.label for _, exercise in EVERY)
    assert max(labels.values()) == 1
