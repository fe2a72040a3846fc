"""What pyproject.toml declares is what is imported: deptry finds what is missing and what is idle."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kvbook.places import REPOSITORY

SCANNED = [REPOSITORY / "src", REPOSITORY / "notebooks", REPOSITORY / "book/_ext"]
PYPROJECT = REPOSITORY / "pyproject.toml"
LOCK = REPOSITORY / "requirements.lock"


def deptry(settings, *folders):
    """What deptry has to say of the modules and notebooks in some folders."""
    command = Path(sys.executable).with_name("deptry")
    return subprocess.run(
        [command, "--no-ansi", "--config", settings, *folders],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )


def test_each_import_is_declared_and_each_declared_package_imported(tmp_path):
    for number, file in enumerate((REPOSITORY / "notebooks").rglob("Snakefile")):
        imported = re.findall(r"^ *(?:import|from) (\w+)", file.read_text("utf-8"), re.MULTILINE)
        lines = "\n".join(f"import {module}" for module in imported)  # deptry reads no Snakefiles
        (tmp_path / f"snakefile_{number}.py").write_text(lines)
    said = deptry(PYPROJECT, *SCANNED, tmp_path)
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    "before, after, found",
    [
        ('    "pyyaml",\n', "", "DEP003 'yaml'"),
        ('    "pyyaml",\n', '    "pyyaml",\n    "pytz",\n', "DEP002 'pytz'"),
    ],
)
def test_a_package_that_is_not_declared_or_not_imported_is_found(tmp_path, before, after, found):
    text = PYPROJECT.read_text("utf-8")
    assert before in text
    (tmp_path / "pyproject.toml").write_text(text.replace(before, after), "utf-8")
    said = deptry(tmp_path / "pyproject.toml", *SCANNED)
    assert said.returncode == 1
    assert found in said.stderr


def test_each_declared_package_has_its_version_in_the_lock():
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    locked = re.findall(r"^([\w.-]+)==", LOCK.read_text("utf-8"), re.MULTILINE)

    def canonical(requirement):
        return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()

    assert {canonical(one) for one in declared} <= {canonical(name) for name in locked}
