"""Which parts of a chapter become slides, and how much of each. What a slide has no room for is in
its speaker's notes.

All chapters have the same anatomy (`tests/test_anatomy.py`), so a few rules are enough. A slide has a
heading, at most `BULLETS` sentences, and one picture, table or piece of code.
"""

import base64
import html
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bs4 import BeautifulSoup
from bs4.element import Tag
from nbconvert.filters import markdown2html_mistune
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kvbook.chapters.page import FENCE, plain_markdown
from kvbook.places import place

BULLETS, LETTERS = 4, 480
"""Most sentences of a slide, and most letters of them together."""
CAPTION, FORMULA = 140, 210
"""Most letters over a picture, and beside a formula: two lines, and three."""
COLUMNS, HEIGHT = 8, 460
"""Most columns of a table, and its room in pixels; a line takes `LINE`, and a row `PADDING` more."""
LINE, PADDING = 30, 9
SHORT, NUMBER = 26, 16
"""Letters of a line in a cell of words, and of numbers."""
LINES = 21
"""Most lines of code."""
AROUND = 700
"""Letters of a prompt's text, around its needle."""


@dataclass(frozen=True)
class Rule:
    """What the deck takes from one section of a chapter.

    Attributes
    ----------
    heading : str
        How the section's heading begins, as a pattern.
    pictures, code : int
        Most figures, tables and texts; most pieces of source.
    """

    heading: str
    pictures: int = 1
    code: int = 0


RULES = (
    Rule("The problem", pictures=2),
    Rule("The (?:formula|idea|protocol)", code=3),
    Rule("Run", pictures=2),
    Rule("What it costs"),
    Rule("Where it fails"),
)
"""The sections that a deck has. Then come a question, its answer, and the summary."""
TAG = "slide"
"""A cell's tag: what it shows is on a slide, whatever the section."""


@dataclass
class Section:
    """A part of a chapter under one heading of the second level: its prose and its code cells."""

    title: str
    cells: list[NotebookNode] = field(default_factory=list)

    @property
    def prose(self) -> str:
        """All of it, for the notes."""
        told = [cell.source for cell in self.cells if cell.cell_type == "markdown"]
        return "\n\n".join(told).strip()


def sections(notebook: NotebookNode) -> list[Section]:
    """A notebook's sections; the first one has the title and what stands before the others."""
    made = [Section("")]
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            made[-1].cells.append(cell)
            continue
        lines: list[str] = []
        for line, fenced in _lines(cell.source):
            if not fenced and (heading := re.match(r"#{1,2} (.*)", line)):
                made[-1].cells.append(new_markdown_cell("\n".join(lines)))
                lines = []
                if line.startswith("## "):
                    made.append(Section(heading[1]))
                else:
                    made[-1].title = heading[1]
            else:
                lines.append(line)
        made[-1].cells.append(new_markdown_cell("\n".join(lines)))
    return made


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Lines, and whether they stand between fences."""
    fence = ""
    for line in text.split("\n"):
        mark = re.match(r"`{3,}", line)
        yield line, bool(fence)
        if mark and not fence:
            fence = mark[0]
        elif fence and line.rstrip() == fence:
            fence = ""


def has_deck(notebook: NotebookNode) -> bool:
    """Whether a notebook is a chapter that the rules know: it tells of a problem, and asks something."""
    titles = [section.title for section in sections(notebook)]
    return any(re.match(RULES[0].heading, one) for one in titles) and "Exercises" in titles


def make_deck(notebook: NotebookNode) -> NotebookNode:
    """A chapter's deck: a notebook whose cells say what slide they begin, as nbconvert reads it.

    Parameters
    ----------
    notebook : NotebookNode
        The chapter, executed.
    """
    opening, *rest = sections(notebook)
    cells, rules = list(_opening(opening)), list(RULES)
    for section in rest:
        rule = next((one for one in rules if re.match(rf"{one.heading}\b", section.title)), None)
        if rule:
            rules.remove(rule)
            cells += _of_section(section, rule)
        for caption, shown in _pictures(section, tagged=True):
            cells += _slide(section.title, caption, shown, section.prose)
    by_title = {section.title: section for section in rest}
    if "Exercises" in by_title:
        cells += _question(by_title["Exercises"])
    if summary := by_title.get("Summary"):
        cells += _slide(
            "To remember",
            _bullets(_choose(_said(summary.prose))),
            notes=summary.prose,
            kind="words",
        )
    return new_notebook(cells=cells, metadata={"title": opening.title})


def _slide(
    heading: str, text: str = "", shown: str = "", notes: str = "", kind: str = ""
) -> list[NotebookNode]:
    """The cells of a slide: heading and text in markdown, what is shown in HTML, the notes."""
    begins = {"slideshow": {"slide_type": "slide", "data": {"kind": kind}}}
    level = "#" if kind == "title" else "##"
    cells = [new_markdown_cell(f"{level} {heading}\n\n{text}".strip(), metadata=begins)]
    if shown:
        output = new_output("display_data", {"text/html": shown})
        cells.append(new_code_cell(outputs=[output], metadata={"slideshow": {"slide_type": "-"}}))
    if notes:
        notes = plain_markdown(notes)
        cells.append(new_markdown_cell(notes, metadata={"slideshow": {"slide_type": "notes"}}))
    return cells


def _opening(section: Section) -> list[NotebookNode]:
    """The chapter's title and its objectives."""
    goals = next(
        (body for _, _, title, _, body in FENCE.findall(section.prose) if title == "Objectives"), ""
    )
    items = re.findall(r"^\d+\. (.*)$", goals, re.M)
    first, _, second = section.title.partition(": ")
    text = "\n".join([f"{second[:1].upper()}{second[1:]}\n", *(f"- {plain(one)}" for one in items)])
    return _slide(first, text, notes=section.prose, kind="title")


def _of_section(section: Section, rule: Rule) -> list[NotebookNode]:
    """The slides of one section: what it says first, with its formula or a picture, then its
    pictures, then its code."""
    points, pictures = _opening_points(section), _pictures(section)[: rule.pictures]
    cells = []
    if rule.code and (formula := _around_formula(section)):
        cells += _slide(section.title, formula, notes=section.prose)
    elif len(points) > 1 or (points and not pictures):
        cells += _slide(section.title, _bullets(points), notes=section.prose, kind="words")
    for caption, shown in pictures:
        cells += _slide(section.title, caption, shown, section.prose)
    for lines in _code(section)[: rule.code]:
        few = lines.count("\n") < 16 and max(map(len, lines.split("\n"))) < 84
        kind = "few-lines" if few else "lines"
        cells += _slide("In our lines", lines, notes=section.prose, kind=kind)
    return cells


def _question(section: Section) -> list[NotebookNode]:
    """The first exercise, and on the next slide its answer."""
    found = FENCE.findall(section.prose)
    asked = next((one for one in found if one[1] == "exercise"), None)
    if not asked:
        return []
    _, _, _, options, question = asked
    question = re.sub(r"^\*\((\w+)\)\*\s*", "", question.strip())
    cells = _slide("A question to you", plain(question), kind="question")
    label = re.search(r":label: (\S+)", options)
    for _, kind, title, _, answer in found:
        if kind == "solution" and label and title == label[1]:
            code = [one for one in _blocks(answer) if one.startswith("```")]
            short = [one for one in code[:1] if one.count("\n") <= LINES // 2]
            said = _choose(_said(answer), 2 if short else BULLETS)
            text = "\n\n".join([_bullets(said), *short])
            kind = "answer" if short else "words"
            cells += _slide("The answer", text, notes=answer, kind=kind)
    return cells


# ---- words -------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Markdown for a slide: no links, no references, no citations, on one line."""
    text = re.sub(r"\s*\(?\{(?:cite(?::\w+)?|eq|ref|numref|doc|prf:ref)\}`[^`]*`\)?", "", text)
    text = re.sub(r"\{\w+\}`([^`]*)`", r"\1", text)
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    return " ".join(text.split())


END = re.compile(r"(?<=[.!?])(?<!al\.)(?<!e\.g\.)(?<!i\.e\.)(?<!vs\.)\s+(?=[A-Z(*`$\"“])")


def sentences(paragraph: str) -> list[str]:
    """A paragraph's sentences, each with its own emphasis."""
    return [one for one in END.split(plain(paragraph)) if one.count("**") % 2 == 0]


def _blocks(text: str) -> list[str]:
    """Paragraphs, lists, tables, formulas and fenced blocks, as they stand."""
    made: list[list[str]] = [[]]
    within, formula = False, False
    for line, fenced in _lines(text):
        mark = line.startswith(("```", "$$"))
        begins = mark and not (fenced or formula)
        if (
            begins
            or (within and not (fenced or formula))
            or not (line.strip() or fenced or formula)
        ):
            made.append([])
        if line.strip() or fenced:
            made[-1].append(line)
        if line.startswith("$$") and not fenced:
            formula = not formula
        within = mark or fenced or formula
    return ["\n".join(one) for one in made if one]


def _said(text: str) -> list[str]:
    """The sentences of a text: of its paragraphs all, of a list's items the first."""
    made: list[str] = []
    for block in _blocks(text):
        if items := re.split(r"^(?:[-*]|\d+\.) ", block, flags=re.M)[1:]:
            made += [said[0] for one in items if (said := sentences(one))]
        elif not re.match(r"```|[|#:]|\$\$|\(.*\)=", block):
            made += sentences(block)
    return made


def _choose(said: Sequence[str], most: int = BULLETS) -> list[str]:
    """The first sentences, as many as a slide has room for; one at least, if need be cut."""
    chosen: list[str] = []
    for one in said:
        if len(chosen) == most or sum(map(len, [*chosen, one])) > LETTERS:
            break
        chosen.append(one)
    return chosen or [_cut(one, LETTERS) for one in said[:1]]


def _bullets(said: Sequence[str]) -> str:
    return "\n".join(f"- {one}" for one in said)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rsplit(' ', 1)[0].rstrip(',;:')} …"


def _opening_points(section: Section) -> list[str]:
    """What a section says before it shows anything; what only leads to a picture is left to that."""
    text: list[str] = []
    for cell in section.cells:
        if cell.cell_type == "markdown":
            text.append(cell.source)
        elif any(_shown(output) for output in cell.outputs):
            break
    return _choose([one for one in _said("\n\n".join(text)) if not one.endswith(":")])


def _around_formula(section: Section) -> str:
    """The first displayed formula, without its label, between the sentences before and behind it;
    empty where there is none."""
    before, mark, behind = section.prose.partition("$$\n")
    formula, _, behind = behind.partition("$$")
    if not mark:
        return ""
    behind = re.sub(r"^ \([\w-]+\)", "", behind)
    texts = [*_said(before)[-1:], f"$$\n{formula}$$", *_said(behind)[:1]]
    return "\n\n".join(one if one.startswith("$$") else _cut(one, FORMULA) for one in texts)


# ---- what is shown -----------------------------------------------------------------------------


def _pictures(section: Section, tagged: bool = False) -> list[tuple[str, str]]:
    """Figures, tables and texts of a section as HTML, each with the sentence that leads to it; the last
    one, if there is none, with what follows. Either those of cells with the tag `TAG`, or the others."""
    made: list[tuple[str, str]] = []
    leads = follows = ""
    for cell in section.cells:
        if cell.cell_type == "markdown":
            for block in _blocks(cell.source):
                if (drawn := _drawing(block)) and not tagged:
                    caption, shown = drawn
                    made.append((caption or leads, shown))
                    leads = follows = ""
                elif said := _said(block):
                    leads = said[-1] if said[-1].endswith(":") else said[0]
                    follows = follows or said[0]
        elif (TAG in cell.metadata.get("tags", [])) == tagged:
            for output in cell.outputs:
                if shown := _shown(output):
                    made.append((leads, shown))
                    follows = ""
                if {"image/png", "text/html"} & output.get("data", {}).keys():
                    leads = ""  # it led to this
    if made and not made[-1][0]:
        made[-1] = (follows, made[-1][1])
    return [(_cut(one, CAPTION), _described(shown, one or section.title)) for one, shown in made]


def _described(shown: str, words: str) -> str:
    """A picture with words for those who do not see it."""
    return shown.replace("<img src", f'<img alt="{html.escape(words)}" src')


def _shown(output: NotebookNode) -> str:
    """A figure, a table or a text of an output as HTML; empty where it has none that stands still."""
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img src="data:image/png;base64,{data["image/png"].strip()}">'
    return _page(data["text/html"]) if "text/html" in data else ""


def _drawing(block: str) -> tuple[str, str] | None:
    """What a block of markdown shows, a table or a figure of the book's, with its own caption."""
    if block.startswith("|"):
        table = markdown2html_mistune("\n".join(map(plain, block.split("\n"))))
        soup = BeautifulSoup(table, "html.parser")
        soup.table["class"] = ["kv-words"]
        return "", _table(soup.table)
    found = FENCE.match(block)
    if not found or found[2] != "figure" or not found[3].endswith(".svg"):
        return None
    drawn = base64.b64encode((place("book") / found[3]).read_bytes()).decode()
    alt = re.search(r":alt: (.*)", found[4])
    words = html.escape(alt[1]) if alt else ""
    return plain(found[5]), f'<img alt="{words}" src="data:image/svg+xml;base64,{drawn}">'


def _page(shown: str) -> str:
    """A table that fits a slide, or a prompt's text around its needle; nothing for pictures to move."""
    soup = BeautifulSoup(shown, "html.parser")
    if soup.select(".kv-explorer, .kv-tokens, script"):
        return ""
    if table := soup.select_one("table.kv-table"):
        return _table(table)
    if text := soup.select_one(".kv-text"):
        return _text_around(text.select("span[title]"))
    return ""


def _table(table: Tag) -> str:
    """As many rows as there is room for, and words on those that are left to the chapter."""
    heads, rows = table.select("thead th"), table.select("tbody tr")
    if len(heads) > COLUMNS:
        return ""
    for row in rows:
        for cell in row.select("td"):
            if cell is row.td and isinstance(cell.next, str):
                cell.string = _short(cell.get_text())
            length = len(cell.get_text())
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
    left = HEIGHT - LINE * math.ceil(len(caption.get_text()) / 80) - 2 * PADDING
    left -= LINE * max(min(3, len(head.get_text().split())) for head in heads)
    for shown, row in enumerate(rows):
        longest = max((len(cell.get_text()) for cell in row.select(".kv-long")), default=0)
        left -= LINE * max(1, math.ceil(longest / SHORT)) + PADDING
        if left < 0:
            between = "; " if caption.contents else ""
            caption.append(f"{between}{shown} of {len(rows)} rows, the others are in the chapter")
            for other in rows[shown:]:
                other.decompose()
            break
    return str(table)


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
    lengths = [len(one.get_text()) for one in tokens]
    needles = [i for i, one in enumerate(tokens) if "kv-needle" in one.get("class", [])]
    first = last = needles[0] if needles else len(tokens) - 1
    while sum(lengths[first : last + 1]) < AROUND and last - first + 1 < len(tokens):
        first, last = max(0, first - 1), min(len(tokens) - 1, last + 1)
    inside = "".join(str(one).replace("\n", " ") for one in tokens[first : last + 1])
    return f'<p class="kv-text">{"… " * (first > 0)}{inside}{" …" * (last < len(tokens) - 1)}</p>'


def _code(section: Section) -> list[str]:
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
