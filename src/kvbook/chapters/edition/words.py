"""The words that cells write, in Chinese: one catalogue for tables, pictures and sentences.

An entry is a text, or a template. In a template of ours, as `kvbook.show.say` has them, fields have names;
in any other text ``{}`` stands for what differs, such as a number, and is looked up itself. A template that
would leave English words is none for that text: "{} of {}" is no question to a model. A text of several
entries, such as "h2o, budget 32; snapkv", needs none of its own.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from kvbook.chapters.edition.due import translations
from kvbook.errors import ResultError
from kvbook.texts import read_json

WORD = re.compile(r"[A-Za-z]{2,}")
"""What makes a text one to translate."""
FIELDS = re.compile(r"\{[^}]*\}")
NAMED = re.compile(r"\{[^}]*\}|`[^`]*`")
"""Fields, and what is code."""
CHINESE = "[⺀-￯“”]"
"""A Chinese character, or a sign between some."""
FULL_WIDTH = {".": "。", ",": "，", ";": "；", ":": "："}
"""Signs between sentences that have no words of their own."""
TAG = re.compile("(</?[a-z][^>]*>)")
SEMICOLON, COLON = "; ", ": "
SIGNS = {SEMICOLON: "；", COLON: "：", ", ": "，"}
"""What parts the texts of a list, in the order in which it is taken apart."""
QUOTE = re.compile("['\"“]")
"""What follows is said by somebody, and is not taken apart."""


def catalogue_file() -> Path:
    """Where the catalogue is: ``words``, English and Chinese, and ``stay``, patterns of what is not
    translated, such as names of methods and models."""
    return translations() / "words.json"


def read_words() -> "Words":
    """The catalogue of the book.

    Raises
    ------
    ResultError
        It is damaged.
    """
    held = read_json(catalogue_file(), ResultError)
    return Words(held["words"], held["stay"])


class Words:
    """A catalogue, which remembers what it was asked.

    Parameters
    ----------
    known : mapping of str to str
        Chinese by English.
    stay : sequence of str
        Regular expressions; a text that one of them matches whole stays as it is.

    Attributes
    ----------
    used : set of str
        The entries that were needed so far.
    missed : dict of str to str
        Texts without an entry, and where each was first met.
    """

    def __init__(self, known: Mapping[str, str], stay: Sequence[str] = ()):
        self.known = dict(known)
        self._stay = re.compile("|".join(f"(?:{one})" for one in stay) or r"(?!)")
        self.used: set[str] = set()
        self.missed: dict[str, str] = {}

    def translate(self, text: str, where: str = "", must: bool = True) -> str:
        """A text in Chinese, the space around it as it was; itself, where nothing is known.

        Parameters
        ----------
        where : str
            For the list of what is missed.
        must : bool
            Whether a text without an entry is missed.
        """
        if TAG.match(text):
            parts = TAG.split(text)
            return "".join(
                one if TAG.match(one) else self.translate(one, where, must) for one in parts
            )
        core = " ".join(text.split())
        found = self._chinese(core, lists=must)
        if found is None and must:
            self.missed.setdefault(core, where)
        if found in (None, core):
            return text
        before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        return before + found + after

    def say(self, parts: Mapping[str, Any], where: str = "") -> str:
        """A sentence of `kvbook.show.say` in Chinese, from its template and its values."""
        template = parts["template"]
        values = {
            name: self.say(one, where)
            if isinstance(one, Mapping) and "template" in one
            else self.translate(one, where)
            if isinstance(one, str)
            else one
            for name, one in parts["values"].items()
        }
        chinese = self._joined(template)
        if chinese is None:
            self.missed.setdefault(template, where)
        return _closed((chinese or template).format(**values))

    def _joined(self, template: str) -> str | None:
        """A template in Chinese, or one that was joined from several."""
        if template in self.known:
            self.used.add(template)
            return self.known[template]
        for first in sorted(self.known, key=len, reverse=True):
            if first and template.startswith(first):
                rest = self._joined(template.removeprefix(first))
                if rest is not None:
                    self.used.add(first)
                    return self.known[first] + rest
        if WORD.search(FIELDS.sub("", template)):
            return None
        return re.sub(
            r"\{[^}]*\}|[.,;:] ?", lambda one: FULL_WIDTH.get(one[0].strip(), one[0]), template
        )

    def _chinese(self, core: str, lists: bool) -> str | None:
        """A text in Chinese: of an entry, of a template, or a list of such texts; itself, if it stays."""
        if core in self.known:
            self.used.add(core)
            return self.known[core]
        if self._stays(core):
            return self._listed(core) if lists and _parted(core) else core
        return self._from_template(core) or (self._listed(core) if lists else None)

    def _listed(self, core: str) -> str | None:
        """A list in Chinese, such as ``h2o, budget 32: 2 of 4; snapkv``, if all that it names is known."""
        before = QUOTE.split(core, maxsplit=1)[0]
        for sign, chinese in SIGNS.items():
            if sign in before:
                parts = before.split(sign)
                parts[-1] += core.removeprefix(before)
                found = [self._chinese(one, lists=True) for one in parts]
                return None if None in found else chinese.join(map(str, found))
        return None

    def _from_template(self, core: str) -> str | None:
        for pattern, template in self._templates:
            if match := pattern.fullmatch(core):
                inside = [self._inside(one) for one in match.groups()]
                if None not in inside:
                    self.used.add(template)
                    return _closed(self.known[template].format(*inside))
        return None

    def _inside(self, text: str) -> str | None:
        """What stands for a ``{}`` of a template: in Chinese, or one thing that stays."""
        found = self._chinese(text, lists=False)
        return None if found == text and _parted(text) else found

    def _stays(self, core: str) -> bool:
        words = WORD.search(NAMED.sub("", core))
        return not words or bool(self._stay.fullmatch(core))

    @cached_property
    def _templates(self) -> list[tuple[re.Pattern[str], str]]:
        """Templates with ``{}``, those first that say most."""
        templates = [one for one in self.known if re.search(r"\{\d?\}", one)]
        templates.sort(key=lambda one: -len(re.sub(r"\{\d?\}", "", one)))
        return [
            (re.compile("(.+?)".join(map(re.escape, re.split(r"\{\d?\}", one))), re.S), one)
            for one in templates
        ]


def _parted(text: str) -> bool:
    """Whether a text has parts with a sign between them that Chinese has another for."""
    before = QUOTE.split(text, maxsplit=1)[0]
    return SEMICOLON in before or COLON in before


def _closed(text: str) -> str:
    """A text without the blanks that a template has around a field, where Chinese came into it.

    >>> _closed("与 窗口 8，池化核 7 有差别"), _closed("与 fullkv 有差别")
    ('与窗口 8，池化核 7 有差别', '与 fullkv 有差别')
    """
    return re.sub(f"(?<={CHINESE}) (?={CHINESE})", "", text)
