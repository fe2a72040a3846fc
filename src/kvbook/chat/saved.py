"""A chat as a file: what was said and what the cache holds, as safetensors, no pickle."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor
from typing_extensions import TypedDict

from kvbook.engine.cache import KVCache
from kvbook.engine.run import Run
from kvbook.engine.state import PromptState
from kvbook.errors import ParameterError, ResultError
from kvbook.files import write_whole
from kvbook.lm.identity import identity_of
from kvbook.methods import Method
from kvbook.methods.summarykv import Summary

FORMAT = "kvbook-chat-4"
AGAIN = "save it again, or begin a new one"
PARTS = ("keys", "values", "positions")


@dataclass(frozen=True)
class Contents:
    """What the first layer's first KV head holds, to read.

    Attributes
    ----------
    sinks, summary, recent : str
        The three parts; a method without sinks or a summary has all in ``recent``.
    entries : int
        How many entries they are together.
    waiting : int
        Evicted tokens that no summary holds yet.
    kv_bytes : int
        Of all layers.
    """

    sinks: str
    summary: str
    recent: str
    entries: int
    waiting: int
    kv_bytes: int


@dataclass(frozen=True)
class Turn:
    """One turn of a chat.

    Attributes
    ----------
    user, assistant : str
        What was said; the answer without special tokens.
    contents : Contents
        What the cache held afterwards.
    seconds : float
        From the call of `kvbook.chat.Chat.say` to the end of the answer, summaries included.
    """

    user: str
    assistant: str
    contents: Contents
    seconds: float


Token = Annotated[int, Field(ge=0)]


class Counted(TypedDict):
    """The fields of `PromptState` that are numbers and texts. Its ``cache`` and ``memory`` are
    tensors; what the prefill kept is a record, and is not saved."""

    phase: Literal["prompt", "turn", "decode"]
    prompt_lengths: list[int]
    input_lengths: list[int]
    read_lengths: list[int]
    layer_bytes: list[int]
    shared: dict[str, int | list[Token] | list[Summary]]
    notes: list[str]
    filter_layers: int
    kv_bytes_peak: int
    prefill_seconds: float
    decode_seconds: float
    decode_tokens: int


class Facts(BaseModel):
    """What of a saved chat is no tensor; ``tensors`` says what else the file has to hold.

    ``model`` is the name that the model was loaded by. It may differ when the chat is loaded.
    ``made_with`` is what `kvbook.lm.identity.identity_of` says of the model. It must be the same.
    """

    model_config = ConfigDict(extra="forbid")

    method: str
    parameters: dict[str, JsonValue]
    model: str
    made_with: dict[str, str]
    turns: list[Turn]
    ids: list[Token]
    pending: list[Token]
    state: Counted
    tensors: dict[str, tuple[str, list[int]]]


@dataclass(frozen=True)
class SavedChat:
    """What a file holds.

    Attributes
    ----------
    facts : Facts
        Plain numbers and texts.
    tensors : dict of str to Tensor
        ``<layer>/keys``, ``values`` and ``positions``; and what the method remembers of a layer
        and a sequence, ``<layer>/memory/<row>/<name>/<part>/<parts>``.
    """

    facts: Facts
    tensors: dict[str, Tensor]

    def state(self, device: torch.device) -> PromptState:
        """For `kvbook.engine.run.Run.restore`, in a run that has just begun."""
        state = PromptState(**self.facts.state)
        tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        if self.facts.ids:
            state.cache = KVCache(sum(name.endswith("/keys") for name in tensors))
            for i, layer in enumerate(state.cache.layers):
                layer.assign(*(tensors[f"{i}/{part}"] for part in PARTS))
                layer.columns = len(self.facts.ids)
        for name in sorted(one for one in tensors if "/memory/" in one):
            layer, _, row, rest = name.split("/", 3)
            key, _, parts = rest.rsplit("/", 2)
            memory = state.remembered(int(layer), int(row))
            one = tensors[name]
            memory[key] = one if parts == "1" else (*memory.get(key, ()), one)
        return state


def write_chat(
    path: Path,
    lm,
    method: Method,
    run: Run,
    turns: Sequence[Turn],
    ids: list[int],
    pending: list[int],
) -> None:
    """Write a chat, whole or not at all; see `kvbook.chat.Chat.save`.

    Parameters
    ----------
    ids, pending : list of int
        What the cache has read, and the end of the last answer, which it has not.
    """
    if hasattr(method, "make_layer"):
        raise ParameterError(
            f"a saved chat cannot hold the packed entries of {method.name}: chat with the method that "
            "is inside it, and save that"
        )
    parameters = dataclasses.asdict(method)
    called = [name for name, value in parameters.items() if callable(value)]
    if called:
        raise ParameterError(f"{called[0]} is a function of yours, which a saved chat cannot hold")
    state = run.state
    state.read_clock()
    tensors = _tensors(state)
    try:
        facts = Facts(
            method=method.name,
            parameters=parameters,
            model=lm.name,
            made_with=identity_of(lm),
            turns=list(turns),
            ids=ids,
            pending=pending,
            state={name: getattr(state, name) for name in Counted.__annotations__},
            tensors=_inventory(tensors),
        )
    except ValidationError as error:  # a method of your own
        raise ParameterError(
            f"a saved chat cannot hold what {method.name} remembers ({_first(error)})"
        ) from None
    metadata = {"format": FORMAT, "facts": facts.model_dump_json()}
    write_whole(path, to_bytes(tensors or {"empty": torch.zeros(1)}, metadata))


def read_chat(path: Path, lm) -> SavedChat:
    """Read and check a file for this model; see `kvbook.chat.Chat.load`."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ResultError(
                    f"{path} is no chat that this kvbook saved: its format is "
                    f"{metadata.get('format')!r}, and {FORMAT!r} is read here"
                )
            facts = Facts.model_validate_json(metadata.get("facts", ""))
            names = [name for name in file.keys() if name != "empty"]  # noqa: SIM118
            tensors = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise ResultError(f"there is no saved chat at {path}") from None
    except ValidationError as error:
        raise ResultError(
            f"the chat saved in {path} is damaged ({_first(error)}): {AGAIN}"
        ) from None
    except (SafetensorError, OSError) as error:
        raise ResultError(f"{path} is truncated, or no saved chat of kvbook: {error}") from None
    other = [
        name for name, is_now in identity_of(lm).items() if facts.made_with.get(name) != is_now
    ]
    if other:
        raise ParameterError(
            f"{path} was saved with {facts.model}, and {lm.name} has not the same "
            f"{', '.join(other)}: load the model that it was saved with, or begin a new chat"
        )
    vocabulary = lm.model.config.vocab_size
    if max([*facts.ids, *facts.pending, 0]) >= vocabulary or sum(
        facts.state["read_lengths"]
    ) != len(facts.ids):
        raise ResultError(f"the chat saved in {path} is damaged (ids): {AGAIN}")
    layers = range(lm.model.config.num_hidden_layers if facts.ids else 0)
    needed = {f"{i}/{part}" for i in layers for part in PARTS}
    if facts.tensors != _inventory(tensors) or not needed <= set(tensors):
        raise ResultError(f"the chat saved in {path} lacks a part of its cache: {AGAIN}")
    return SavedChat(facts, tensors)


def _tensors(state: PromptState) -> dict[str, Tensor]:
    """The tensors of a state, each a copy: layers may share their positions, which a file may
    not."""
    found: dict[str, Tensor] = {}
    for i, layer in enumerate(state.cache.layers if state.cache else []):
        found |= {f"{i}/{part}": getattr(layer, part) for part in PARTS}
    for (layer, row), memory in state.memory.items():
        for name, value in memory.items():
            parts = value if isinstance(value, tuple) else (value,)
            for part, tensor in enumerate(parts):
                found[f"{layer}/memory/{row}/{name}/{part}/{len(parts)}"] = tensor
    odd = [name for name, one in found.items() if not isinstance(one, Tensor)]
    if odd:
        raise ParameterError(f"a saved chat cannot hold {odd[0]}, which is no tensor")
    return {name: one.clone().contiguous() for name, one in found.items()}


def _first(error: ValidationError) -> str:
    """What is wrong first, and where."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'its facts'}: {first['msg']}"


def _inventory(tensors: dict[str, Tensor]) -> dict[str, tuple[str, list[int]]]:
    """Type and shape of every tensor."""
    return {name: (str(one.dtype), list(one.shape)) for name, one in tensors.items()}
