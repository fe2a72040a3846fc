"""Tables that say what kind of number they hold: measured here, computed on paper, the report's, a paper's."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from IPython.display import HTML
from markupsafe import Markup, escape

from kvbook.show.said import Said, bullets, say
from kvbook.stats import Rate

Kind = Literal["measured", "computed", "report", "paper"]
Cell = Callable[[str], str]
"""Makes a number lead to its page and its file: `linked`, with all but the number given."""
BRACKET = re.compile(r" \((?![^<]*>)")
"""A bracket that opens, outside of tags."""
TAGS = {
    "measured": "measured here",
    "computed": "computed on paper",
    "report": "the report",
    "paper": "a paper",
}


def tag(kind: Kind) -> Markup:
    """The words that say what kind of number stands beside them."""
    return Markup('<span class="kv-{}">{}</span>').format(kind, TAGS[kind])


def linked(text: str, page: str, file: str = "", mark: str = "") -> Markup:
    """A number that leads to the page it is made on and, by a mark, to the file it comes from.

    Parameters
    ----------
    text : str
        The number, or any words.
    page, file : str
        Their addresses, as seen from the page that this stands on.
    mark : str
        Stands raised behind the number and leads to ``file``.
    """
    number = Markup('<a href="{}">{}</a>').format(page, text)
    origin = Markup('<sup><a href="{0}" title="{0}">{1}</a></sup>').format(file, mark)
    return number + origin if mark else number


def code(words: str) -> Markup:
    """What is typed, or stands in a file."""
    return Markup("<code class='kv-code'>{}</code>").format(words)


def quoted(words: str) -> Markup:
    """What a text, a prompt or a model says: it stays as it is in every language of the book."""
    return Markup('<span class="kv-said">{}</span>').format(words)


def table(rows: Sequence[Mapping], kind: Kind | None, caption: str = "") -> HTML:
    """Rows with the same keys as a table that says what kind of number it holds.

    Columns of numbers stand right, words left; long texts may break, nothing else does.

    Parameters
    ----------
    rows : sequence of mapping
        Texts or numbers by column; what is `markupsafe.Markup`, such as `linked`, goes in as it is.
    kind : {"measured", "computed", "report", "paper"} or None
        None where the rows or columns differ in it and say so themselves, with `tag`.
    """
    cells = [[_breakable(escape(value)) for value in row.values()] for row in rows]
    looks = [_column([cell.striptags() for cell in column]) for column in zip(*cells, strict=True)]

    def line(tag: str, cells: Sequence[Markup]) -> str:
        parts = zip(cells, looks, strict=True)
        return f"<tr>{''.join(f'<{tag}{look}>{cell}</{tag}>' for cell, look in parts)}</tr>"

    head = line("th", [escape(key) for key in rows[0]])
    body = "".join(line("td", row) for row in cells)
    above = f"{tag(kind)} {escape(caption)}" if kind else escape(caption)
    return HTML(
        f'<table class="kv-table"><caption>{above}</caption>'
        f"<thead>{head}</thead><tbody>{body}</tbody></table>"
    )


def _breakable(cell: Markup) -> Markup:
    """Where there is little room, what stands in brackets goes on below, such as an interval."""
    return Markup(BRACKET.sub(" <wbr>(", cell))


def _column(texts: Sequence[str]) -> str:
    """The class of a column's cells, for the stylesheet."""
    if max(map(len, texts)) > 26:
        return ' class="kv-long"'
    return "" if any(c.isdigit() for text in texts for c in text) else ' class="kv-word"'


def texts_table(rows: Sequence[Mapping], caption: str = "") -> HTML:
    """Texts side by side, such as answers; measured here."""
    shown = table(rows, "measured", caption).data
    return HTML(shown.replace('class="kv-table"', 'class="kv-table kv-texts"', 1))


def rates_sentence(name: str, base: Rate, others: Mapping[str, Rate]) -> Said:
    """Whose intervals meet that of one rate, and whose do not: rates of other prompts each, so without
    pairs.

    Parameters
    ----------
    name : str
        What the one rate is of.
    base : Rate
        The one that the others are compared with.
    others : mapping of str to Rate
        By label.
    """
    groups = {
        "Found less often than with {name}, and the intervals do not meet: {labels}.": [
            label for label, rate in others.items() if rate.high < base.low
        ],
        "The intervals meet that of {name}, so these rates alone do not tell them apart: {labels}.": [
            label
            for label, rate in others.items()
            if rate.high >= base.low and rate.low <= base.high
        ],
        "Found more often than with {name}, and the intervals do not meet: {labels}.": [
            label for label, rate in others.items() if rate.low > base.high
        ],
    }
    return bullets(
        [
            say(template, name=name, labels=", ".join(labels))
            for template, labels in groups.items()
            if labels
        ]
    )


def rate_table(rates: Mapping[str, Rate], caption: str = "", first: str = "method") -> HTML:
    """Rates by their label, with intervals; measured here."""
    return table([rate.row(**{first: label}) for label, rate in rates.items()], "measured", caption)


def folded(title: str, *tables: HTML) -> HTML:
    """Tables under their title, which opens them: for what most readers pass over."""
    inside = Markup("").join(Markup(one.data) for one in tables)
    fold = Markup("<details class='kv-fold'><summary>{}</summary>{}</details>")
    return HTML(fold.format(title, inside))
