"""Harder needles: a second fact that is asked in the next turn, and a needle in two steps."""

import torch

from kvbook.lm.generation import generate_ids
from kvbook.lm.models import check_loaded
from kvbook.lm.turns import behind_answer, later_turn
from kvbook.methods.base import as_method
from kvbook.tasks.needle import Needle, found


def insert_after(text: str, share: float, sentence: str) -> str:
    """The text with one more sentence, behind the one that ends next after this share of it."""
    place = int(share * len(text))
    place += text[place:].find(". ") + 1
    return text[:place] + sentence + text[place:]


def ask_second(lm, method, one: Needle, other: Needle) -> bool:
    """Two facts in one text: the prompt asks for the first, the next turn for the second. Is
    the second found?"""
    check_loaded(lm)
    method = as_method(method)
    first = insert_after(one.prompt, 1 / 3, f" The secret colour code is {other.answer}.")
    second = (
        f" {one.answer}."
        + behind_answer(lm.tokenizer)
        + later_turn(lm.tokenizer, "What is the secret colour code mentioned in the text?")
        + "The secret colour code mentioned in the text is"
    )
    read, asked = (
        lm.tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids.to(
            lm.model.device
        )
        for text in (first, second)
    )
    with method.attach(lm.model) as run:
        lm.model(read)
        whole = torch.cat((read, asked), 1).tolist()
        new = generate_ids(lm.model, whole, 8, past_key_values=run.cache)[0]
    return found(other, lm.tokenizer.decode(new))


def in_two_steps(one: Needle) -> Needle:
    """The number is tied to a name, and the name to a description: the question has only the
    description, so both sentences are needed."""
    city = one.prompt.split("The special magic number for ")[1].split(" is ")[0]
    town = "old harbour town of this story"
    text = insert_after(one.prompt, 1 / 4, f" The {town} is {city}.")
    question = text.rfind("What is the special magic number")
    text = text[:question] + text[question:].replace(city, f"the {town}")
    return Needle(text, one.answer, one.depth, one.tokens)
