"""Every link, reference and citation of the book has a target: said in a second, without building it."""

import re
from pathlib import Path

import pytest
from pages import cells, pages, without_code

from kvbook.chapters.registry import CHAPTERS
from kvbook.places import REPOSITORY, place

PAGES = pages()
BOOK = place("book")
LABEL = re.compile(r"^\(([\w-]+)\)=$|^:label: (\S+)$|^\$\$ \(([\w-]+)\)$|^:name: (\S+)$", re.M)
ROLE = re.compile(r"\{(ref|numref|eq|doc|prf:ref|term|cite(?::\w+)?)\}`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)|^```\{(?:figure|image)\} (\S+)", re.M)

LABELS = [
    label for text in PAGES.values() for found in LABEL.findall(text) for label in found if label
]
CITABLE = set(
    re.findall(r"^@\w+\{([^,\s]+),", (BOOK / "references.bib").read_text(encoding="utf-8"), re.M)
)
TERMS = set(re.findall(r"^(\S.*)$", PAGES["glossary.md"].split("```{glossary}")[1], re.M))


def links(text):
    """Where the markdown of a text leads, without what stands in code."""
    return [
        one or picture
        for one, picture in LINK.findall(re.sub(r"`[^`\n]+`", "", without_code(text)))
    ]


def is_there(target):
    """A page, a label, a place within a page, or a file of the book."""
    page, _, place_in_it = target.partition("#")
    if not page:
        return place_in_it in LABELS
    return page in PAGES or page in LABELS or (BOOK / page).is_file()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    missing = [one for one in links(PAGES[page]) if "//" not in one and not is_there(one)]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_references_and_citations_have_a_target(page):
    known = {"cite": CITABLE, "term": TERMS, "doc": {Path(one).stem for one in PAGES}}
    missing = []
    for role, text in ROLE.findall(PAGES[page]):
        target = re.sub(r"^.*<(.*)>$", r"\1", text)
        targets = target.split(",") if role.startswith("cite") else [target]
        missing += [
            one for one in targets if one.strip() not in known.get(role.split(":")[0], LABELS)
        ]
    assert not missing


@pytest.mark.parametrize("name", CHAPTERS)
def test_what_a_cell_writes_links_to_a_page(name):
    """Links in a chapter's code, where markdown is put together with numbers."""
    code = "".join(cell["source"] for cell in cells(name, "code"))
    missing = [
        one for one in re.findall(r"\]\(([\w.-]+\.(?:ipynb|md))\)", code) if one not in PAGES
    ]
    assert not missing


NAMED = {Path(page).stem.replace("_", " "): page for page in PAGES} | {
    re.match(r"# ([^:(\n]*)", text)[1].strip().lower(): page
    for page, text in PAGES.items()
    if text.startswith("# ")
}
"""What a page is called: its file, and its title up to a colon or a bracket."""


def elsewhere(text):
    """Links whose words name one page, and which lead to another."""
    for words, target in re.findall(r"\[([^\]\n]+)\]\(([^)\s]+)\)", without_code(text)):
        page = target.partition("#")[0]
        if page in PAGES and NAMED.get(words.lower().removeprefix("the "), page) != page:
            yield words, page


@pytest.mark.parametrize("page", PAGES)
def test_a_link_that_names_a_page_leads_to_it(page):
    assert not list(elsewhere(PAGES[page]))


def test_a_link_to_another_page_than_it_names_is_noticed():
    assert NAMED["evaluation"] == NAMED["task evaluation"] == "evaluation.ipynb"
    text = "[evaluation](families.ipynb), [Task evaluation](evaluation.ipynb#a), [why](h2o.ipynb)"
    assert list(elsewhere(text)) == [("evaluation", "families.ipynb")]


def test_no_two_places_have_one_name():
    assert len(LABELS) == len(set(LABELS))


def test_every_cited_work_is_in_the_bibliography_once():
    keys = re.findall(
        r"^@\w+\{([^,\s]+),", (BOOK / "references.bib").read_text(encoding="utf-8"), re.M
    )
    assert len(keys) == len(set(keys))


def test_every_page_is_in_the_table_of_contents():
    files = re.findall(r"(?:file|root): (\S+)", (BOOK / "_toc.yml").read_text(encoding="utf-8"))
    assert sorted(files) == sorted(Path(page).stem for page in PAGES)


@pytest.mark.parametrize("path", ["README.md", "data/README.md", "notebooks/grid/README.md"])
def test_links_of_a_readme_lead_to_files(path):
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    missing = [
        one
        for one in links(text)
        if "//" not in one and not ((REPOSITORY / path).parent / one).exists()
    ]
    assert not missing
