"""What decides a chapter's numbers: followed from its notebook, with nothing left out."""

import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import spec_from_file_location

import nbformat
import pytest

import kvbook
from kvbook.chapters import inputs
from kvbook.chapters.inputs import (
    NOT_IMPORTED,
    RESOURCES,
    chapter_inputs,
    imported_files,
    inputs_key,
)
from kvbook.chapters.registry import CHAPTERS, get_chapter
from kvbook.files import write_whole
from kvbook.places import PACKAGE, REPOSITORY, place

BY_NAME = re.compile(r'import_module\(|__import__|runpy|(?<!\.)\b(exec|eval)\(|"-m"|\.py"')
NOT_OURS = {
    "chapters/assignment.py",  # nbgrader's settings
    "chapters/edition/templates.py",  # the text of sources
    "chapters/execute.py",  # a kernel
    "chapters/inputs.py",
    "chapters/lessons.py",  # the command line
    "commands/laws.py",  # a student's file
    "commands/gpu_grid.py",  # all sources, for their digest
    "lm/wheels.py",  # pip
    "profiling/memory.py",  # itself
    "tasks/embedded/completion.py",  # Python's library
    "tasks/needle.py",  # the text of sources, none of which it runs
}
"""What reaches code by name, but no other module of ours."""


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The package and a little data, to be changed."""
    without = shutil.ignore_patterns("__pycache__")
    package = shutil.copytree(PACKAGE, tmp_path / "kvbook", ignore=without)
    kept = ("data/results/kept.json", "data/results/profiling-gpu.json")
    for name in ("data/a.json", "data/README.md", *kept, "requirements.lock"):
        write_whole(tmp_path / name, "1")
    start = package / "__init__.py"
    spec = spec_from_file_location("kvbook", start, submodule_search_locations=[str(package)])
    monkeypatch.setattr(kvbook, "__spec__", spec)
    monkeypatch.setattr(inputs, "PACKAGE", package)
    monkeypatch.setattr(inputs, "REPOSITORY", tmp_path)
    monkeypatch.setenv("KVBOOK_DATA", str(tmp_path / "data"))
    forget()
    yield tmp_path
    forget()


def forget():
    inputs._graph.cache_clear()
    inputs._offered.cache_clear()


@pytest.fixture
def used(tmp_path, monkeypatch):
    """What of the package a notebook with this code uses."""
    monkeypatch.setenv("KVBOOK_NOTEBOOKS", str(tmp_path))

    def of(code):
        cells = [nbformat.v4.new_code_cell(code)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "status.ipynb")
        return package_files("status")

    return of


def package_files(chapter):
    return {
        name.removeprefix("package/")
        for name in chapter_inputs(get_chapter(chapter))
        if name.startswith("package/")
    }


def all_but_commands():
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    return {name for name in found if not name.startswith("commands/")}


@pytest.mark.parametrize(
    "file, chapter, counts",
    [
        ("data/a.json", "status", True),
        ("data/README.md", "status", False),  # no chapter reads it
        ("data/results/kept.json", "status", False),  # which a run may write
        ("data/results/profiling-gpu.json", "profiling", True),  # which no run writes
        ("data/results/profiling-gpu.json", "figure_1", True),
        ("data/results/profiling-gpu.json", "snapkv", False),
        ("requirements.lock", "status", True),
        ("kvbook/engine/attention.py", "snapkv", True),
        ("kvbook/methods/gemfilter.py", "snapkv", True),  # methods are asked for by name
        ("kvbook/methods/gemfilter.py", "status", True),  # the catalogue reads their sources
        ("kvbook/methods/__init__.py", "snapkv", True),
        ("kvbook/finetune/train.py", "snapkv", False),
        ("kvbook/finetune/train.py", "lora", True),
        ("kvbook/finetune/lora.yaml", "snapkv", False),
        ("kvbook/finetune/lora.yaml", "lora", True),
        ("kvbook/tasks/embedded/stories.py", "snapkv", False),  # what it wrote counts, in data/
        ("kvbook/show/__init__.py", "snapkv", True),
        ("kvbook/show/layers.py", "snapkv", True),  # it has `votes`
        ("kvbook/show/medical.py", "snapkv", False),
        ("kvbook/show/explorers/kept.js", "snapkv", True),
        ("kvbook/show/explorers/stepper.css", "h2o", True),
        ("kvbook/show/explorers/kept.js", "fullkv", False),
        ("kvbook/profiling/one_run.py", "profiling", True),  # within other processes
        ("kvbook/chapters/parameters.py", "evaluation", False),  # their values count
        ("kvbook/chapters/execute.py", "snapkv", True),  # the environment is set there
        ("kvbook/threads.py", "snapkv", True),  # and how its threads wait
        ("kvbook/chapters/page.py", "snapkv", False),
        ("kvbook/commands/run.py", "snapkv", False),
        ("kvbook/commands/run.py", "reproduce", False),
    ],
)
def test_the_key_is_of_what_the_chapter_uses(file, chapter, counts, copy):
    before = inputs_key(get_chapter(chapter), {})
    with (copy / file).open("a") as open_file:
        open_file.write("\n")
    assert (inputs_key(get_chapter(chapter), {}) != before) is counts


def test_of_the_data_all_counts_but_results_checks_and_the_words_about_it():
    data = {name for name in chapter_inputs(get_chapter("snapkv")) if name.startswith("data/")}
    assert {name.split("/")[1] for name in data} == {
        path.name for path in place("data").iterdir()
    } - {"results", "checks", "README.md"}


def test_the_key_is_of_the_notebook_and_the_parameters(used):
    used("1 + 1")
    first = inputs_key(get_chapter("status"), {"seed": 0})
    assert inputs_key(get_chapter("status"), {"seed": 0}) == first
    assert inputs_key(get_chapter("status"), {"seed": 1}) != first
    used("1 + 2")
    assert inputs_key(get_chapter("status"), {"seed": 0}) != first


def test_a_new_module_counts_when_something_followed_imports_it(copy):
    write_whole(copy / "kvbook/engine/new.py", "")
    assert "engine/new.py" not in package_files("snapkv")
    with (copy / "kvbook/engine/attention.py").open("a") as file:
        file.write("\ndef late():\n    from kvbook.engine.new import something\n")
    forget()
    assert "engine/new.py" in package_files("snapkv")


def test_a_module_that_takes_a_name_from_a_lazy_package_uses_all_that_it_offers(copy):
    with (copy / "kvbook/results.py").open("a") as file:
        file.write("\ndef late():\n    from kvbook.chat import Turn\n")
    assert "chat/chat.py" in package_files("introduction")


@pytest.mark.parametrize(
    "code",
    [
        "from kvbook import show\nshow.votes()",
        "from kvbook import show as pictures\nprint(f'{pictures.votes}')",
        "from kvbook.show import votes as v",
        "def late():\n    from kvbook.show.layers import votes",
    ],
)
def test_of_a_lazy_package_only_the_modules_count_whose_names_are_used(code, used):
    found = used(code)
    assert {"__init__.py", "show/__init__.py", "show/layers.py", "show/style.py"} <= found
    assert not found & {"show/medical.py", "finetune/config.py", "chat/chat.py"}


@pytest.mark.parametrize(
    "code",
    [
        "from kvbook import show\ngetattr(show, 'votes')",
        "from kvbook import show\nshow.votes()\npictures = show",
        "from kvbook import show\nshow.no_such_name",
    ],
)
def test_a_lazy_package_that_is_handed_on_counts_as_a_whole(code, used):
    assert {"show/layers.py", "show/medical.py", "show/explorers/kept.js"} <= used(code)


@pytest.mark.parametrize(
    "code",
    [
        "import kvbook.stats",
        "from kvbook.stats import *",
        "%time 1 + 1",
        "from importlib import import_module\nimport_module('kvbook.stats')",
        "name = 'one'\n__import__(f'kvbook.{name}')",
    ],
)
def test_what_cannot_be_followed_uses_the_whole_package_but_for_the_commands(code, used):
    assert all_but_commands() <= used(code)
    assert not any(name.startswith("commands/") for name in used(code))


def test_a_damaged_notebook_uses_the_whole_package(used, tmp_path):
    used("1")
    (tmp_path / "status.ipynb").write_text("{")
    assert all_but_commands() <= package_files("status")


@pytest.mark.parametrize("code", ["from kvbook.no_room import one", "from kvbook import no_name"])
def test_what_is_not_there_is_left_to_the_cell_that_asks_for_it(code, used):
    always = {"__init__.py", "chapters/__init__.py", "chapters/execute.py", "threads.py"}
    assert used(code) <= always


def test_pages_are_made_by_what_the_extensions_import():
    made_by = {
        path.relative_to(PACKAGE).as_posix()
        for path in imported_files(*place("book").glob("_ext/*.py"))
    }
    asked = {"chapters/edition/words.py", "chapters/lessons.py", "show/explorers/stepper.js"}
    assert asked <= made_by and not {"finetune/train.py", "show/medical.py"} & made_by


def test_every_module_that_reaches_others_by_name_is_known():
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if BY_NAME.search(path.read_text(encoding="utf-8"))
    }
    known = {inputs._file(module).relative_to(PACKAGE).as_posix() for module in NOT_IMPORTED}
    assert found == known | NOT_OURS


def test_every_resource_lies_beside_a_module_and_is_known_by_its_suffix():
    for path in (one for one in PACKAGE.rglob("*") if one.is_file()):
        if path.suffix not in (".py", ".pyc", ".lock"):  # a lock is of an environment beside ours
            assert path.suffix in RESOURCES and (path.parent / "__init__.py").is_file(), path


def test_snakemake_executes_the_chapters_that_use_what_was_edited(tmp_path):
    without = shutil.ignore_patterns("__pycache__", "_build", ".*")
    for name in ("src", "notebooks", "data", "book"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=without)
    for name in ("requirements.lock", "CITATION.cff"):
        shutil.copy(REPOSITORY / name, tmp_path)
    for name in CHAPTERS:
        write_whole(tmp_path / f"book/_build/smoke/runs/{name}.ipynb", "")
        write_whole(tmp_path / f"book/_build/smoke/runs/results/{name}.json", "")
    edited = tmp_path / "src/kvbook/finetune/train.py"
    later = time.time() + 1000
    os.utime(edited, (later, later))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--rerun-triggers", "mtime"]
    command += ["--snakefile", str(tmp_path / "notebooks/Snakefile"), "--config", "profile=smoke"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    executed = set(re.findall(r"chapter=(\w+)", done.stdout))
    waiting = {name for name in CHAPTERS if executed & set(CHAPTERS[name].after)}
    assert executed == waiting | {
        name for name in CHAPTERS if "finetune/train.py" in package_files(name)
    }
    assert "lora" in executed and "snapkv" not in executed
