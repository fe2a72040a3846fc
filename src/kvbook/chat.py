"""A conversation of many turns on one cache, whatever method bounds it."""

import dataclasses
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor
from transformers import TextStreamer
from typing_extensions import TypedDict

from kvbook.attach import Run
from kvbook.cache import KVCache
from kvbook.errors import ParameterError, ResultError, UnsupportedError
from kvbook.files import write_whole
from kvbook.methods import Method, create_method
from kvbook.methods.summarykv import Summary
from kvbook.turns import behind_answer, first_turn, later_turn

FORMAT = "kvbook-session-2"
AGAIN = "save it again, or begin a new one"


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
    """One turn of a chat: what was said, what the cache held afterwards, how long it took."""

    user: str
    assistant: str
    contents: Contents
    seconds: float


Token = Annotated[int, Field(ge=0)]


class Counters(TypedDict):
    _prompt: list[int]
    _input: list[int]
    _read: list[int]
    _bytes: list[int]
    _phase: str
    ids: list[Token]
    shared: dict[str, int | list[Token]]
    notes: list[str]
    filter_layers: int
    kv_bytes_peak: int
    prefill_seconds: float
    decode_seconds: float
    decode_tokens: int


"""What of a run's snapshot is plain numbers and texts."""


class Facts(BaseModel):
    """What of a session is no tensor; ``tensors`` says what else the file has to hold."""

    model_config = ConfigDict(extra="forbid")

    method: str
    parameters: dict[str, JsonValue]
    model: str
    turns: list[Turn]
    ids: list[Token]
    pending: list[Token]
    columns: Annotated[int, Field(ge=0)]
    summaries: list[Summary]
    run: Counters
    tensors: dict[str, tuple[str, list[int]]]


class Chat:
    """Talk to a model whose cache a method bounds; a context, for the method stays attached.

    Parameters
    ----------
    lm : LoadedModel
        An instruct model: its tokenizer needs a chat template.
    method : Method
        ``create_method("summarykv", budget=512)``, for example; not one that reads a part of
        its prompt only, as GemFilter does: it would have chosen by the first question.

    Raises
    ------
    UnsupportedError
        The model has no chat template, or the method has a first pass.

    Examples
    --------
    >>> with Chat(lm, create_method("summarykv", budget=512)) as chat:
    ...     chat.say("My locker code is 293.")
    ...     chat.contents().recent
    """

    def __init__(self, lm, method: Method):
        if not getattr(lm.tokenizer, "chat_template", None):
            raise UnsupportedError(f"{lm.name} has no chat template: use an instruct model")
        if hasattr(method, "first_pass"):
            raise UnsupportedError(
                f"{method.name} chooses what to read of a prompt by its end, once; a chat's first "
                "question would choose for all others: take another method"
            )
        self.lm, self.method = lm, method
        self.turns: list[Turn] = []
        self.run: Run | None = None
        self._ids: list[int] = []  # what the cache has read
        self._pending: list[int] = []  # the end of the last answer, which it has not
        self._saved: tuple[Facts, dict[str, Tensor]] | None = None
        self._open = ExitStack()
        self._over = False

    def __enter__(self) -> "Chat":
        if self.run is not None:
            raise UnsupportedError(
                "a chat is one `with` block: save it there, and go on with Chat.load"
            )
        self.run = self._open.enter_context(self.method.attach(self.lm.model))
        if self._saved:
            self._resume(*self._saved)
        return self

    def __exit__(self, *error) -> None:
        self._over = True
        self._open.close()

    def say(
        self,
        text: str,
        *,
        max_new_tokens: int = 64,
        stream: Callable[[str], None] | None = None,
        **generation,
    ) -> str:
        """One turn: what the model answers.

        Parameters
        ----------
        text : str
            What the user says.
        max_new_tokens : int
            The answer is cut there.
        stream : callable, optional
            Called with pieces of the answer as they come, for example
            ``lambda piece: print(piece, end="", flush=True)``.
        **generation
            For transformers' ``generate``, such as ``do_sample=True``; greedy by default.

        Raises
        ------
        UnsupportedError
            Outside the chat's ``with`` block.

        Notes
        -----
        When anything stops a turn in the middle (an error, Ctrl-C, also within a summary),
        the chat is as it was before the turn, and can go on.
        """
        run = self._begun()
        if self._over:
            raise UnsupportedError(
                "the chat's block has ended: talk within it, or save it there and go on with Chat.load"
            )
        started, before = time.perf_counter(), run.snapshot()
        tokenizer, model = self.lm.tokenizer, self.lm.model
        whole = self._ids + self._pending + self._opening(text)
        ids = torch.tensor([whole], device=model.device)
        options = {"do_sample": False} | generation
        if stream:
            options["streamer"] = _Stream(tokenizer, stream)
        try:
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                past_key_values=run.cache,
                max_new_tokens=max_new_tokens,
                **options,
            )[0].tolist()
        except BaseException:
            run.restore(before)
            raise
        answer = tokenizer.decode(out[len(whole) :], skip_special_tokens=True).strip()
        self._ids, self._pending = out[:-1], out[-1:] + self._closing(out[-1])
        seconds = time.perf_counter() - started
        self.turns.append(Turn(text, answer, self.contents(), seconds))
        return answer

    def _begun(self) -> Run:
        if self.run is None:
            raise UnsupportedError("talk within the chat's block: `with Chat(lm, method) as chat:`")
        return self.run

    def contents(self) -> Contents:
        """What the cache holds now.

        Raises
        ------
        UnsupportedError
            Before the chat's ``with`` block.
        """
        run, decode = self._begun(), self.lm.tokenizer.decode
        if run.cache is None:
            return Contents("", "", "", 0, 0, 0)
        summary = run.shared.get("summary", [])
        layer = run.cache.layers[0]
        positions = layer.positions[0, 0].tolist()
        sinks = run.shared.get("sinks", min(getattr(self.method, "sinks", 0), len(positions)))
        recent = positions[sinks + len(summary) :]
        waiting = 0
        if "done" in run.shared:  # up to where what was evicted is in a summary
            waiting = (recent[0] if recent else len(self._ids)) - run.shared["done"]
        return Contents(
            decode([self._ids[p] for p in positions[:sinks]]),
            decode(summary),
            decode([self._ids[p] for p in recent if p < len(self._ids)]),
            len(positions),
            max(0, waiting),
            run.kv_bytes,
        )

    def _opening(self, text: str) -> list[int]:
        """The tokens that a user's words add to the conversation."""
        begin = later_turn if self._ids else first_turn
        words = begin(self.lm.tokenizer, text)
        return self.lm.tokenizer(words, add_special_tokens=False).input_ids

    def _closing(self, last: int) -> list[int]:
        """What the template puts behind an answer that ended with the token ``last``."""
        words = behind_answer(self.lm.tokenizer)
        ids = self.lm.tokenizer(words, add_special_tokens=False).input_ids
        return ids[1:] if ids and ids[0] == last else ids

    # ---- to a file, and back ------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the session to one file, whole or not at all: a safetensors file, no pickle.

        Raises
        ------
        ParameterError
            The method has a callable, or remembers something else that no file can hold.
        ResultError
            The disk is full, or the folder cannot be written.
        UnsupportedError
            Before the chat's ``with`` block.
        """
        parameters = dataclasses.asdict(self.method)
        called = [name for name, value in parameters.items() if callable(value)]
        if called:
            raise ParameterError(
                f"{called[0]} is a function of yours, which a session file cannot hold"
            )
        state, tensors = self._begun().snapshot(), {}
        for i, layer in enumerate(state["cache"].layers if state["cache"] else []):
            for name in ("keys", "values", "positions"):
                tensors[f"{i}/{name}"] = getattr(layer, name)
        for (layer, row), memory in state["_memory"].items():
            for name, value in memory.items():
                parts = value if isinstance(value, tuple) else (value,)
                for part, tensor in enumerate(parts):
                    one = f"{layer}/memory/{row}/{name}/{part}/{len(parts)}"
                    tensors[one] = tensor
        # a copy each: layers may share their positions, which a file may not
        tensors = {name: one.clone().contiguous() for name, one in tensors.items()}
        try:
            facts = Facts(
                method=self.method.name,
                parameters=parameters,
                model=_fingerprint(self.lm),
                turns=self.turns,
                ids=self._ids,
                pending=self._pending,
                columns=state["cache"].layers[0].columns if state["cache"] else 0,
                summaries=state["summaries"],
                run={name: state[name] for name in Counters.__annotations__},
                tensors=_inventory(tensors),
            )
        except ValidationError as error:  # a method of your own
            first = error.errors()[0]
            raise ParameterError(
                f"a session file cannot hold {'.'.join(map(str, first['loc']))} of "
                f"{self.method.name}: {first['msg']}"
            ) from None
        metadata = {"format": FORMAT, "facts": facts.model_dump_json()}
        write_whole(Path(path), to_bytes(tensors or {"empty": torch.zeros(1)}, metadata))

    @classmethod
    def load(cls, path: str | Path, lm) -> "Chat":
        """A saved session, to go on with: ``with Chat.load(path, lm) as chat:``.

        Raises
        ------
        ResultError
            The file is missing, truncated, or something else.
        ParameterError
            It was saved with another model or dtype.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise ResultError(
                        f"{path} is no session of kvbook (it says {metadata.get('format')!r})"
                    )
                facts = Facts.model_validate_json(metadata.get("facts", ""))
                tensors = {
                    name: file.get_tensor(name)
                    for name in file.keys()  # noqa: SIM118 - it is no dictionary
                    if name != "empty"
                }
        except FileNotFoundError:
            raise ResultError(f"there is no session at {path}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "its facts"
            raise ResultError(
                f"the session in {path} is damaged ({where}: {first['msg']}): {AGAIN}"
            ) from None
        except (SafetensorError, OSError) as error:
            raise ResultError(f"{path} is truncated, or no session of kvbook: {error}") from None
        if facts.model != _fingerprint(lm):
            raise ParameterError(
                f"{path} was saved with {facts.model}, and this is {_fingerprint(lm)}"
            )
        vocabulary = lm.model.config.vocab_size
        if max([*facts.ids, *facts.pending, 0]) >= vocabulary or facts.columns != len(facts.ids):
            raise ResultError(f"the session in {path} is damaged (ids): {AGAIN}")
        layers = range(lm.model.config.num_hidden_layers if facts.columns else 0)
        needed = {f"{i}/{part}" for i in layers for part in ("keys", "values", "positions")}
        if facts.tensors != _inventory(tensors) or not needed <= set(tensors):
            raise ResultError(f"the session in {path} lacks a part of its cache: {AGAIN}")
        chat = cls(lm, create_method(facts.method, **facts.parameters))
        chat._saved = (facts, tensors)
        return chat

    def _resume(self, facts: Facts, tensors: dict[str, Tensor]) -> None:
        """Put a saved session into the run that has just begun."""
        self.turns = list(facts.turns)
        self._ids, self._pending = facts.ids, facts.pending
        state: dict[str, Any] = self.run.snapshot() | facts.run
        state |= {"_memory": {}, "summaries": facts.summaries}
        device = self.lm.model.device
        if facts.columns:
            state["cache"] = KVCache(len(self.lm.model.base_model.layers))
            for i, layer in enumerate(state["cache"].layers):
                layer.assign(
                    *(tensors[f"{i}/{name}"].to(device) for name in ("keys", "values", "positions"))
                )
                layer.is_initialized, layer.columns = True, facts.columns
        for name in sorted(one for one in tensors if "/memory/" in one):
            layer, _, row, key, _, parts = name.split("/")
            memory, tensor = state["_memory"].setdefault((int(layer), int(row)), {}), tensors[name]
            tensor = tensor.to(device)
            memory[key] = tensor if parts == "1" else (*memory.get(key, ()), tensor)
        self.run.restore(state)


class _Stream(TextStreamer):
    """Hands pieces of the answer on instead of printing them."""

    def __init__(self, tokenizer, call: Callable[[str], None]):
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.call = call

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if text:
            self.call(text)


def _inventory(tensors: dict[str, Tensor]) -> dict[str, tuple[str, list[int]]]:
    """Type and shape of every tensor."""
    return {name: (str(one.dtype), list(one.shape)) for name, one in tensors.items()}


def _fingerprint(lm) -> str:
    config = lm.model.config
    sizes = f"{config.num_hidden_layers} layers of {config.hidden_size}"
    return f"{lm.name}, {sizes}, {str(lm.model.dtype).removeprefix('torch.')}"
