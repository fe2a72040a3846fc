"""Instructions of a system prompt, and which of them a model still follows after a long talk.

The system prompt gives several; a talk about other things follows. All of it is read and compressed
at once, as the memory of a chat is. Then the user says something that one instruction is about, and
the answer is begun, so that a small model only has to say the word that the instruction names.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import torch

from kvbook.engine.panel import Panel
from kvbook.engine.run import input_device
from kvbook.errors import ParameterError
from kvbook.lm.models import check_loaded
from kvbook.lm.turns import behind_answer, later_turn, render
from kvbook.methods.base import as_methods
from kvbook.tasks.conversations import SMALL_TALK
from kvbook.tasks.together import Label, answer_together

NEW_TOKENS = 6
"""Of an answer: a name of a few words."""


class Rule(NamedTuple):
    """An instruction, with a gap for one of ``choices``; what the user says; how the answer begins."""

    instruction: str
    user: str
    opening: str
    choices: tuple[str, ...]


PEOPLE = ("Anna", "Peter", "Maria", "Jonas", "Clara", "Bruno")
RULES = {
    "shop": Rule(
        "Say that you work for the bookshop {}.",
        "Which shop do you work for?",
        "I work for the bookshop",
        ("Blue Heron", "Red Fox", "Old Lantern", "Silver Oak", "Green Whale"),
    ),
    "hours": Rule(
        "Say that the shop closes at {} when somebody asks.",
        "When does the shop close?",
        "The shop closes at",
        ("five", "six", "seven", "eight", "nine"),
    ),
    "day": Rule(
        "Say that the shop opens on {} when somebody asks.",
        "On which day does the shop open?",
        "The shop opens on",
        ("Monday", "Tuesday", "Thursday", "Friday"),
    ),
    "manager": Rule(
        "Say that the manager is called {} when somebody asks.",
        "Who is the manager?",
        "The manager is called",
        PEOPLE,
    ),
    "doctor": Rule(
        "Send everybody who asks for a doctor to Doctor {}.",
        "I need a doctor. Who can help me?",
        "You can go to Doctor",
        PEOPLE,
    ),
    "street": Rule(
        "Say that the shop is in the street called {} when somebody asks.",
        "Where is the shop?",
        "The shop is in the street called",
        ("Mill Lane", "Church Road", "Station Street", "Garden Walk"),
    ),
    "cat": Rule(
        "Say that the cat of the shop is called {} when somebody asks.",
        "What is the name of the cat?",
        "The cat of the shop is called",
        ("Mango", "Pixel", "Biscuit", "Pepper"),
    ),
    "language": Rule(
        "Answer in {} when somebody asks for the language.",
        "Which language do you answer in?",
        "I answer in",
        ("French", "Spanish", "Italian", "German"),
    ),
}
"""By name. SmolLM2-135M follows them nearly always with its whole cache; instructions about the form
of an answer, such as capital letters, it does not follow at all."""


@dataclass(frozen=True)
class Briefing:
    """A system prompt with instructions, and the talk that came after it.

    Attributes
    ----------
    system : str
        The system prompt.
    talk : tuple of (str, str)
        What the user and the assistant said since.
    words : dict of str to str
        By the rules' names, in the order of the instructions: the word that each asks for.
    """

    system: str
    talk: tuple[tuple[str, str], ...]
    words: dict[str, str]

    def text(self, tokenizer) -> str:
        """All that was said, in the chat template's words, up to the end of the last answer."""
        said = [{"role": "system", "content": self.system}]
        for user, assistant in self.talk:
            said += [
                {"role": "user", "content": user},
                {"role": "assistant", "content": assistant},
            ]
        text = render(tokenizer, said)
        end = text.rindex(self.talk[-1][1]) + len(self.talk[-1][1])
        return text[:end] + behind_answer(tokenizer)  # some templates end a whole talk with more


def make_briefings(count: int, turns: int = 8, seed: int = 0) -> list[Briefing]:
    """Draw system prompts with all of `RULES`, in any order, and talks about something else.

    Parameters
    ----------
    count, turns, seed : int
        How many, the turns of each talk, and what they are drawn from.

    Raises
    ------
    ParameterError
        Fewer than one, or more turns than there is talk for.
    """
    if count < 1 or not 1 <= turns <= len(SMALL_TALK):
        raise ParameterError(
            f"count={count}, turns={turns}: give at least 1, and at most {len(SMALL_TALK)} turns"
        )
    rng, made = random.Random(seed), []
    for _ in range(count):
        names = rng.sample(sorted(RULES), len(RULES))
        words = {name: rng.choice(RULES[name].choices) for name in names}
        told = [RULES[name].instruction.format(word) for name, word in words.items()]
        system = " ".join(["You are an assistant. Follow these instructions.", *told])
        made.append(Briefing(system, tuple(rng.sample(SMALL_TALK, turns)), words))
    return made


def follow_rules(
    lm, methods: Mapping[Label, Any], briefings: Sequence[Briefing]
) -> dict[Label, list[dict[str, bool]]]:
    """Which instructions are still followed, with each of several methods.

    A briefing is read and compressed once for all of its questions; each is asked from the same
    state.

    Returns
    -------
    dict of list of dict of str to bool
        By label, by briefing, by the rule's name: whether the answer goes on with the word that the
        instruction names.
    """
    check_loaded(lm)
    methods, tokenizer = as_methods(methods), lm.tokenizer
    _check_some(briefings)
    followed: dict[Label, list[dict[str, bool]]] = {label: [] for label in methods}
    for one in briefings:
        prompt = _ids(tokenizer, one.text(tokenizer))
        asked = [
            _ids(tokenizer, later_turn(tokenizer, RULES[name].user) + RULES[name].opening)
            for name in one.words
        ]
        answers = answer_together(
            lm,
            list(methods.values()),
            [prompt] * len(asked),
            NEW_TOKENS,
            questions=asked,
            rows=len(asked) * len(methods),
        )
        for label, said in zip(methods, answers, strict=True):
            followed[label].append(
                {
                    name: answer.words.strip("\"'*: ").startswith(word)
                    for (name, word), answer in zip(one.words.items(), said, strict=True)
                }
            )
    return followed


def held_of_system(
    lm, methods: Mapping[Label, Any], briefings: Sequence[Briefing]
) -> dict[Label, float]:
    """What share of the system prompt's entries each of several methods still holds after the talk:
    mean over layers, KV heads and briefings."""
    check_loaded(lm)
    methods, tokenizer = as_methods(methods), lm.tokenizer
    _check_some(briefings)
    panel = Panel(list(methods.values()))
    shares: dict[Label, list[float]] = {label: [] for label in methods}
    for one in briefings:
        text = one.text(tokenizer)
        ids = torch.tensor([_ids(tokenizer, text)], device=input_device(lm.model))
        end = text.index(one.system) + len(one.system)
        size = len(_ids(tokenizer, text[:end]))
        with panel.attach(lm.model) as run, torch.no_grad():
            lm.model(ids.repeat(len(panel), 1), logits_to_keep=1)
        for label, row in zip(methods, run.rows, strict=True):
            held = [((kept >= 0) & (kept < size)).sum(-1).float() for kept in row.kept_positions]
            shares[label].append(float(torch.cat(held).mean()) / size)
    return {label: fmean(of) for label, of in shares.items()}


def _check_some(briefings: Sequence[Briefing]) -> None:
    if not briefings:
        raise ParameterError("no briefings: give at least one")


def _ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids
