"""Conversations in which facts are told early and asked at the end.

Drawn from a seed and written to ``data/conversations/conversations.jsonl``; run this module
to write it again.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from kvbook.engine.panel import Panel
from kvbook.engine.run import Run
from kvbook.errors import ParameterError, ResultError
from kvbook.lm.generation import generate_words, pad_left
from kvbook.lm.models import check_loaded
from kvbook.lm.turns import behind_answer, first_turn, later_turn
from kvbook.methods.base import as_methods
from kvbook.texts import parse_json, read_lines

FILE = Path("conversations") / "conversations.jsonl"
TOGETHER = 16
"""Rows that are read at the same time, one a conversation and method; each of their facts has a row when
it is asked."""
NAMES = [
    "Nadia",
    "Bruno",
    "Clara",
    "Hugo",
    "Ingrid",
    "Marco",
    "Selma",
    "Pablo",
    "Greta",
    "Oscar",
    "Livia",
    "Anton",
]
PETS = ["Biscuit", "Pepper", "Mango", "Shadow", "Ginger", "Clover", "Waffle", "Pickle"]
CITIES = ["Lisbon", "Oslo", "Lima", "Hanoi", "Dublin", "Cairo", "Riga", "Turin", "Bergen", "Kyoto"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
COLOURS = ["green", "red", "yellow", "purple", "orange", "white", "black", "blue"]

FACTS = {
    "locker": ("The code of my locker is {}.", "the code of my locker", None),
    "sister": ("My sister is called {}.", "the name of my sister", NAMES),
    "pet": ("My cat is called {}.", "the name of my cat", PETS),
    "born": ("The city where I was born is {}.", "the city where I was born", CITIES),
    "dentist": ("My dentist appointment is on {}.", "the day of my dentist appointment", DAYS),
    "bicycle": ("The colour of my bicycle is {}.", "the colour of my bicycle", COLOURS),
    "exam": ("The day of my exam is {}.", "the day of my exam", DAYS),
    "room": ("The number of my hotel room is {}.", "the number of my hotel room", None),
}  # fmt: skip
"""By key: how it is told, what is asked for, and what it may be (None: a number)."""

SMALL_TALK = [
    ("How do I keep basil fresh?", "Put the stems in a glass of water, like flowers, and leave it on the counter. Cold air turns the leaves dark, so the fridge is a bad place for it."),
    ("Why is the sky red in the evening?", "The light of a low sun takes a long way through the air. The short waves are scattered out of it, and what is left to reach you is mostly the long, warm ones."),
    ("What should I do on a rainy afternoon?", "A rainy afternoon is good for slow things: bake a loaf of bread, sort old photographs, or read the book that has been waiting on the shelf since winter."),
    ("How can I sleep better?", "Go to bed at the same hour, keep the room dark and cool, and leave the screens outside. A short walk after dinner helps more people than they expect."),
    ("Is it worth learning the piano as an adult?", "Yes, it is. Adults learn more slowly with their fingers but faster with their heads, and a quarter of an hour every day is enough to enjoy it within a season."),
    ("How do bees find their way home?", "They learn the shape of the land around the hive, they use the sun as a compass, and they remember how far they have flown by how quickly the ground moved below them."),
    ("What makes bread rise?", "Yeast eats the sugar in the dough and gives off gas. The long strands of gluten hold the gas in small bubbles, and the heat of the oven sets them for good."),
    ("How do I stop my houseplants from dying?", "Most of them drown. Wait until the soil is dry to the depth of a finger, water them well, and let the rest run off. Light matters more than food."),
    ("Why do cats purr?", "Nobody knows all of it. They purr when they are content, but also when they are hurt, so it may calm them, and it may help the mother and the young to find each other."),
    ("Can you explain how tides work?", "The moon pulls the water on the near side a little more than the earth, and the earth a little more than the water on the far side. So the sea bulges on both."),
    ("What is a good way to start running?", "Run so slowly that you could still talk, walk whenever you like, and come back the day after tomorrow. The lungs learn quickly, the knees take their time."),
    ("How do I make a strong cup of tea?", "Use fresh water that has just boiled, more leaves rather than more time, and warm the pot first. If it turns bitter, the leaves were in it for too long."),
    ("Why do leaves change their colour?", "In autumn the tree takes the green pigment back, for it is precious. What you see then was there all summer, hidden behind the green."),
    ("How do I remove a stain of red wine?", "Press it dry with a cloth, do not rub. Then pour sparkling water over it and press again. Salt helps when it is fresh, patience when it is old."),
    ("What is the best way to learn words of a language?", "Meet them in sentences, say them aloud, and meet them again just before you would forget them. Short and often beats long and seldom."),
    ("Do plants talk to each other?", "In a way. Some give off scents when they are eaten, and their neighbours prepare themselves. Under the ground, fungi carry sugar from one root to another."),
    ("How does a fridge make cold?", "It does not make cold, it moves heat. A liquid turns to gas inside and takes the heat along; behind the fridge it is pressed to a liquid again and lets the heat go."),
    ("What should I pack for the mountains?", "Good shoes, more layers than you believe you need, water, and something against the rain. The weather up there has no respect for the forecast."),
    ("Why does music give me goose bumps?", "When something you hoped for arrives a little later or louder than expected, the brain rewards itself. The skin is only the messenger."),
    ("How do I write a good letter of thanks?", "Say what it was, say what it meant to you, and stop. One detail that only you could have written is worth more than all the polite phrases."),
    ("Are clouds heavy?", "They are. A fair weather cloud weighs as much as a herd of elephants, but it is spread so thinly through the rising air that it floats."),
    ("How do I get a child to eat vegetables?", "Let the child choose them, wash them and cut them. What one has made oneself tastes better. And never make a war of it; hunger is a patient teacher."),
]  # fmt: skip


class Fact(BaseModel):
    """One fact of a conversation: told in ``turn``, asked for by ``question``."""

    model_config = ConfigDict(extra="forbid")

    turn: int
    question: str
    opening: str
    answer: str


class Conversation(BaseModel):
    """What was said before the questions.

    Attributes
    ----------
    turns : list of (user, assistant)
        In order.
    facts : list of Fact
        By the turn in which they are told.
    """

    model_config = ConfigDict(extra="forbid")

    turns: list[tuple[str, str]]
    facts: list[Fact]

    def first(self, turns: int) -> "Conversation":
        """The first ``turns`` turns, with the facts that are told in them."""
        facts = [fact for fact in self.facts if fact.turn < turns]
        return Conversation(turns=self.turns[:turns], facts=facts)


def make_conversations(
    count: int, turns: int = 20, facts: int = 5, seed: int = 0
) -> list[Conversation]:
    """Draw conversations: ``facts`` of the turns tell one, the others are small talk.

    Parameters
    ----------
    count, turns, facts, seed : int
        How many conversations, turns and facts in each, and what they are drawn from. There are 8
        facts and 22 turns of small talk to draw from; the last two turns tell no fact.
    """
    rng, made = random.Random(seed), []
    for _ in range(count):
        told = sorted(rng.sample(range(turns - 2), facts))
        keys = rng.sample(sorted(FACTS), facts)
        talk = iter(rng.sample(SMALL_TALK, turns - facts))
        said, asked = [], []
        for turn in range(turns):
            if turn not in told:
                said.append(next(talk))
                continue
            sentence, what, choices = FACTS[keys[told.index(turn)]]
            answer = rng.choice(choices) if choices else str(rng.randint(100, 999))
            fact = sentence.format(answer)
            said.append((f"Please remember this. {fact}", "All right, I will remember it."))
            opening = f'You told me: "{sentence.split(" {}")[0]}'
            asked.append(
                Fact(turn=turn, question=f"What is {what}?", opening=opening, answer=answer)
            )
        made.append(Conversation(turns=said, facts=asked))
    return made


def read_conversations(data: Path) -> list[Conversation]:
    """The conversations of the book's data.

    Raises
    ------
    ResultError
        The file is missing, or a line of it is not a conversation.
    """
    path, found = Path(data) / FILE, []
    try:
        with path.open("rb") as file:
            lines = list(read_lines(file, path, ResultError))
    except OSError as error:
        raise ResultError(f"no conversations at {path}: {error.strerror}") from None
    for number, line in lines:
        try:
            found.append(Conversation.model_validate(parse_json(line)))
        except ValidationError as error:
            raise ResultError(f"{path}, line {number}: {error.errors()[0]['msg']}") from None
        except ValueError as error:
            raise ResultError(f"{path}, line {number} is not JSON: {error}") from None
    return found


@dataclass(frozen=True)
class Recalled:
    """Whether one fact was recalled, and how long ago it was told.

    Attributes
    ----------
    found : bool
        The answer begins with the fact.
    ago : int
        Tokens between the fact and its question.
    words : str
        The answer.
    """

    found: bool
    ago: int
    words: str


def recall(
    lm, methods: Mapping[str, Any], conversations: Sequence[Conversation], new_tokens: int = 6
) -> dict[str, tuple[list[list[Recalled]], list[Run]]]:
    """Read conversations turn by turn, each through caches of its own, then ask for their facts.

    Conversations of equally many turns are read together by all methods, as rows of a
    `kvbook.engine.panel.Panel`. Every question starts from the same state, in a row of its own, so
    that none of them pushes another's answer out. The runs are left as they were before the
    questions.

    Parameters
    ----------
    methods : mapping of str to Method
        By label, at least one.

    Returns
    -------
    dict of str to (list of list of Recalled, list of Run)
        By label: what was recalled, by conversation and fact; and the runs, by conversation.

    Raises
    ------
    ParameterError
        No conversation, something else than a loaded model and methods.
    """
    check_loaded(lm)
    methods = as_methods(methods)
    panel = Panel([*methods.values()])
    if not conversations:
        raise ParameterError("no conversations: give at least one")
    found = dict[int, list[tuple[list[Recalled], Run]]]()
    size = max(1, TOGETHER // len(panel))
    for turns in {len(one.turns) for one in conversations}:
        alike = [i for i, one in enumerate(conversations) if len(one.turns) == turns]
        for start in range(0, len(alike), size):
            part = alike[start : start + size]
            told = _recall(lm, panel, [conversations[i] for i in part], new_tokens)
            found |= zip(part, told, strict=True)
    of_methods = zip(*(found[i] for i in range(len(conversations))), strict=True)
    return {
        label: ([told for told, _ in of], [run for _, run in of])
        for label, of in zip(methods, of_methods, strict=True)
    }


def _recall(
    lm, panel: Panel, conversations: Sequence[Conversation], new_tokens: int
) -> list[list[tuple[list[Recalled], Run]]]:
    """Some that are read together: what was recalled and the run, by conversation and method."""
    tokenizer, device, each = lm.tokenizer, lm.model.device, len(panel)
    ends = [list[int]() for _ in conversations]
    with panel.attach(lm.model) as run, torch.no_grad():
        for turn, said in enumerate(zip(*(one.turns for one in conversations), strict=True)):
            begin = later_turn if turn else first_turn
            new = [
                _ids(lm, begin(tokenizer, user) + assistant + behind_answer(tokenizer))
                for user, assistant in said
                for _ in panel.methods
            ]
            ids, mask = (one.to(device) for one in pad_left(new))
            lm.model(ids, attention_mask=mask, past_key_values=run.cache, logits_to_keep=1)
            for end, read in zip(ends, run.read_lengths[::each], strict=True):
                end.append(read)
        state = run.snapshot()
        facts = [(i, fact) for i, one in enumerate(conversations) for fact in one.facts]
        words = []
        if facts:
            run.restore(state.pick([each * i + method for i, _ in facts for method in range(each)]))
            words = generate_words(
                lm,
                [
                    _ids(lm, later_turn(tokenizer, fact.question) + fact.opening)
                    for _, fact in facts
                    for _ in panel.methods
                ],
                new_tokens,
                read=run.real,
                past_key_values=run.cache,
            )
            run.restore(state)
    told = [[list[Recalled]() for _ in panel.methods] for _ in conversations]
    for n, (i, fact) in enumerate(facts):
        ago = ends[i][-1] - ends[i][fact.turn]
        for answers, text in zip(told[i], words[each * n : each * (n + 1)], strict=True):
            answers.append(Recalled(text.strip().startswith(fact.answer), ago, text))
    return [
        list(zip(answers, run.rows[each * i : each * (i + 1)], strict=True))
        for i, answers in enumerate(told)
    ]


def _ids(lm, text: str) -> list[int]:
    return lm.tokenizer(text, add_special_tokens=False).input_ids


if __name__ == "__main__":
    from kvbook.files import write_whole
    from kvbook.places import place

    rows = [one.model_dump() for one in make_conversations(40)]
    write_whole(place("data") / FILE, "".join(json.dumps(row) + "\n" for row in rows))
