"""A conversation of many turns on one cache, whatever method bounds it."""

import dataclasses
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from transformers import TextStreamer

from kvbook.attach import Run
from kvbook.cache import KVCache
from kvbook.errors import ParameterError, ResultError, UnsupportedError
from kvbook.files import write_whole
from kvbook.methods import Method, create_method
from kvbook.methods.summarykv import Summary

FORMAT = "kvbook-session-1"
COUNTERS = [
    "_prompt",
    "_input",
    "_read",
    "_bytes",
    "_phase",
    "ids",
    "shared",
    "notes",
    "filter_layers",
    "kv_bytes_peak",
    "prefill_seconds",
    "decode_seconds",
    "decode_tokens",
]
"""What of a run's snapshot is plain numbers and texts."""


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


class Chat:
    """Talk to a model whose cache a method bounds; a context, for the method stays attached.

    Parameters
    ----------
    lm : LoadedModel
        An instruct model: its tokenizer needs a chat template.
    method : Method
        ``create_method("summarykv", budget=512)``, for example.

    Examples
    --------
    >>> with Chat(lm, create_method("summarykv", budget=512)) as chat:
    ...     chat.say("My locker code is 293.")
    ...     chat.contents().recent
    """

    def __init__(self, lm, method: Method):
        if not getattr(lm.tokenizer, "chat_template", None):
            raise UnsupportedError(f"{lm.name} has no chat template: use an instruct model")
        self.lm, self.method = lm, method
        self.turns: list[Turn] = []
        self.run: Run | None = None
        self._ids: list[int] = []  # what the cache has read
        self._pending: list[int] = []  # the end of the last answer, which it has not
        self._saved: tuple[dict, dict] | None = None
        self._open = ExitStack()

    def __enter__(self) -> "Chat":
        self.run = self._open.enter_context(self.method.attach(self.lm.model))
        if self._saved:
            try:
                self._resume(*self._saved)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                self._open.close()
                raise ResultError(
                    f"the session that was loaded is not whole ({error!r}): save it again, or begin a new one"
                ) from None
        return self

    def __exit__(self, *error) -> None:
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
        done = run.shared.get("done", sinks)
        waiting = recent[0] - done if (recent and run.summaries) or "done" in run.shared else 0
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
        apply = self.lm.tokenizer.apply_chat_template
        said = [{"role": "user", "content": "|"}, {"role": "assistant", "content": "|"}]
        new = [{"role": "user", "content": text}]
        if not self._ids:
            words = apply(new, tokenize=False, add_generation_prompt=True)
        else:
            before = apply(said, tokenize=False)
            words = apply(said + new, tokenize=False, add_generation_prompt=True)[len(before) :]
        return self.lm.tokenizer(words, add_special_tokens=False).input_ids

    def _closing(self, last: int) -> list[int]:
        """What the template puts behind an answer that ended with the token ``last``."""
        tokenizer = self.lm.tokenizer
        said = [{"role": "user", "content": "|"}, {"role": "assistant", "content": "@@"}]
        words = tokenizer.apply_chat_template(said, tokenize=False).rsplit("@@", 1)[1]
        ids = tokenizer(words, add_special_tokens=False).input_ids
        return ids[1:] if ids and ids[0] == last else ids

    # ---- to a file, and back ------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the session to one file, whole or not at all: a safetensors file, no pickle.

        Raises
        ------
        ParameterError
            The method has a callable, which no file can hold.
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
                tensors[f"{i}/{name}"] = getattr(layer, name).contiguous()
        for (layer, row), memory in state["_memory"].items():
            for name, value in memory.items():
                parts = value if isinstance(value, tuple) else (value,)
                for part, tensor in enumerate(parts):
                    one = f"{layer}/memory/{row}/{name}/{part}/{len(parts)}"
                    tensors[one] = tensor.contiguous()
        facts = {
            "method": self.method.name,
            "parameters": parameters,
            "model": _fingerprint(self.lm),
            "turns": [dataclasses.asdict(turn) for turn in self.turns],
            "ids": self._ids,
            "pending": self._pending,
            "columns": state["cache"].layers[0].columns if state["cache"] else 0,
            "summaries": [dataclasses.asdict(summary) for summary in state["summaries"]],
            "run": {name: state[name] for name in COUNTERS},
        }
        metadata = {"format": FORMAT, "facts": json.dumps(facts)}
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
                facts = json.loads(metadata["facts"])
                model, method, parameters = (
                    facts[one] for one in ("model", "method", "parameters")
                )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise ResultError(f"there is no session at {path}") from None
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise ResultError(f"{path} is truncated, or no session of kvbook: {error}") from None
        if model != _fingerprint(lm):
            raise ParameterError(f"{path} was saved with {model}, and this is {_fingerprint(lm)}")
        chat = cls(lm, create_method(method, **parameters))
        chat._saved = (facts, tensors)
        return chat

    def _resume(self, facts: dict, tensors: dict) -> None:
        """Put a saved session into the run that has just begun."""
        self.turns = [
            Turn(**turn | {"contents": Contents(**turn["contents"])}) for turn in facts["turns"]
        ]
        self._ids, self._pending = facts["ids"], facts["pending"]
        state = self.run.snapshot() | facts["run"] | {"_memory": {}}
        state["summaries"] = [Summary(**one) for one in facts["summaries"]]
        device = self.lm.model.device
        if facts["columns"]:
            state["cache"] = KVCache(len(self.lm.model.base_model.layers))
            for i, layer in enumerate(state["cache"].layers):
                layer.assign(
                    *(tensors[f"{i}/{name}"].to(device) for name in ("keys", "values", "positions"))
                )
                layer.is_initialized, layer.columns = True, facts["columns"]
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


def _fingerprint(lm) -> str:
    config = lm.model.config
    sizes = f"{config.num_hidden_layers} layers of {config.hidden_size}"
    return f"{lm.name}, {sizes}, {str(lm.model.dtype).removeprefix('torch.')}"
