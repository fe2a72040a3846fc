"""What a slide shows, out of what a chapter shows: figures, tables, texts and source that fit."""

import base64
import html
import math
import re
from collections.abc import Iterator, Sequence

from bs4 import BeautifulSoup
from bs4.element import Tag
from nbconvert.filters import markdown2html_mistune
from nbformat import NotebookNode

from kvbook.chapters.page import FENCE
from kvbook.chapters.slides.language import ENGLISH, Language
from kvbook.chapters.slides.sections import Section
from kvbook.chapters.slides.words import COLONS, blocks, count_lines, cut, plain, said_in, width
from kvbook.places import place
from kvbook.show import in_page

TAG = "slide"
"""A cell's tag: what it shows is on a slide, whatever the section."""
CAPTION = 140
"""Most letters over a picture: two lines."""
COLUMNS, HEIGHT = 8, 460
"""Most columns of a table, and its room in pixels; a line takes `LINE`, and a row `PADDING` more. `CUT` letters say that
rows are left out."""
LINE, PADDING, CUT = 30, 9, 46
SHORT, NUMBER, ACROSS = 26, 16, 74
"""Letters of a line in a cell of words, and of numbers; and of a row, in all of its columns."""
LINES = 21
"""Most lines of code."""
AROUND = 700
"""Letters of a prompt's text, around its needle."""


def pictures_of(section: Section, tagged: bool = False) -> list[tuple[str, str]]:
    """Figures, tables and texts of a section as HTML, each with the sentence that leads to it; the last
    one, if there is none, with what follows. Either those of cells with the tag `TAG`, or the others."""
    made: list[tuple[str, str]] = []
    leads = follows = ""
    for cell in section.cells:
        if cell.cell_type == "markdown":
            for block in blocks(cell.source):
                if (drawn := _drawing(block, section.language)) and not tagged:
                    caption, shown = drawn
                    made.append((caption or leads, shown))
                    leads = follows = ""
                elif said := said_in(block):
                    leads = said[-1] if said[-1].endswith(COLONS) else said[0]
                    follows = follows or said[0]
        elif (TAG in cell.metadata.get("tags", [])) == tagged:
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            for output in cell.outputs:
                if shown := shown_by(output, alt or leads or section.title, section.language):
                    made.append((leads, shown))
                    follows = ""
                if {"image/svg+xml", "image/png", "text/html"} & output.get("data", {}).keys():
                    leads = ""  # it led to this
    if made and not made[-1][0]:
        made[-1] = (follows, made[-1][1])
    return [(cut(caption, CAPTION), shown) for caption, shown in made]


def shown_by(output: NotebookNode, words: str = "", language: Language = ENGLISH) -> str:
    """A figure, with words for those who do not see it, a table or a text of an output as HTML, or the
    moving picture; empty where it has none."""
    data = output.get("data", {})
    if drawn := in_page(data.get("image/svg+xml", ""), words):
        return drawn
    if "image/png" in data:
        alt = html.escape(words)
        return f'<img alt="{alt}" src="data:image/png;base64,{data["image/png"].strip()}">'
    return _page(data["text/html"], language) if "text/html" in data else ""


def _drawing(block: str, language: Language) -> tuple[str, str] | None:
    """What a block of markdown shows, a table or a figure of the book's, with its own caption."""
    if block.startswith("|"):
        table = markdown2html_mistune("\n".join(map(plain, block.split("\n"))))
        soup = BeautifulSoup(table, "html.parser")
        soup.table["class"] = ["kv-words"]
        return "", _table(soup.table, language)
    found = FENCE.match(block)
    if not found or found[2] != "figure" or not found[3].endswith(".svg"):
        return None
    drawn = base64.b64encode((place("book") / found[3]).read_bytes()).decode()
    alt = re.search(r":alt: (.*)", found[4])
    words = html.escape(alt[1]) if alt else ""
    return plain(found[5]), f'<img alt="{words}" src="data:image/svg+xml;base64,{drawn}">'


def _page(shown: str, language: Language) -> str:
    """A table that fits a slide, a prompt's text around its needle, or the moving picture; nothing for
    other pictures to move."""
    soup = BeautifulSoup(shown, "html.parser")
    if soup.select_one(".kv-stepper"):
        return shown
    if soup.select(".kv-explorer, .kv-tokens, script"):
        return ""
    if table := soup.select_one("table.kv-table"):
        return _table(table, language)
    if text := soup.select_one(".kv-text"):
        return _text_around(text.select("span[title]"))
    return ""


def _table(table: Tag, language: Language) -> str:
    """As many rows as there is room for, and words on those that are left to the chapter."""
    for one in table.select("wbr"):  # where a page may break a cell; here lines are counted
        one.decompose()
    heads, rows = table.select("thead th"), table.select("tbody tr")
    if len(heads) > COLUMNS:
        return ""
    for row in rows:
        for cell in row.select("td"):
            if cell is row.td and isinstance(cell.next, str):
                cell.string = _short(cell.get_text())
            length = width(cell.get_text())
            numbers = cell is not row.td and "kv-long" not in cell.get("class", [])
            if length > SHORT or (numbers and length > NUMBER):
                cell["class"] = ["kv-long"]
            elif "kv-long" in cell.get("class", []):
                cell["class"] = ["kv-word"]
    for link in table.select("a"):
        link.unwrap()
    if not table.caption:
        table.insert(0, BeautifulSoup().new_tag("caption"))
    caption = table.caption
    left = HEIGHT - LINE * math.ceil((width(caption.get_text()) + CUT) / 80) - 2 * PADDING
    left -= LINE * max(min(3, len(_pieces(head))) for head in heads)
    letters = _letters(heads, rows)
    for shown, row in enumerate(rows):
        cells = zip(row.select("td"), letters, strict=True)
        lines = max(count_lines(cell.get_text(), most) for cell, most in cells)
        left -= LINE * max(1, lines) + PADDING
        if left < 0:
            between = language.between if caption.contents else ""
            caption.append(between + language.rows.format(shown=shown, all=len(rows)))
            for other in rows[shown:]:
                other.decompose()
            break
    return str(table)


def _letters(heads: Sequence[Tag], rows: Sequence[Tag]) -> list[int]:
    """Letters of a line in each column: numbers stay in one line, words have `SHORT` at most, and what is
    long but not in the first column shares the rest."""
    columns = list(zip(*(row.select("td") for row in rows), strict=True))
    letters = [
        max(width(text) for one in (*column, head) for text in _pieces(one))
        for head, column in zip(heads, columns, strict=True)
    ]
    long = [i for i, column in enumerate(columns) if i and any(map(_goes_on, column))]
    letters[0] = min(SHORT, letters[0])
    rest = ACROSS - sum(most for i, most in enumerate(letters) if i not in long)
    for i in long:
        letters[i] = min(SHORT, max(NUMBER // 2, rest // len(long)))
    return letters


def _goes_on(cell: Tag) -> bool:
    """Whether its text may have several lines."""
    return bool({"kv-long", "kv-word"} & set(cell.get("class", [])))


def _pieces(cell: Tag) -> list[str]:
    """What stays in one line: the words of a heading, of Chinese four characters; the whole of another cell."""
    text = cell.get_text()
    return re.findall(r"[⺀-￯]{1,4}|[^\s⺀-￯]+", text) if cell.name == "th" else [text]


def _short(text: str) -> str:
    """A method without what a slide has no room for: ``SnapKV(budget=64)``."""
    found = re.fullmatch(r"(\w+)\((.*)\)", text)
    if not found:
        return text
    own = re.sub(r"\([^()]*\)", "", found[2]).replace("method=", "").split(", ")
    two = f"{found[1]}({', '.join(own[:2])})"
    return two if len(two) <= SHORT else f"{found[1]}({own[0]})"


def _text_around(tokens: Sequence[Tag]) -> str:
    """As much of a prompt as fits, around the needle or at the end."""
    lengths = [width(one.get_text()) for one in tokens]
    needles = [i for i, one in enumerate(tokens) if "kv-needle" in one.get("class", [])]
    first = last = needles[0] if needles else len(tokens) - 1
    while sum(lengths[first : last + 1]) < AROUND and last - first + 1 < len(tokens):
        first, last = max(0, first - 1), min(len(tokens) - 1, last + 1)
    inside = "".join(str(one).replace("\n", " ") for one in tokens[first : last + 1])
    return f'<p class="kv-text">{"… " * (first > 0)}{inside}{" …" * (last < len(tokens) - 1)}</p>'


def code_of(section: Section) -> list[str]:
    """The source that a section shows, without docstrings, a slide each: what is long goes on, and
    short pieces share one."""
    slides: list[list[str]] = []
    for cell in section.cells:
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/markdown", "")
            for source in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S):
                for part in _parts(DOCSTRING.sub("", source).rstrip()):
                    if slides and len(slides[-1]) + len(part) < LINES:
                        slides[-1] += ["", *part]
                    else:
                        slides.append(part)
    return ["```python\n" + "\n".join(one) + "\n```" for one in slides]


DOCSTRING = re.compile(r'^ *r?""".*?"""\n+', re.M | re.S)


def _parts(source: str) -> Iterator[list[str]]:
    """Lines of source, at most `LINES` together, parted between functions where there is a place."""
    lines = source.split("\n")
    while len(lines) > LINES:
        blank = [i for i, line in enumerate(lines[: LINES + 1]) if not line.strip()]
        at = blank[-1] if blank else LINES
        yield lines[:at]
        lines = lines[at + 1 :] if blank else lines[at:]
    yield lines
