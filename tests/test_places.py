"""What a process of another Python inherits."""

import os

from kvbook.places import REPOSITORY, environment_of_another_python, python_of


def test_another_python_gets_neither_our_packages_nor_a_notebooks_way_to_draw(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = environment_of_another_python()
    assert found.keys() & {"PYTHONPATH", "MPLBACKEND", "HF_HUB_OFFLINE"} == {"HF_HUB_OFFLINE"}
    assert os.environ["PYTHONPATH"] == "/ours"


def test_an_environment_beside_the_books_is_where_make_py_lays_it(monkeypatch):
    assert python_of("kvpress") == REPOSITORY / ".venv-kvpress" / "bin" / "python"
    monkeypatch.setattr(os, "name", "nt")
    assert python_of("kvpress").as_posix().endswith(".venv-kvpress/Scripts/python.exe")
