"""What an answer in code has to give, and how it is checked: `data/checks/<chapter>.yaml`."""

from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kvbook.chapters.exercises import Exercise, exercises
from kvbook.chapters.registry import CHAPTERS
from kvbook.errors import ParameterError
from kvbook.places import place
from kvbook.texts import read_text

Code = Annotated[str, Field(min_length=1)]


class Check(BaseModel):
    """How an exercise's code is checked.

    Attributes
    ----------
    give : str
        The names that an answer has to define, in words for the student.
    answer : str
        Code behind the book's solution that defines the names of ``give``; empty where the solution
        defines them itself, as most do.
    visible, hidden : str
        Checks that the student sees, and those that only the teacher has; code that fails for a
        wrong answer. They hold in every profile, and show nothing.
    wrong : str
        An answer with a mistake that somebody could make, which the checks have to find.
    words : str
        What else is asked, to be answered in words and marked by hand; nothing if empty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    give: Code
    answer: str = ""
    visible: Code
    hidden: Code
    wrong: Code
    words: str = ""


def read_checks(chapter: str) -> dict[str, Check]:
    """The checks of a chapter by the label of the exercise; none where there is no file.

    Raises
    ------
    ParameterError
        The file is damaged, or checks something that is no exercise with code.
    """
    path = place("data") / "checks" / f"{chapter}.yaml"
    if not path.is_file():
        return {}
    try:
        given = yaml.safe_load(read_text(path)) or {}
        checks = TypeAdapter(dict[str, Check]).validate_python(given)
    except (yaml.YAMLError, ValidationError) as error:
        raise ParameterError(f"{path} cannot be used: {error}") from None
    labels = {one.label for one in exercises(chapter) if one.code}
    if unknown := sorted(checks.keys() - labels):
        raise ParameterError(f"{path}: {chapter} has no exercise in code {', '.join(unknown)}")
    return checks


def unchecked(chapter: str) -> list[Exercise]:
    """The exercises of a chapter whose code nothing checks."""
    checks = read_checks(chapter)
    return [one for one in exercises(chapter) if one.code and one.label not in checks]


def checked_chapters() -> list[str]:
    """The chapters that have exercises, with every one in code checked."""
    return [name for name in CHAPTERS if exercises(name) and not unchecked(name)]
