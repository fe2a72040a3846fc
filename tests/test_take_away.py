"""Notebooks that leave the book: clean, and able to begin where there is no kvbook."""

import builtins

import nbformat
import pytest
import yaml
from extensions import extension
from IPython.core.inputtransformer2 import TransformerManager

from kvbook.chapters.edition.blocks import Block, write_blocks
from kvbook.chapters.registry import CHAPTERS, get_chapter
from kvbook.places import REPOSITORY, place

CONFIG = yaml.safe_load((place("book") / "_config.yml").read_text(encoding="utf-8"))
OPTIONS = CONFIG["sphinx"]["config"]["html_theme_options"]
URL = OPTIONS["repository_url"]
take_away = extension("take_away").take_away


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_notebook_to_take_away_is_the_kept_one_behind_a_first_cell(name):
    taken = nbformat.reads(take_away(name, URL), as_version=4)
    nbformat.validate(taken)
    kept = nbformat.read(get_chapter(name).notebook, as_version=4)
    assert taken.cells[1:] == kept.cells
    assert not any(cell.get("outputs") for cell in taken.cells)


def test_a_notebook_of_the_chinese_edition_has_its_prose_and_the_same_code(tmp_path, monkeypatch):
    kept = nbformat.read(get_chapter("snapkv").notebook, as_version=4)
    first = next(cell.id for cell in kept.cells if cell.cell_type == "markdown")
    (tmp_path / "zh").mkdir()
    write_blocks(tmp_path / "zh/snapkv.md", {first: Block("", "# 由问题来投票")})
    monkeypatch.setenv("KVBOOK_BOOK", str(tmp_path))
    taken = nbformat.reads(take_away("snapkv", URL, "zh_CN"), as_version=4)
    sources = {cell.id: cell.source for cell in taken.cells[1:]}
    assert sources == {cell.id: cell.source for cell in kept.cells} | {first: "# 由问题来投票"}
    assert not any(cell.get("outputs") for cell in taken.cells)


@pytest.mark.parametrize("there", [True, False])
def test_the_first_cell_installs_only_where_kvbook_is_not(there, monkeypatch):
    cell = nbformat.reads(take_away("snapkv", URL), as_version=4).cells[0]
    code, ran = TransformerManager().transform_cell(cell.source), []

    class Shell:
        def run_line_magic(self, *words):
            ran.append(" ".join(words))

    def import_(name, *rest):
        if name == "kvbook" and not there:
            raise ImportError(name)
        return original(name, *rest)

    original = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", import_)
    exec(code, {"get_ipython": Shell})
    assert ran == ([] if there else [f"pip install --quiet git+{URL}"])


@pytest.mark.parametrize("name", CHAPTERS)
def test_what_the_rocket_opens_is_in_the_repository(name):
    folder = OPTIONS["path_to_docs"]
    assert (REPOSITORY / folder / f"{name}.ipynb").samefile(get_chapter(name).notebook)


def test_the_repositorys_address_stands_in_one_place():
    home = URL.removeprefix("https://")
    files = [
        path for part in ("book", "notebooks", "src") for path in (REPOSITORY / part).rglob("*")
    ]
    files += list(REPOSITORY.glob("*.*"))
    saying = [
        path.name
        for path in files
        if path.suffix in (".md", ".py", ".ipynb", ".yml", ".toml", ".cff", ".html")
        and "_build" not in path.parts
        and home in path.read_text(encoding="utf-8")
    ]
    assert saying == ["_config.yml"]
