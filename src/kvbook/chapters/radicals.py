"""Chinese in a PDF that can be searched: radicals as the characters that they are drawn like.

Where a font draws 文 and the radical ⽂ with one glyph, Chromium writes down that the glyph is the first of
the two in Unicode, the radical, and nobody finds the word.
"""

import re
import unicodedata

LIKE = dict(
    zip(
        "⺁⺂⺃⺄⺅⺆⺈⺉⺊⺋⺌⺍⺎⺏⺐⺒⺓⺔⺕⺖⺗⺘⺙⺛⺜⺝⺞⺟⺠⺡⺢⺣⺤⺥⺦⺧⺨⺩⺫⺬⺭⺯⺰⺱⺲⺳⺴⺶⺹⺺⺻⺼⺾⺿⻀⻁⻂⻃⻄⻅⻆⻈⻉⻋⻌⻍⻎⻏⻐⻑⻒⻓⻔⻖⻗⻘⻙⻚⻛⻜⻝⻟⻠⻢⻣⻤⻥⻦⻧⻨⻩⻪⻫⻬⻭⻮⻯⻰⻱⻲⻳⼾",
        "厂乛乚乙亻冂刀刂卜㔾小小兀尣尢巳幺彑彐忄心扌攵旡日月歺母民氵氺灬爫爫丬牛犭王目示礻糹纟罓罒㓁冗羊耂肀聿肉艹艹艹虎衤覀西见角讠贝车辶辶辶邑钅長镸长门阝雨青韦页风飞食飠饣马骨鬼鱼鸟卤麦黄黾斉齐歯齿竜龙龜亀龟户",
        strict=True,
    )
)
"""Radicals of U+2E80-2EFF and their characters, by Unicode's ``EquivalentUnifiedIdeograph.txt``. Those of
U+2F00-2FDF have theirs by NFKC; but ⼾, by that 戶, is drawn like 户 in fonts for simplified characters."""
LINE = re.compile(rb"^(<[0-9A-F]+>) (?:(<[0-9A-F]+>) )?<(2[EF][0-9A-F]{2})>$", re.MULTILINE)
"""A glyph, or the first and the last of several, and what it is, in a font's table: a radical."""


def without_radicals(table: bytes) -> bytes:
    """A font's table of what its glyphs are (``/ToUnicode`` of a PDF), with characters in place of radicals.

    >>> without_radicals(b"<0033> <2F42>")
    b'<0033> <6587>'
    """
    return LINE.sub(_line, table)


def _line(match: re.Match) -> bytes:
    first, last, radical = match.groups()
    count = int(last[1:-1], 16) - int(first[1:-1], 16) + 1 if last else 1
    found = b" ".join(b"<%04X>" % ord(character(chr(int(radical, 16) + i))) for i in range(count))
    return b"%s %s [%s]" % (first, last, found) if last else b"%s %s" % (first, found)


def character(radical: str) -> str:
    """The character that looks like a radical; itself where there is none."""
    return LIKE.get(radical) or unicodedata.normalize("NFKC", radical)
