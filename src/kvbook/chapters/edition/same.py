"""What a text and its translation must have in common: code, labels, roles, links, formulas, numbers,
headings, rows of tables, items of lists, and what stands bold."""

import calendar
import re
from collections import Counter
from collections.abc import Iterable

FENCE = re.compile(r" *(`{3,})(.*)$")
PATTERNS = {
    "label": r"^\(([\w-]+)\)=$",
    "formula": r"\$\$(.*?)\$\$( \([\w-]+\))?",
    "inline formula": r"\$([^$\n]+)\$",
    "role": r"(\{[\w:-]+\}`[^`]+`)",
    "literal": r"`([^`\n]+)`",
    "link": r"\]\(([^)\s]+)\)",
    "class": r'<span class="([\w-]+)">',
}
"""By kind: what is found so is the same in both, and is taken out before the next kind is looked for."""
COUNTED = {
    "heading": r"^(#+) ",
    "item": r"^ *(-|\d+\.) ",
    "bold": r"(\*\*)[^*]+\*\*",
    "number": r"(?<![\w.])(\d+(?:[.,]\d+)*)",
}
"""By kind: what comes equally often in both."""
OPTION = re.compile(r"^(:[\w-]+:.*)$", re.M)
MONTHS = {month: str(number) for number, month in enumerate(calendar.month_name) if month}
"""A month is a word in English and a number in Chinese."""
STRAY = re.compile(
    "{0}[,;:!?]|[,;:!?](?={0})|{0}(?=[A-Za-z0-9])|[A-Za-z0-9](?={0})".format("[\u4e00-\u9fff]")
)
TRANSLATED = (":alt:",)
"""Options of directives whose words are prose."""


def differences(english: str, chinese: str) -> list[str]:
    """What only one of the two has, as ``kind: what (how often more) only in English``; empty where they
    agree.

    >>> differences("See $a$ and `b`, 3 times.", "见 $a$ 和 `c`，3 次。")
    ["literal 'b' only in English", "literal 'c' only in Chinese"]
    """
    first, second = signature(english), signature(chinese)
    told = []
    for one, other, language in ((first, second, "English"), (second, first, "Chinese")):
        for (kind, what), times in (one - other).items():
            often = f" ({times} more)" if other[kind, what] else ""
            told.append(f"{kind} {what!r}{often} only in {language}")
    return told


def signature(text: str) -> Counter[tuple[str, str]]:
    """What of a text a translation must keep, and how often it comes."""
    prose, found = _without_code(text)
    options = [one for one in OPTION.findall(prose) if not one.startswith(TRANSLATED)]
    found += Counter(("option", one) for one in options)
    prose = re.sub(rf"\b({'|'.join(MONTHS)})(?= \d)", lambda month: MONTHS[month[1]], prose)
    for kind, pattern in PATTERNS.items():
        matches = re.findall(pattern, prose, re.M | re.S if kind == "formula" else re.M)
        found += Counter((kind, _plain(one)) for one in matches)
        prose = re.sub(pattern, "]" if kind == "link" else " ", prose, flags=re.M | re.S)
    for line in prose.splitlines():
        if line.lstrip().startswith("|"):
            found["columns of a row", str(line.count("|"))] += 1
    for kind, pattern in COUNTED.items():
        found += Counter((kind, one) for one in re.findall(pattern, prose, re.M))
    return found


def _plain(match: str | tuple[str, ...]) -> str:
    """What was found, on one line."""
    return " ".join(("".join(match) if isinstance(match, tuple) else match).split())


def _without_code(text: str) -> tuple[str, Counter[tuple[str, str]]]:
    """The prose, that of directives, too; and the blocks of code, with the names of the directives."""
    prose: list[str] = []
    found: Counter[tuple[str, str]] = Counter()
    open_directives: list[str] = []
    code: tuple[str, list[str]] | None = None
    for line in text.splitlines():
        fence = FENCE.match(line)
        if code:
            if fence and fence[1] == code[0] and not fence[2].strip():
                found["code", "\n".join(code[1])] += 1
                code = None
            else:
                code[1].append(line.strip())
        elif fence and fence[2].startswith("{"):
            open_directives.append(fence[1])
            found["directive", re.split(r"(?<=\})", fence[2])[0]] += 1
            prose.append(fence[2].partition("}")[2])
        elif fence and fence[1] in open_directives and not fence[2].strip():
            open_directives.remove(fence[1])
        elif fence:
            code = (fence[1], [fence[2]])
        else:
            prose.append(line)
    return "\n".join(prose), found


def words_of(text: str, instead: str = " ") -> str:
    """The prose of a text, that of directives, too: code is left out; formulas, roles, literals and targets
    of links are each a placeholder.

    >>> words_of("The budget is `256`, see [a page](page.md).", "_")
    'The budget is _, see [a page_.'
    """
    prose, _ = _without_code(text)
    for kind, pattern in PATTERNS.items():
        prose = re.sub(pattern, instead, prose, flags=re.M | re.S if kind == "formula" else re.M)
    return prose


def stray(chinese: str) -> Iterable[str]:
    """Half-width punctuation beside a Chinese character, and Chinese that touches a Latin letter or a digit,
    each with what stands around it."""
    prose = words_of(chinese, "`")
    for match in STRAY.finditer(prose):
        yield prose[max(0, match.start() - 8) : match.end() + 8].replace("\n", " ")
