"""Who imports whom in src: the contracts in pyproject.toml hold, and would be seen broken."""

import graphlib
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from kvbook.places import PACKAGE, REPOSITORY


def lint(source):
    """import-linter's words about the package in a folder."""
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-cache", "--no-logo", REPOSITORY / "pyproject.toml"],
        env={"PYTHONPATH": str(source), "NO_COLOR": "1"},
        cwd=source,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copy(tmp_path):
    """The package's modules, to be changed."""
    shutil.copytree(PACKAGE, tmp_path / "kvbook", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_nobody_imports_upwards_or_in_a_circle():
    said = lint(PACKAGE.parent)
    assert said.returncode == 0, said.stdout


def add(copy, module, line):
    with (copy / "kvbook" / f"{module}.py").open("a") as file:
        file.write(f"\n{line}\n")


@pytest.mark.parametrize(
    "module, line, rule",
    [
        ("stats", "import kvbook.results", "Nobody imports upwards"),
        ("methods/h2o", "def late():\n    from kvbook.chat import Chat", "Nobody imports upwards"),
        ("new_room", "", "Nobody imports upwards"),
        ("engine/cache", "import kvbook.engine.attach", "No circle, of rooms or of modules"),
        (
            "engine/cache",
            "from kvbook import create_method",
            "Nobody within comes in by the front door",
        ),
    ],
)
def test_an_import_that_breaks_a_rule_is_found(copy, module, line, rule):
    add(copy, module, line)
    said = lint(copy)
    assert said.returncode == 1
    assert f"{rule} BROKEN" in said.stdout


def test_rooms_of_one_floor_may_use_each_other(copy):
    add(copy, "results", "import kvbook.lm.hub")
    assert lint(copy).returncode == 0


def test_no_module_needs_itself():
    """Modules one by one, a room's own `__init__` among them, which import-linter leaves out."""
    graph = grimp.build_graph("kvbook", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    graphlib.TopologicalSorter(imports).prepare()
