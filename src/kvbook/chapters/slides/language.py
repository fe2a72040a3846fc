"""What a deck says by itself, in the language of either edition."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from markupsafe import Markup


@dataclass(frozen=True)
class Language:
    """The words that no chapter has.

    Attributes
    ----------
    tag : str
        The language's name in HTML.
    lines, question, answer, remember : str
        Headings of slides that a section does not give its own.
    rows : str
        Of a table that is cut: that ``{shown}`` of ``{all}`` rows are there.
    between : str
        What stands between a caption and that.
    directives : mapping of str to str
        What the book's directives are called in the notes, where not by their English names.
    index : str
        The title of the page that lists the decks.
    deck : str
        What stands behind a chapter's title in the title of its deck.
    how : str
        How to show and to print a deck, as HTML.
    """

    tag: str
    lines: str
    question: str
    answer: str
    remember: str
    rows: str
    between: str
    index: str
    deck: str
    how: str
    directives: Mapping[str, str] = field(default_factory=dict)


ENGLISH = Language(
    tag="en",
    lines="In our lines",
    question="A question to you",
    answer="The answer",
    remember="To remember",
    rows="{shown} of {all} rows, the others are in the chapter",
    between="; ",
    index="Slides",
    deck=": slides",
    how=Markup(
        "<p>Keys: arrows, space or a clicker go on, <b>F</b> is full screen, <b>S</b> shows the speaker's "
        "notes in a window of its own, <b>Esc</b> all slides at once. To print a deck to PDF, put "
        "<code>?print-pdf</code> behind its address (with notes: "
        "<code>?print-pdf&amp;showNotes=separate-page</code>) and print it from Chromium or Chrome without "
        "margins.</p>"
    ),
)
CHINESE = Language(
    tag="zh-CN",
    lines="用我们的代码来写",
    question="请大家想一想",
    answer="答案",
    remember="要点",
    rows="表中只有前 {shown} 行，共 {all} 行，其余见本章",
    between="；",
    index="幻灯片",
    deck="（幻灯片）",
    how=Markup(
        "<p>按键：方向键、空格键或翻页笔翻页，<b>F</b> 全屏，<b>S</b> 在另一个窗口里显示讲稿，<b>Esc</b> 总览全部"
        "幻灯片。要打印成 PDF，请在地址后面加上 <code>?print-pdf</code>（连同讲稿："
        "<code>?print-pdf&amp;showNotes=separate-page</code>），再用 Chromium 或 Chrome 以无边距打印。</p>"
    ),
    directives={"exercise": "练习", "solution": "解答", "equation": "公式"},
)
