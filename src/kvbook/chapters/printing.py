"""The book on paper: Sphinx's single page as a page for the printer, and the printer, which is
Chromium."""

import io
import json
import re
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from bs4 import BeautifulSoup
from bs4.element import Tag
from jinja2 import Environment, StrictUndefined

from kvbook import results
from kvbook.chapters.browser import find_chromium
from kvbook.chapters.radicals import without_radicals
from kvbook.errors import BrowserError
from kvbook.files import write_whole

PAGE = {"width": 658, "height": 963}
"""An A4 page without the margins of ``print.css``, in CSS pixels: pictures draw themselves for it."""


def title_facts(settings: Mapping, citation: Path, files: Sequence[Path]) -> dict[str, Any]:
    """What the title page says: of the edition, of ``CITATION.cff``, and of the runs behind the numbers.

    Parameters
    ----------
    settings : mapping
        The edition's ``_config.yml``.
    citation : Path
        ``CITATION.cff``.
    files : sequence of Path
        The chapters' results, all of one profile.
    """
    cited = yaml.safe_load(citation.read_text(encoding="utf-8"))
    ran = [results.load(path.stem, path.parent).provenance for path in files]
    days = sorted({datetime.fromisoformat(one.started).date() for one in ran})
    return {
        "language": settings["sphinx"]["config"]["language"].replace("_", "-"),
        "title": settings["title"],
        "author": settings["author"],
        "version": cited["version"],
        "keywords": cited["keywords"],
        "days": list(dict.fromkeys((days[0], days[-1]))),
        "profile": ran[0].profile,
        "models": sorted({one.model for one in ran}),
    }


def make_print_page(single: str, toc: Mapping, front: str, facts: Mapping) -> str:
    """The page for the printer: title page, contents, and a section a chapter.

    Parameters
    ----------
    single : str
        ``index.html`` of Sphinx's builder ``singlehtml``.
    toc : mapping
        ``_toc.yml``, whose parts Sphinx leaves out of that page.
    front : str
        The title page and the contents, as a template; it gets ``facts`` and ``parts``.
    facts : mapping
        Of `title_facts`.
    """
    soup = BeautifulSoup(single, "lxml")
    book = soup.find("article")
    unwanted = ".headerlink, noscript, script[type='text/x-thebe-config'], [role='doc-backlink']"
    for one in book.select(unwanted):
        one.decompose()
    for link in book.select("a[href^='index.html#']"):
        link["href"] = link["href"].removeprefix("index.html")
    for link in book.select(".cell_output a[href]"):  # of tables, which Sphinx lets pass
        page, _, place = link["href"].partition("#")
        if page.endswith(".html"):
            link["href"] = f"#{place or 'document-' + page.removesuffix('.html')}"
        elif page and "://" not in page:
            link.unwrap()  # a file, which is not on paper
    for link in book.select("a.image-reference"):  # to the picture's file
        link.unwrap()
    for details in book.find_all("details"):
        details["open"] = ""

    opening = book.find("section")
    chapters = {toc["root"]: opening}
    for mark in book.select("span[id^='document-']"):
        section = mark.find_next_sibling("section")
        for heading in section.find_all(re.compile("^h[2-6]$")):
            heading.name = f"h{int(heading.name[1]) - 1}"
        chapters[mark["id"].removeprefix("document-")] = section
        section.insert(0, mark.extract())
    opening.insert(0, soup.new_tag("span", id=f"document-{toc['root']}"))
    for section in chapters.values():
        section.extract()
    for name, section in chapters.items():
        _finish(name, section)

    parts = [{"caption": "", "chapters": [toc["root"]]}]
    for part in toc["parts"]:
        names = [chapter["file"] for chapter in part["chapters"]]
        parts.append({"caption": part["caption"], "chapters": names})
        for name in names:
            above = soup.new_tag("p", attrs={"class": "kv-part"})
            above.string = part["caption"]
            chapters[name].insert(0, above)
    titles = {name: section.h1.get_text() for name, section in chapters.items()}
    page = BeautifulSoup("<!DOCTYPE html><html data-theme='light'></html>", "lxml")
    page.html["lang"] = facts["language"]
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    words = environment.from_string(front).render(facts, parts=parts, titles=titles)
    page.html.append(_head(soup, facts, titles))
    body = page.new_tag("body", attrs={"class": "kv-print"})
    page.html.append(body)
    body.extend(list(BeautifulSoup(words, "html.parser").contents))
    body.extend(list(chapters.values()))
    return str(page)


def _finish(name: str, section: Tag) -> None:
    """A chapter's identifiers made its own, but for those that a link may mean."""
    for other in section.select("div.toctree-wrapper"):
        other.decompose()
    section["class"] = [*section.get("class", []), "kv-chapter"]
    section["style"] = f"page: {name}"
    for one in section.find_all("section", id=True):
        one["id"] = f"{name}-{one['id']}"


def _head(soup: BeautifulSoup, facts: Mapping, titles: Mapping[str, str]) -> Tag:
    """Styles and MathJax as they were; no script of the site's."""
    head = soup.new_tag("head")
    head.append(soup.new_tag("meta", charset="utf-8"))
    title = soup.new_tag("title")
    title.string = facts["title"]
    head.append(title)
    for one in soup.head.find_all("link", rel="stylesheet"):
        head.append(one.extract())
    for one in soup.find_all("script"):
        if "mathjax" in one.get("src", "") or (one.string or "").startswith("window.MathJax"):
            head.append(one.extract())
    over = soup.new_tag("style")  # the chapter's title stands over its pages
    over.string = "\n".join(
        f"@page {name} {{ @top-right {{ content: {json.dumps(title, ensure_ascii=False)}; }} }}"
        for name, title in titles.items()
    )
    head.append(over)
    return head


def print_page(page: Path, facts: Mapping) -> bytes:
    """The page as PDF, with the page numbers of the contents.

    Raises
    ------
    BrowserError
        There is no browser, a script of the page failed, or something that it needs is missing.
    """
    with ThreadPoolExecutor(1) as apart:  # the browser's client refuses a thread with a loop
        return _finish_pdf(apart.submit(_print, page, find_chromium()).result(), facts)


def _print(page: Path, browser: str):
    """Print twice: Chromium cannot write the number of another page, so what the first print
    says of its places is written into the second."""
    from playwright.sync_api import Error, sync_playwright
    from pypdf import PdfReader

    problems = []
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=browser)
            tab = chromium.new_page(viewport=PAGE, color_scheme="light")
            tab.set_default_timeout(300_000)
            tab.emulate_media(media="print")
            tab.on("pageerror", lambda error: problems.append(str(error)))
            tab.on("requestfailed", lambda request: problems.append(f"cannot load {request.url}"))
            tab.goto(page.resolve().as_uri())
            tab.evaluate("MathJax.startup.promise.then(() => document.fonts.ready)")
            asked, places = set(tab.evaluate(ASKED)), dict[str, int]()
            for _ in range(4):
                pdf = tab.pdf(
                    prefer_css_page_size=True, print_background=True, outline=True, tagged=True
                )
                reader = PdfReader(io.BytesIO(pdf))
                before, places = places, _places(reader, asked)
                if places == before:
                    break
                tab.evaluate(WRITE_NUMBERS, places)
            else:
                problems.append("its page numbers do not settle")
            chromium.close()
        except Error as error:
            raise BrowserError(f"{browser} could not print {page}: {error.message}") from None
    if problems:
        raise BrowserError(f"{page} does not work in {browser}: {'; '.join(problems[:5])}")
    return reader


ASKED = """() =>
  [...document.querySelectorAll(".kv-page")].map(number => number.closest("a").hash.slice(1))"""
"""Whose page numbers are written. Another place, right at the end of a page, may be on one page in one
print and on the next page in another."""
WRITE_NUMBERS = """places => {
  for (const number of document.querySelectorAll(".kv-page"))
    number.textContent = places[number.closest("a").hash.slice(1)];
}"""


def _places(reader, asked: Container[str]) -> dict[str, int]:
    """The pages of places that a link goes to, of those that are asked for; counted from 1."""
    return {
        name.removeprefix("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
        if name.removeprefix("/") in asked
    }


def _finish_pdf(reader, facts: Mapping) -> bytes:
    """Its language, who wrote it, and Chinese that can be searched for."""
    from pypdf import PdfWriter
    from pypdf.generic import DictionaryObject, NameObject, StreamObject, TextStringObject

    writer = PdfWriter(reader, full=True)
    writer.root_object[NameObject("/Lang")] = TextStringObject(facts["language"])
    writer.add_metadata(
        {
            "/Title": facts["title"],
            "/Author": facts["author"],
            "/Keywords": ", ".join(facts["keywords"]),
        }
    )
    for number in range(1, reader.trailer["/Size"]):
        one = writer.get_object(number)
        if isinstance(one, DictionaryObject) and "/ToUnicode" in one:
            table = one["/ToUnicode"]
            if isinstance(table, StreamObject):  # it may also be the name of a known table
                table.set_data(without_radicals(table.get_data()))
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def print_book(source: Path, single: Path, files: Sequence[Path], citation: Path) -> bytes:
    """An edition of the book as PDF.

    Parameters
    ----------
    source : Path
        The edition's source, which Sphinx built from.
    single : Path
        The folder of its builder ``singlehtml``; the page for the printer is left in it.
    files : sequence of Path
        The chapters' results.
    citation : Path
        ``CITATION.cff``.

    Raises
    ------
    BrowserError
        As `print_page`.
    """
    settings = yaml.safe_load((source / "_config.yml").read_text(encoding="utf-8"))
    facts = title_facts(settings, citation, files)
    page = make_print_page(
        (single / "index.html").read_text(encoding="utf-8"),
        yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8")),
        (source / "front.html").read_text(encoding="utf-8"),
        facts,
    )
    write_whole(single / "print.html", page)
    return print_page(single / "print.html", facts)
