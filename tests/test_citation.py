"""One book, one citation: the file that machines read, the page that people read, and the package."""

import yaml

import kvbook
from kvbook.places import REPOSITORY, place

CITED = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
PAGE = (place("book") / "index.md").read_text(encoding="utf-8")


def test_the_page_cites_what_the_file_says():
    [author] = CITED["authors"]
    for key, value in {
        "title  ": CITED["title"],
        "author ": f"{{{author['name']}}}",
        "version": CITED["version"],
        "year   ": str(CITED["date-released"].year),
    }.items():
        assert f"  {key} = {{{value}}},\n" in PAGE


def test_the_version_is_the_packages():
    assert CITED["version"] == kvbook.__version__


def test_the_title_is_the_books():
    config = yaml.safe_load((place("book") / "_config.yml").read_text(encoding="utf-8"))
    assert CITED["title"] == config["title"] and config["author"] == CITED["authors"][0]["name"]
