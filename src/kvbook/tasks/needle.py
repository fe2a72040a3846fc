"""The needle in a haystack: one fact hidden in a long text, asked at the end.

The haystack is the book's own essays (``data/haystack/essays.md``); the needle is a
four-digit number. Everything is drawn from a seed, so two runs see the same prompts. The
answer counts as found when it begins with the number.
"""

import hashlib
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kvbook.errors import ParameterError, ResultError
from kvbook.lm.generation import generate_words
from kvbook.lm.models import check_loaded
from kvbook.lm.text import split_ids
from kvbook.lm.turns import first_turn
from kvbook.methods.base import as_method, as_methods
from kvbook.places import PACKAGE
from kvbook.tasks.header import describe, describe_method
from kvbook.tasks.store import Store, digest
from kvbook.tasks.together import Label, When, answer_together, check_when
from kvbook.texts import read_text

SOURCES = (
    "engine/*.py",
    "methods/*.py",
    "lm/generation.py",
    "lm/text.py",
    "lm/turns.py",
    "tasks/together.py",
)
"""Of this package: what decides an answer."""
NEW_TOKENS = 8
"""Of an answer: four digits, and what may stand before them."""
QUESTION = "What is the special magic number for"
ESSAYS = Path("haystack") / "essays.md"
CITIES = [
    "Lisbon",
    "Oslo",
    "Nairobi",
    "Lima",
    "Hanoi",
    "Quito",
    "Dublin",
    "Cairo",
    "Riga",
    "Porto",
    "Turin",
    "Basel",
    "Ghent",
    "Bergen",
    "Sofia",
    "Kyoto",
]


@dataclass(frozen=True)
class Needle:
    """One prompt.

    Attributes
    ----------
    prompt : str
        Chat-formatted, up to the words that the number must follow.
    answer : str
        The four digits.
    depth : float
        Where the needle lies: 0 at the start of the haystack, 1 at its end.
    tokens : int
        Length of the prompt.
    """

    prompt: str
    answer: str
    depth: float
    tokens: int

    @property
    def digest(self) -> str:
        """Changes with the prompt and the answer."""
        return digest(self.prompt, self.answer)

    id = digest


def read_essays(data: Path) -> list[str]:
    """The haystack's paragraphs.

    Raises
    ------
    ResultError
        ``data`` has no haystack, or it is not text in UTF-8.
    """
    path = Path(data) / ESSAYS
    if not path.is_file():
        raise ResultError(
            f"no haystack at {path}: give the folder that holds {ESSAYS}, in the repository it is data/"
        )
    blocks = [" ".join(block.split()) for block in read_text(path, ResultError).split("\n\n")]
    return [block for block in blocks if block and not block.startswith(("#", "<!--", "---"))]


def make_needles(
    tokenizer, data: Path, count: int = 20, length: int = 1000, seed: int = 0
) -> list[Needle]:
    """Draw ``count`` prompts of about ``length`` tokens, with depths spread evenly over the
    haystack.

    Parameters
    ----------
    tokenizer
        With a chat template.
    data : Path
        The folder of the book's data.
    count, length, seed : int
        How many prompts, how many tokens each, and what they are drawn from.
    """
    paragraphs, rng = read_essays(data), random.Random(seed)
    needles = []
    for i in range(count):
        city, answer = rng.choice(CITIES), str(rng.randint(1000, 9999))
        fact = f"The special magic number for {city} is {answer}."
        depth = (i + 0.5) / count
        needles.append(hide(tokenizer, paragraphs, rng, [fact], city, answer, depth, length))
    return needles


def hide(
    tokenizer,
    paragraphs: Sequence[str],
    rng: random.Random,
    facts: Sequence[str],
    city: str,
    answer: str,
    depth: float,
    length: int,
) -> Needle:
    """One prompt of about ``length`` tokens: the first fact at a depth of the haystack, the others
    anywhere in it, and the question for a city's number."""
    order = rng.sample(paragraphs, len(paragraphs))
    sentences = [s.strip().rstrip(".") + "." for paragraph in order for s in paragraph.split(". ")]
    room = length - len(tokenizer(_chat(tokenizer, facts, city)).input_ids)
    hay = _cut(tokenizer, sentences, room)
    places = [round(depth * len(hay)), *(rng.randint(0, len(hay)) for _ in facts[1:])]
    text = []
    for at in range(len(hay) + 1):
        text += [fact for fact, place in zip(facts, places, strict=True) if place == at]
        text += hay[at : at + 1]
    prompt = _chat(tokenizer, text, city)
    return Needle(prompt, answer, depth, len(tokenizer(prompt).input_ids))


def _cut(tokenizer, sentences: list[str], room: int) -> list[str]:
    """As many sentences as fit, from the start again when they run out."""
    sizes = [len(tokenizer(" " + sentence).input_ids) for sentence in sentences]
    hay, used, i = [], 0, 0
    while used + sizes[i % len(sizes)] <= room:
        hay.append(sentences[i % len(sizes)])
        used += sizes[i % len(sizes)]
        i += 1
    return hay


def _chat(tokenizer, sentences: Sequence[str], city: str) -> str:
    question = f"{QUESTION} {city} mentioned in the text?"
    opening = first_turn(tokenizer, " ".join(sentences) + "\n\n" + question)
    return opening + f"The special magic number for {city} mentioned in the text is"


def ask(lm, method, needle: Needle, new_tokens: int = NEW_TOKENS) -> str:
    """The model's greedy words after the prompt, with ``method`` attached."""
    check_loaded(lm)
    method = as_method(method)
    prompt = lm.tokenizer(needle.prompt, add_special_tokens=False).input_ids
    with method.attach(lm.model):
        return generate_words(lm, [prompt], new_tokens)[0]


def found(needle: Needle, words: str) -> bool:
    """Whether the answer begins with the number."""
    return words.strip().strip("*:\"' ").startswith(needle.answer)


def ask_each(
    lm,
    methods: Mapping[Label, Any],
    needles: Iterable[Needle],
    folder: Path | None = None,
    question: When = "before",
) -> dict[Label, list[bool]]:
    """Which of the needles each of several methods finds; parameters as in `say_each`."""
    check_loaded(lm)
    methods, needles = as_methods(methods), list(needles)
    said = say_each(lm, methods, needles, folder, question)
    return {
        label: [found(*pair) for pair in zip(needles, words, strict=True)]
        for label, words in said.items()
    }


def say_each(
    lm,
    methods: Mapping[Label, Any],
    needles: Iterable[Needle],
    folder: Path | None = None,
    question: When = "before",
) -> dict[Label, list[str]]:
    """What each of several methods says after the needles' prompts; every prompt is read once for all
    of them that only choose what is kept (`kvbook.Panel`).

    Parameters
    ----------
    lm : LoadedModel
        With its tokenizer.
    methods : mapping of Label to Method
        By whatever names them.
    needles : iterable of Needle
        The same for all.
    folder : Path, optional
        What a method of this package has said is written down here, and read instead of asked
        when the same is asked again: chapters share it. None: everything is asked now.
    question : {"before", "after"}
        ``"after"``: the text is read and compressed alone, and the question is the next input.
    """
    check_loaded(lm)
    methods, needles = as_methods(methods), list(needles)
    check_when(question)
    stores = {
        label: _store(lm, method, folder, question)
        for label, method in methods.items()
        if folder and type(method).__module__.startswith("kvbook.")
    }
    before = {label: _known(store, needles) for label, store in stores.items()}
    words = {label: known for label, known in before.items() if known is not None}
    rest = {label: method for label, method in methods.items() if label not in words}
    if rest:
        prompts = [lm.tokenizer(one.prompt, add_special_tokens=False).input_ids for one in needles]
        questions = None
        if question == "after":
            apart = [_apart(lm.tokenizer, one) for one in needles]
            prompts, questions = [first for first, _ in apart], [last for _, last in apart]
        started = time.perf_counter()
        answers = answer_together(lm, list(rest.values()), prompts, NEW_TOKENS, questions=questions)
        seconds = (time.perf_counter() - started) / len(rest) / max(1, len(needles))
        for label, said in zip(rest, answers, strict=True):
            words[label] = [answer.words for answer in said]
            if label in stores:
                records = [{"words": text} for text in words[label]]
                with stores[label].alone():
                    stores[label].add(needles, records, seconds, stores[label].read(needles))
    return {label: words[label] for label in methods}


def _apart(tokenizer, needle: Needle) -> tuple[list[int], list[int]]:
    """The prompt up to the question, and the question."""
    at = needle.prompt.rfind(QUESTION)
    if at < 1:
        raise ParameterError(
            f"a needle's prompt has no question that begins with {QUESTION!r}, so it cannot come "
            "after; take those of make_needles"
        )
    return split_ids(tokenizer, needle.prompt, at)


def _store(lm, method, folder: Path, question: When) -> Store:
    header = describe(lm, method) | {"task": "needle", "new_tokens": NEW_TOKENS}
    header |= {"question": question, "sources": sources_digest()}
    return Store(Path(folder) / Path(lm.name).name, describe_method(method), header)


@lru_cache
def sources_digest() -> str:
    """Of all that asks and answers: with another line anywhere in it, everything is asked again."""
    files = [Path(__file__), *(file for name in SOURCES for file in sorted(PACKAGE.glob(name)))]
    return digest(*(hashlib.sha256(path.read_bytes()).hexdigest() for path in files))


def _known(store: Store, needles: Sequence[Needle]) -> list[str] | None:
    """What was said when all of them were asked before; None: some were not."""
    if not store.path.exists():
        return None
    with store.alone():
        records = store.read(needles)
    known = [records[one.id]["words"] for one in needles if one.id in records]
    return known if len(known) == len(needles) else None


def ask_all(lm, method, needles: Iterable[Needle]) -> list[bool]:
    """Which of the needles ``method`` finds; of several methods on the same needles,
    `ask_each` needs a fraction of the time."""
    [hits] = ask_each(lm, {"asked": method}, needles).values()
    return hits


def ask_grid(
    lm, method, data: Path, lengths: Sequence[int], depths: int, seed: int = 0
) -> list[list[bool]]:
    """Which needles are found, by depth and by length: the field's picture of a long context.

    Parameters
    ----------
    lengths : sequence of int
        About how many tokens a prompt has.
    depths : int
        Needles a length, at depths spread evenly.

    Returns
    -------
    list of list of bool
        ``[depths][lengths]``; the first row is the shallowest depth.
    """
    check_loaded(lm)
    grids = ask_grids(lm, {"asked": as_method(method)}, data, lengths, depths, seed)
    return grids["asked"]


def ask_grids(
    lm,
    methods: Mapping[Label, Any],
    data: Path,
    lengths: Sequence[int],
    depths: int,
    seed: int = 0,
    question: When = "before",
) -> dict[Label, list[list[bool]]]:
    """`ask_grid` of several methods at once; ``question`` as in `ask_each`."""
    check_loaded(lm)
    check_when(question)
    methods = as_methods(methods)
    columns = [
        ask_each(
            lm,
            methods,
            make_needles(lm.tokenizer, data, depths, length, seed),
            question=question,
        )
        for length in lengths
    ]
    return {
        label: [list(row) for row in zip(*(column[label] for column in columns), strict=True)]
        for label in methods
    }
