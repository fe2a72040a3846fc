"""Harder needles: one among several, one behind links, one in two steps, and a second fact that is
asked in the next turn."""

import random
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from kvbook.engine.panel import Panel
from kvbook.errors import ParameterError
from kvbook.lm.generation import generate_ids
from kvbook.lm.models import check_loaded
from kvbook.lm.turns import behind_answer, later_turn
from kvbook.methods.base import as_methods
from kvbook.tasks.needle import CITIES, Needle, found, hide, read_essays
from kvbook.tasks.together import Label


def make_linked(
    tokenizer,
    data: Path,
    count: int = 20,
    length: int = 500,
    keys: int = 4,
    links: int = 0,
    seed: int = 0,
) -> list[Needle]:
    """Draw needles among others: ``keys`` cities have a number each, and one is asked for. With
    links, the question asks for a city whose number is said to be the same as that of another one.

    After two kinds of task of RULER (Hsieh et al., 2024, section 3): needles with several keys
    (``links=0``), and variable tracking. There a chain's links lie anywhere in the text, and all its
    names are asked for. Here they stand side by side, and the number is asked for, which a model of
    135M parameters can do.

    Parameters
    ----------
    tokenizer
        With a chat template.
    data : Path
        The folder of the book's data.
    count, length, seed : int
        As in `kvbook.tasks.needle.make_needles`.
    keys : int
        Numbers in the text; a guess among them is right once in ``keys``.
    links : int
        Steps from the city of the question to the one that has the number; every number has as
        many cities behind it.

    Raises
    ------
    ParameterError
        Fewer than one key, or more cities than there are.
    """
    if keys < 1 or links < 0 or keys * (links + 1) > len(CITIES):
        raise ParameterError(
            f"keys={keys}, links={links}: keys * (links + 1) cities are needed, at least 1 and at most "
            f"{len(CITIES)}"
        )
    paragraphs, rng = read_essays(data), random.Random(seed)
    needles = []
    for i in range(count):
        cities = iter(rng.sample(CITIES, keys * (links + 1)))
        numbers = [str(number) for number in rng.sample(range(1000, 10_000), keys)]
        chains = [[next(cities) for _ in range(links + 1)] for _ in numbers]
        facts = [tell(chain, number) for chain, number in zip(chains, numbers, strict=True)]
        depth = (i + 0.5) / count
        asked = chains[0][-1]
        needles.append(hide(tokenizer, paragraphs, rng, facts, asked, numbers[0], depth, length))
    return needles


def tell(chain: list[str], number: str) -> str:
    """The first city's number, and that each next one has the same."""
    said = [f"The special magic number for {chain[0]} is {number}."]
    for known, city in pairwise(chain):
        said.append(f"The special magic number for {city} is the same as for {known}.")
    return " ".join(said)


def insert_after(text: str, share: float, sentence: str) -> str:
    """The text with one more sentence, behind the one that ends next after this share of it."""
    place = int(share * len(text))
    place += text[place:].find(". ") + 1
    return text[:place] + sentence + text[place:]


def ask_second(lm, methods: Mapping[Label, Any], one: Needle, other: Needle) -> dict[Label, bool]:
    """Two facts in one text: the prompt asks for the first, the next turn for the second. By
    method: is the second found?"""
    check_loaded(lm)
    panel = Panel(list(as_methods(methods).values()))
    first = insert_after(one.prompt, 1 / 3, f" The secret colour code is {other.answer}.")
    second = (
        f" {one.answer}."
        + behind_answer(lm.tokenizer)
        + later_turn(lm.tokenizer, "What is the secret colour code mentioned in the text?")
        + "The secret colour code mentioned in the text is"
    )
    read, asked = (
        lm.tokenizer(text, add_special_tokens=False).input_ids for text in (first, second)
    )
    with panel.attach(lm.model) as run:
        generate_ids(lm.model, [read] * len(panel), 1)
        new = generate_ids(lm.model, [read + asked] * len(panel), 8, past_key_values=run.cache)
    words = lm.tokenizer.batch_decode(new)
    return {label: found(other, said) for label, said in zip(methods, words, strict=True)}


def in_two_steps(one: Needle) -> Needle:
    """The number is tied to a name, and the name to a description: the question has only the
    description, so both sentences are needed."""
    city = one.prompt.split("The special magic number for ")[1].split(" is ")[0]
    town = "old harbour town of this story"
    text = insert_after(one.prompt, 1 / 4, f" The {town} is {city}.")
    question = text.rfind("What is the special magic number")
    text = text[:question] + text[question:].replace(city, f"the {town}")
    return Needle(text, one.answer, one.depth, one.tokens)
