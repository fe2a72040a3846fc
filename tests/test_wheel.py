"""The wheel: all that a chapter needs is in it, outside of any clone and without a network."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from kvbook.places import REPOSITORY

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
NO_NETWORK = """
import sys

def refuse(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host not in (None, "", "localhost", "127.0.0.1", "::1"):
        with open({log!r}, "a") as log:
            print(event, host, file=log)
        raise OSError(f"no network: {{host}}")

sys.addaudithook(refuse)
"""
"""A ``sitecustomize`` for each process of a run: it may only talk to its own machine."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy: setuptools leaves its work in the folder that it builds from."""
    source, made = tmp_path_factory.mktemp("source") / "kvbook", tmp_path_factory.mktemp("made")
    without = shutil.ignore_patterns(".*", "_build", "build", "kvbook-runs", "*.egg-info", "tests")
    shutil.copytree(REPOSITORY, source, ignore=without)
    build = [*PIP, "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", made, source]
    subprocess.run(build, check=True)
    [wheel] = made.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def kvbook(wheel, tmp_path_factory):
    """The command of the installed wheel, in an empty folder and without a network."""
    site, here = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("here")
    install = [*PIP, "install", "--no-index", "--no-deps", "--no-compile", "--target", site, wheel]
    subprocess.run(install, check=True)
    (site / "sitecustomize.py").write_text(NO_NETWORK.format(log=str(here / "network")))
    ours = {name: value for name, value in os.environ.items() if not name.startswith("KVBOOK_")}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "kvbook.commands.cli", *arguments],
            env=ours | {"PYTHONPATH": str(site)},
            cwd=here,
            capture_output=True,
            text=True,
        )

    run.here, run.site = here, site
    return run


def test_a_wheel_has_the_notebooks_and_data_of_the_clone(wheel):
    files = [*REPOSITORY.glob("notebooks/*.ipynb"), *REPOSITORY.glob("data/**/[!.]*")]
    files += [REPOSITORY / "book/_static/custom.css", *REPOSITORY.glob("book/zh/*.md")]
    files += [REPOSITORY / "book/zh/words.json"]
    wanted = {path.relative_to(REPOSITORY).as_posix() for path in files if path.is_file()}
    inside = zipfile.ZipFile(wheel).namelist()
    prefix = "kvbook/_book/"
    assert {name.removeprefix(prefix) for name in inside if name.startswith(prefix)} == wanted


def test_a_wheel_has_every_module(wheel):
    modules = (REPOSITORY / "src").rglob("*.py")
    wanted = {path.relative_to(REPOSITORY / "src").as_posix() for path in modules}
    inside = zipfile.ZipFile(wheel).namelist()
    assert {name for name in inside if name.endswith(".py")} == wanted


def test_a_wheel_is_small(wheel):
    assert wheel.stat().st_size < 2_000_000


def test_a_chapter_runs_from_the_wheel_without_a_network(kvbook):
    ran = kvbook("run", "introduction", "--profile", "smoke", "-p", "contexts=[64, 128]")
    assert ran.returncode == 0, ran.stderr
    runs = kvbook.here / "kvbook-runs" / "introduction"
    saved = json.loads((runs / "results" / "introduction.json").read_text())
    assert saved["provenance"]["parameters"]["contexts"] == [64, 128]
    assert saved["provenance"]["commit"] is None  # whatever repository this folder may be in
    style = REPOSITORY / "book" / "_static" / "custom.css"
    assert style.read_text(encoding="utf-8") in (runs / "introduction.html").read_text("utf-8")
    assert not (kvbook.here / "network").exists()


def test_the_book_is_refused_without_a_clone(kvbook):
    asked = kvbook("book")
    assert asked.returncode == 2
    assert "needs a clone" in asked.stderr and str(kvbook.site) in asked.stderr
