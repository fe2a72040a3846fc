"""Which parts of a chapter become slides. What a slide has no room for is in its speaker's notes.

All chapters have the same anatomy (`tests/test_anatomy.py`), so a few rules are enough. A slide has a
heading, some sentences, and one picture, table or piece of code.
"""

import re
from dataclasses import dataclass

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kvbook.chapters.page import FENCE, plain_markdown
from kvbook.chapters.slides.language import CHINESE
from kvbook.chapters.slides.sections import Section, sections, translated_sections
from kvbook.chapters.slides.shown import LINES, code_of, pictures_of, shown_by
from kvbook.chapters.slides.words import (
    BULLETS,
    COLONS,
    blocks,
    bullets,
    choose,
    plain,
    said_in,
    together,
)

FORMULA = 210
"""Most letters before a formula, and behind it: three lines."""


@dataclass(frozen=True)
class Rule:
    """What the deck takes from one section of a chapter.

    Attributes
    ----------
    heading : str
        How the section's English heading begins, as a pattern.
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


def has_deck(notebook: NotebookNode) -> bool:
    """Whether a notebook is a chapter that the rules know: it tells of a problem, and asks something."""
    titles = [section.title for section in sections(notebook)]
    return any(re.match(RULES[0].heading, one) for one in titles) and "Exercises" in titles


def make_deck(notebook: NotebookNode, chinese: NotebookNode | None = None) -> NotebookNode:
    """A chapter's deck: a notebook whose cells say what slide they begin, as nbconvert reads it.

    Parameters
    ----------
    notebook : NotebookNode
        The chapter, executed.
    chinese : NotebookNode, optional
        The same chapter in Chinese. Then the deck shows this one; the rules still choose sections
        by the English headings.

    Raises
    ------
    ParameterError
        The translation has other sections.
    """
    found = sections(notebook)
    if chinese:
        found = translated_sections(chinese, found, CHINESE)
    opening, *rest = found
    language = opening.language
    cells, rules = list(_opening(opening)), list(RULES)
    for section in rest:
        rule = next((one for one in rules if re.match(rf"{one.heading}\b", section.name)), None)
        if rule:
            rules.remove(rule)
            cells += _of_section(section, rule)
        for caption, shown in pictures_of(section, tagged=True):
            cells += _slide(section.title, caption, shown, section.prose)
    by_name = {section.name: section for section in rest}
    if "Exercises" in by_name:
        cells += _question(by_name["Exercises"])
    if summary := by_name.get("Summary"):
        cells += _slide(
            language.remember,
            bullets(choose(said_in(summary.prose))),
            notes=summary.prose,
            kind="words",
        )
    for cell in cells:
        if cell.metadata.slideshow.slide_type == "notes":
            cell.source = plain_markdown(cell.source, language.directives)
    title = f"{opening.title}{language.deck}"
    return new_notebook(cells=cells, metadata={"title": title, "language": language.tag})


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
        cells.append(new_markdown_cell(notes, metadata={"slideshow": {"slide_type": "notes"}}))
    return cells


def _opening(section: Section) -> list[NotebookNode]:
    """The chapter's title and its objectives."""
    goals = next(
        (body for _, kind, _, _, body in FENCE.findall(section.prose) if kind == "admonition"), ""
    )
    items = re.findall(r"^\d+\. (.*)$", goals, re.M)
    first, colon, second = (*re.split("(: |：)", section.title, maxsplit=1), "", "")[:3]
    if colon == ": ":
        second = f"{second[:1].upper()}{second[1:]}"
    text = "\n".join([f"{second}\n", *(f"- {plain(one)}" for one in items)])
    return _slide(first, text, notes=section.prose, kind="title")


def _of_section(section: Section, rule: Rule) -> list[NotebookNode]:
    """The slides of one section: what it says first, with its formula or a picture, then its
    pictures, then its code."""
    points, pictures = _opening_points(section), pictures_of(section)[: rule.pictures]
    cells = []
    if rule.code and (formula := _around_formula(section)):
        cells += _slide(section.title, formula, notes=section.prose)
    elif len(points) > 1 or (points and not pictures):
        cells += _slide(section.title, bullets(points), notes=section.prose, kind="words")
    for caption, shown in pictures:
        cells += _slide(section.title, caption, shown, section.prose)
    for lines in code_of(section)[: rule.code]:
        few = lines.count("\n") < 16 and max(map(len, lines.split("\n"))) < 84
        kind = "few-lines" if few else "lines"
        cells += _slide(section.language.lines, lines, notes=section.prose, kind=kind)
    return cells


def _question(section: Section) -> list[NotebookNode]:
    """The first exercise, and on the next slide its answer."""
    found = FENCE.findall(section.prose)
    asked = next((one for one in found if one[1] == "exercise"), None)
    if not asked:
        return []
    _, _, _, options, question = asked
    question = re.sub(r"^\*[(（]\w+[)）]\*\s*", "", question.strip())
    own = section.language
    cells = _slide(own.question, together(said_in(question)), kind="question")
    label = re.search(r":label: (\S+)", options)
    for _, kind, title, _, answer in found:
        if kind == "solution" and label and title == label[1]:
            code = [one for one in blocks(answer) if one.startswith("```")]
            short = [one for one in code[:1] if one.count("\n") <= LINES // 2]
            said = choose(said_in(answer), 2 if short else BULLETS)
            text = "\n\n".join([bullets(said), *short])
            kind = "answer" if short else "words"
            cells += _slide(own.answer, text, notes=answer, kind=kind)
    return cells


def _opening_points(section: Section) -> list[str]:
    """What a section says before it shows anything; what only leads to a picture is left to that."""
    text: list[str] = []
    for cell in section.cells:
        if cell.cell_type == "markdown":
            text.append(cell.source)
        elif any(shown_by(output) for output in cell.outputs):
            break
    return choose([one for one in said_in("\n\n".join(text)) if not one.endswith(COLONS)])


def _around_formula(section: Section) -> str:
    """The first displayed formula, without its label, between the sentences before and behind it;
    empty where there is none."""
    before, mark, behind = section.prose.partition("$$\n")
    formula, _, behind = behind.partition("$$")
    if not mark:
        return ""
    behind = re.sub(r"^ \([\w-]+\)", "", behind)
    leads = choose(said_in(before)[::-1], letters=FORMULA)[::-1]
    follows = choose(said_in(behind), letters=FORMULA)
    return "\n\n".join([together(leads), f"$$\n{formula}$$", together(follows)])
