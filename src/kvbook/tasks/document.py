"""A long document with a number for each of several cities, asked for after it was read."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from kvbook.engine.panel import PanelRun
from kvbook.lm.generation import generate_words
from kvbook.lm.models import check_loaded
from kvbook.lm.turns import behind_answer, first_turn, later_turn
from kvbook.tasks.needle import CITIES, read_essays


@dataclass(frozen=True)
class Document:
    """One document, as the first turn of a chat.

    Attributes
    ----------
    ids : Tensor [1, tokens]
        The turn and a short answer.
    numbers : dict of str to str
        By city; evenly spread, in the order of the text.
    """

    ids: Tensor
    numbers: dict[str, str]

    def depth(self, city: str) -> float:
        """Where its number lies: 0 at the start of the text, 1 at its end."""
        return (list(self.numbers).index(city) + 0.5) / len(self.numbers)


def make_document(lm, data: Path, tokens: int, count: int = 8) -> Document:
    """The book's essays, over and over, with numbers hidden in them.

    Parameters
    ----------
    data : Path
        The folder of the book's data.
    tokens : int
        About how many; 200 of them are room for the numbers and the chat's marks.
    count : int
        How many cities.
    """
    check_loaded(lm)
    numbers = {city: str(1000 + 737 * i) for i, city in enumerate(CITIES[:count], 1)}
    text, length = [], 0
    for sentence in (" ".join(read_essays(data)) * 8).split(". "):
        sentence = sentence.strip() + "."
        length += len(lm.tokenizer(" " + sentence, add_special_tokens=False).input_ids)
        if length > tokens - 200:
            break
        text.append(sentence)
    for i, (city, number) in enumerate(numbers.items()):
        place = round((i + 0.5) / count * len(text))
        text.insert(place, f"The special magic number for {city} is {number}.")
    read = first_turn(lm.tokenizer, " ".join(text)) + "I have read it."
    return Document(_ids(lm, read + behind_answer(lm.tokenizer)), numbers)


def ask_document(lm, run: PanelRun, document: Document) -> dict[str, bool]:
    """Which numbers are found, by city, after a panel of one method has read the document.

    Every question starts from the same state, in a row of its own; then the run is left as it was
    before.
    """
    check_loaded(lm)
    state, cities = run.snapshot(), list(document.numbers)
    asked = []
    for city in cities:
        fact = f"special magic number for {city} mentioned in the text"
        question = later_turn(lm.tokenizer, f"What is the {fact}?")
        asked.append(_ids(lm, f"{question}The {fact} is")[0].tolist())
    run.restore(state.pick([0] * len(cities)))
    words = generate_words(lm, asked, 6, read=run.real, past_key_values=run.cache)
    run.restore(state)
    return {
        city: said.strip().startswith(document.numbers[city])
        for city, said in zip(cities, words, strict=True)
    }


def _ids(lm, text: str) -> Tensor:
    ids = lm.tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
    return ids.to(lm.model.device)
