"""What the built pages carry of others has a line on the page of licences."""

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from kvbook.chapters.edition.assemble import merge
from kvbook.chapters.slides.export import reveal_files
from kvbook.places import place
from kvbook.show import PLOTLY

PAGE = (place("book") / "licences.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!what|---)(.+?) \| (`.+`) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
NAMED = [files for _, cell, *_ in ROWS for files in re.findall(r"`([^`]+)`", cell)]
LIBRARIES = {".js", ".css", ".map", ".woff", ".woff2", ".ttf", ".svg", ".png", ".txt"}
OF_THE_BOOK = {
    "searchindex.js",
    "_sources/*",
    "_images/*",
    *("_static/" + name for name in ("custom.css", "print.css", "kv-cache.svg", "screenshot.png")),
}


def without_a_line(html: Path) -> list[str]:
    """The files of other people in a folder of pages that the page of licences does not name."""
    files = {
        path.relative_to(html).as_posix().removeprefix("zh/")
        for path in html.rglob("*")
        if path.suffix in LIBRARIES
    }
    known = [*NAMED, *OF_THE_BOOK]
    return [name for name in sorted(files) if not any(fnmatch(name, one) for one in known)]


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """One page of each edition, with the book's own settings and extensions, and so all that it loads."""
    source = tmp_path_factory.mktemp("book")
    for folder in ("_ext", "_static", "_templates"):
        shutil.copytree(place("book") / folder, source / folder)
    for name in ("_config.yml", "references.bib"):
        shutil.copy(place("book") / name, source)
    (source / "_vendor").mkdir()
    (source / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    (source / "index.md").write_text("# A page\n\n$x$ and some `code`\n")
    made = build(source)
    settings = source / "_config.yml"
    chinese = [
        yaml.safe_load(one.read_text("utf-8"))
        for one in (settings, place("book") / "zh/_config.yml")
    ]
    settings.write_text(yaml.safe_dump(merge(*chinese)), "utf-8")
    shutil.move(made, made.with_name("english"))
    shutil.move(build(source), made.with_name("english") / "zh")
    return made.with_name("english")


def build(source):
    """The folder of the built pages."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", "--all", "--quiet", source]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return source / "_build" / "html"


def test_each_file_of_others_has_a_line(html):
    assert (html / "_static" / "scripts").is_dir()
    assert without_a_line(html) == []


def test_each_line_is_of_something_that_is_carried(html):
    files = [path.relative_to(html).as_posix().removeprefix("zh/") for path in html.rglob("*")]
    files += ["mathjax/tex-svg.js", "plotly/plotly.min.js"]  # the Snakefile lays them in
    files += [f"reveal/{path.name}" for path in reveal_files()]
    assert [one for one in NAMED if not any(fnmatch(name, one) for name in files)] == []


def test_a_library_without_a_line_is_found(html, tmp_path):
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "jquery.js").write_text("")
    assert without_a_line(tmp_path) == ["_static/jquery.js"]


def test_what_the_snakefile_lays_beside_the_pages_has_a_line():
    text = (place("notebooks") / "Snakefile").read_text("utf-8")
    laid = re.findall(r'"_vendor" / "(\w+)"', text)
    laid = {*laid, PLOTLY.split("/")[0]} - {"results"}
    assert laid and all(any(fnmatch(f"{name}/x.js", one) for one in NAMED) for name in laid)


def test_the_page_is_in_the_book_and_each_line_has_a_licence():
    toc = yaml.safe_load((place("book") / "_toc.yml").read_text("utf-8"))
    assert {"file": "licences"} in toc["parts"][-1]["chapters"]
    assert len(ROWS) > 15 and all(licence and owner for *_, licence, owner in ROWS)
