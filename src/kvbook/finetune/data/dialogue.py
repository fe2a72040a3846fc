"""A dialogue: messages of which the last answer is trained."""

import re
from dataclasses import dataclass

from kvbook.errors import ParameterError

CONTROL = re.compile(r"<\|\w+\|>")
THINK = re.compile(r"</?think>")


@dataclass(frozen=True)
class Dialogue:
    """One row of the data as a chat.

    Attributes
    ----------
    messages : tuple of dict
        Each ``{"role": ..., "content": ...}``: perhaps a system message, then user and
        assistant in turn; the last is the assistant's answer, which is trained.
    line : int
        Where it stands in its file, from 1.

    Raises
    ------
    ParameterError
        Roles in another order; a text that is not a string, or empty, or not Unicode; a
        text that holds control tokens of a chat template, which the tokenizer would take for
        the template's own; an answer with a think block, since thinking is off.
    """

    messages: tuple[dict[str, str], ...]
    line: int

    def __post_init__(self):
        turns = self.turns
        for number, message in enumerate(turns):
            if message["role"] != ("user", "assistant")[number % 2]:
                raise ParameterError("user and assistant do not alternate, the user first")
        if not turns or len(turns) % 2:
            raise ParameterError("the last message is not an answer of the assistant")
        for message in self.messages:
            _check_text(message["role"], message["content"])

    @property
    def turns(self) -> tuple[dict[str, str], ...]:
        """All messages but the system's."""
        first = self.messages[0]["role"] if self.messages else None
        return self.messages[1:] if first == "system" else self.messages

    @property
    def prompt(self) -> list[dict[str, str]]:
        """All messages before the last answer."""
        return list(self.messages[:-1])

    @property
    def answer(self) -> str:
        """The last answer."""
        return self.messages[-1]["content"]

    @property
    def question(self) -> str:
        """What the answer answers: the prompt's texts, a line each, without the system's."""
        return "\n".join(message["content"] for message in self.turns[:-1])


def _check_text(role: str, content: str) -> None:
    if not isinstance(content, str):
        raise ParameterError(f"a message of the {role} is {kind_of(content)}, not a string")
    if not content.strip():
        raise ParameterError(f"a message of the {role} is empty")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise ParameterError(f"a message of the {role} holds half of a surrogate pair") from None
    found = CONTROL.search(content) or (role == "assistant" and THINK.search(content))
    if found:
        raise ParameterError(f"a message of the {role} holds the control token {found[0]}")


def kind_of(value: object) -> str:
    """What a value is in JSON, in a sentence."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")
