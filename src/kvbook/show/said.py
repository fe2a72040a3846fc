"""A sentence that a cell says about its numbers: a template and its values, kept beside what is shown, so
that the sentence can be said in another language from the same run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from kvbook.stats import seen_difference

COMPARED = {
    1: "{first} beside {second}, larger",
    -1: "{first} beside {second}, smaller",
    0: "{first} beside {second}: with {items} items no difference can be seen",
}
"""What is said of two means, by the sign of the difference that can be seen."""


@dataclass(frozen=True)
class Said:
    """Markdown made of a template and its values; a notebook shows it and keeps both in the metadata.

    Attributes
    ----------
    template : str
        Of `str.format`, fields by name.
    values : mapping of str to object
        Numbers, words, or other `Said`; a number is formatted by the template.
    """

    template: str
    values: Mapping[str, object]

    def __str__(self) -> str:
        return self.template.format(**self.values)

    def parts(self) -> dict:
        """Template and values, of sentences inside it, too, as JSON has them."""
        values = {
            name: one.parts() if isinstance(one, Said) else one for name, one in self.values.items()
        }
        return {"template": self.template, "values": values}

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        shown = {"text/markdown": str(self), "text/plain": str(self)}
        return shown, {"kvbook": {"said": self.parts()}}


def as_code(words: str) -> str:
    """Words of a model or a prompt as they are, blanks and signs of markdown among them.

    >>> as_code("' 9725'"), as_code("a `b`")
    ("`' 9725'`", '`` a `b` ``')
    """
    ticks = "`" * (1 + max(map(len, re.findall("`+", words)), default=0))
    room = " " if "`" in words else ""
    return f"{ticks}{room}{words}{room}{ticks}"


def say(template: str, **values: object) -> Said:
    """A sentence with its numbers.

    >>> print(say("{found} of {all} needles, a share of {share:.0%}.", found=3, all=4, share=0.75))
    3 of 4 needles, a share of 75%.
    """
    return Said(template, values)


def bullets(sentences: Sequence[Said]) -> Said:
    """Sentences as a list, one an item.

    >>> print(bullets([say("One."), say("{n} two.", n=2)]))
    - One.
    - 2 two.
    """
    values = {f"s{i}": one for i, one in enumerate(sentences)}
    return Said("\n".join(f"- {{{name}}}" for name in values), values)


def compare(first: Sequence[float], second: Sequence[float], seed: int, form: str) -> Said:
    """Two means over the same items, and whether their difference can be seen (95 % paired bootstrap).

    Parameters
    ----------
    first, second : sequence of float
        A value an item, in the same order.
    seed : int
        Of the bootstrap.
    form : str
        How a mean is written, such as ``".2f"``.
    """
    values = {"first": f"{fmean(first):{form}}", "second": f"{fmean(second):{form}}"}
    if len(first) < 2:
        return say("{first} beside {second} (one item: no interval)", **values)
    template = COMPARED[seen_difference(first, second, seed)]
    return say(template, items=len(first), **values)
