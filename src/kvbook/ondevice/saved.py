"""A chat of llama.cpp as a file: a header of ours before the entries as llama.cpp writes them.

Where entries do not fit into a cache, such as one of another type, llama.cpp's call returns 0, which is
easily missed; so the header says what they were made with, and a checksum tells whether they are whole.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from kvbook.chat.saved import AGAIN, Token, Turn
from kvbook.errors import ParameterError, ResultError
from kvbook.files import write_whole
from kvbook.methods import Method, create_method
from kvbook.ondevice.bounded import FullCache, How, Mark, Put
from kvbook.ondevice.peer.capi import VERSION
from kvbook.ondevice.process import CacheType
from kvbook.ondevice.weights import Weights, checksum, gguf_of

FORMAT = "kvbook-device-chat-1"


class Settings(BaseModel):
    """What the process and the context of a chat were opened with; see
    `kvbook.ondevice.chat.DeviceChat`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: Weights
    cache: CacheType
    how: How
    summarizer: Literal["model", "lexical"] | None
    entries: int = Field(ge=1)
    flash: Literal["auto", "on", "off"]


class Held(BaseModel):
    """What is known of the entries, as in `kvbook.ondevice.bounded.Mark`."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Token]
    entries: int = Field(ge=0)
    summary: list[Token] = []
    summaries: list[Put] = []
    done: int = 0
    next: int = 0
    moves: int = 0


class Facts(BaseModel):
    """The header. ``checksum`` is of the bytes behind it, ``gguf`` of the model's file, ``version``
    llama.cpp's."""

    model_config = ConfigDict(extra="forbid")

    format: str
    version: str
    method: str
    parameters: dict[str, JsonValue]
    settings: Settings
    gguf: str
    held: Held
    turns: list[Turn]
    pending: list[Token]
    checksum: str


@dataclass(frozen=True)
class SavedChat:
    """What a file holds: its header, the method that it names, and the entries."""

    facts: Facts
    method: Method
    state: bytes

    def mark(self) -> Mark:
        """For `kvbook.ondevice.bounded.FullCache.restore`, in a cache that was just opened."""
        held = self.facts.held
        return Mark({name: getattr(held, name) for name in Held.model_fields}, self.state or None)


def write_chat(
    path: Path,
    gguf: Path,
    method: Method,
    settings: Settings,
    cache: FullCache,
    turns: list[Turn],
    pending: list[int],
) -> None:
    """Write a chat, whole or not at all; see `kvbook.ondevice.chat.DeviceChat.save`."""
    parameters = dataclasses.asdict(method)
    called = [name for name, value in parameters.items() if callable(value)]
    if called and not settings.summarizer:
        raise ParameterError(f"{called[0]} is a function of yours, which a saved chat cannot hold")
    for name in called:
        del parameters[name]
    mark = cache.mark()
    state = mark.state if mark.state is not None else cache.context.state() if cache.ids else b""
    facts = Facts(
        format=FORMAT,
        version=VERSION,
        method=method.name,
        parameters=parameters,
        settings=settings,
        gguf=checksum(gguf),
        held=Held(**mark.facts),
        turns=turns,
        pending=pending,
        checksum=hashlib.sha256(state).hexdigest(),
    )
    write_whole(path, facts.model_dump_json().encode() + b"\n" + state)


def read_chat(path: Path, model: str | Path) -> SavedChat:
    """Read and check a file for this model; see `kvbook.ondevice.chat.DeviceChat.load`."""
    try:
        header, _, state = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        raise ResultError(f"there is no saved chat at {path}") from None
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror}") from None
    if FORMAT.encode() not in header[:80]:
        raise ResultError(f"{path} is no chat in llama.cpp that this kvbook saved")
    try:
        facts = Facts.model_validate_json(header)
        method = create_method(facts.method, **facts.parameters)
    except (ValidationError, ParameterError) as error:
        raise ResultError(f"the chat saved in {path} is damaged ({error}): {AGAIN}") from None
    if facts.version != VERSION:
        raise ResultError(
            f"{path} was saved by llama.cpp {facts.version}, here is {VERSION}: {AGAIN}"
        )
    if hashlib.sha256(state).hexdigest() != facts.checksum:
        raise ResultError(f"the chat saved in {path} is truncated or damaged: {AGAIN}")
    if checksum(gguf_of(model, facts.settings.weights)) != facts.gguf:
        raise ParameterError(
            f"{path} was saved with another model than {model}: load the one that it was saved with, or "
            "begin a new chat"
        )
    return SavedChat(facts, method, state)
