"""Harder needles: a second fact that is asked in the next turn, and a needle in two steps."""

from collections.abc import Mapping
from typing import Any

from kvbook.engine.panel import Panel
from kvbook.lm.generation import generate_ids
from kvbook.lm.models import check_loaded
from kvbook.lm.turns import behind_answer, later_turn
from kvbook.methods.base import as_methods
from kvbook.tasks.needle import Needle, found
from kvbook.tasks.together import Label


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
