"""One book, one citation: the file that machines read, the page that people read, and the package."""

import json
import re

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


def test_the_newest_entry_of_the_changelog_is_this_version():
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+), (\S+)$", text, re.MULTILINE)[0] == (
        kvbook.__version__,
        str(CITED["date-released"]),
    )


def test_zenodo_is_told_the_same():
    """It takes its file, and not the citation's, whose two licences it cannot read."""
    told = json.loads((REPOSITORY / ".zenodo.json").read_text(encoding="utf-8"))
    assert told["title"] == CITED["title"] and told["creators"] == CITED["authors"]
    assert told["keywords"] == CITED["keywords"] and told["license"] in CITED["license"]


def test_the_address_of_the_repository_stands_in_one_place():
    config = yaml.safe_load((place("book") / "_config.yml").read_text(encoding="utf-8"))
    address = config["sphinx"]["config"]["html_theme_options"]["repository_url"]
    texts = {
        path: path.read_text(encoding="utf-8", errors="replace")
        for path in REPOSITORY.rglob("*")
        if path.suffix in {".md", ".yml", ".toml", ".py", ".cff", ".json", ".ipynb"}
        and not {"_build", ".git"} & set(path.parts)
        and not any(part.startswith(".venv") for part in path.parts)
    }
    named = [path.name for path, text in texts.items() if address.split("//")[1] in text]
    assert named == ["_config.yml"]


def test_the_title_is_the_books():
    config = yaml.safe_load((place("book") / "_config.yml").read_text(encoding="utf-8"))
    assert CITED["title"] == config["title"] and config["author"] == CITED["authors"][0]["name"]
