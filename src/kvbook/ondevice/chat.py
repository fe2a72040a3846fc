"""A conversation of many turns in llama.cpp, whatever method bounds its cache."""

import codecs
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, get_args

from kvbook.chat.saved import Contents, Turn
from kvbook.errors import ParameterError, UnsupportedError
from kvbook.lm.models import EMBEDDED
from kvbook.lm.text import check_text
from kvbook.lm.turns import behind_answer, first_turn, later_turn
from kvbook.methods import FullKV, Method, SummaryKV
from kvbook.ondevice.bounded import (
    BoundedCache,
    FullCache,
    How,
    Summarize,
    check_method,
    open_cache,
    write,
)
from kvbook.ondevice.process import CacheType, LlamaCpp
from kvbook.ondevice.saved import SavedChat, Settings, read_chat, write_chat
from kvbook.ondevice.summaries import SUMMARIZERS
from kvbook.ondevice.weights import Weights, gguf_of, tokenizer_of

CONTEXT = 4096
"""Entries of a full cache, when nothing else is said."""
TURN = 2048
"""Most tokens of one turn, so that the context's size is known before there is one."""


class DeviceChat:
    """Talk to a model in llama.cpp, in a ``with`` block: the process of llama.cpp runs within it.

    Parameters
    ----------
    method : Method
        ``create_method("summarykv", budget=512)``, for example: see
        `kvbook.ondevice.bounded.open_cache` for those that llama.cpp can hold.
    model : str or Path
        As in `kvbook.ondevice.weights.gguf_of`: with a chat template.
    weights : {"q4_1", "q8_0", "f16", "f32"}
        What its matrices are stored in.
    cache : {"f16", "f32", "q8_0", "q4_0"}
        What keys and values are stored in.
    how : {"shift", "reread"}
        How the gap is closed; for a quantised cache ``"reread"`` loses less.
    summarizer : {"model", "lexical"}, optional
        What makes the summaries; left out: the method's own ``summarizer``, which may be a
        callable.
    entries : int
        Room of a full cache, in tokens.
    flash : {"auto", "on", "off"}
        Flash attention; ``"off"`` is exact in float32.
    threads : int, optional
        Threads that compute together.

    Examples
    --------
    >>> with DeviceChat(create_method("summarykv", budget=256), cache="q8_0") as chat:
    ...     chat.say("My locker code is 293.")
    ...     chat.contents().summary
    """

    def __init__(
        self,
        method: Method,
        model: str | Path = EMBEDDED,
        *,
        weights: Weights = "q4_1",
        cache: CacheType = "f16",
        how: How = "shift",
        summarizer: Literal["model", "lexical"] | None = None,
        entries: int = CONTEXT,
        flash: Literal["auto", "on", "off"] = "auto",
        threads: int | None = None,
    ):
        self.method = check_method(method, how)
        for name, value, known in (
            ("weights", weights, get_args(Weights)),
            ("cache", cache, get_args(CacheType)),
            ("summarizer", summarizer, (*SUMMARIZERS, None)),
            ("flash", flash, ("auto", "on", "off")),
        ):
            if value not in known:
                raise ParameterError(f"{name}={value!r}: give {', '.join(map(repr, known))}")
        if entries < 1:
            raise ParameterError(f"entries={entries}: give at least 1")
        self.settings = Settings(
            weights=weights,
            cache=cache,
            how=how,
            summarizer=summarizer,
            entries=entries,
            flash=flash,
        )
        self.tokenizer = tokenizer_of(model)
        if not self.tokenizer.chat_template:
            raise UnsupportedError(f"{model} has no chat template: use an instruct model")
        self.llama = LlamaCpp(gguf_of(model, weights), threads)
        self.turns: list[Turn] = []
        self._pending: list[int] = []  # the end of the last answer, which the cache has not read
        self._saved: SavedChat | None = None
        self._open = ExitStack()
        self._cache: FullCache | None = None

    def __enter__(self) -> "DeviceChat":
        if self._cache is not None:
            raise UnsupportedError(
                "a chat is one `with` block: save it there, and go on with DeviceChat.load"
            )
        self._open.enter_context(self.llama)
        try:
            self._cache = self._begin()
            if self._saved:
                self._resume()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *error) -> None:
        self._open.close()

    def _begin(self) -> FullCache:
        """An empty cache."""
        settings = self.settings
        opened: dict[str, Any] = {"cache": settings.cache, "flash": settings.flash}
        summarize: Summarize | None = None
        if isinstance(self.method, SummaryKV) and self.method.summary_tokens:
            named = settings.summarizer or self.method.summarizer
            summarize = named if callable(named) else None
            if isinstance(named, str):
                summarize = SUMMARIZERS[named](self.llama, self.tokenizer, **opened)
        longest = settings.entries if isinstance(self.method, FullKV) else TURN
        return open_cache(
            self.llama, self.method, longest, how=settings.how, summarize=summarize, **opened
        )

    def say(
        self,
        text: str,
        *,
        max_new_tokens: int = 64,
        stream: Callable[[str], None] | None = None,
    ) -> str:
        """One turn: what the model answers, greedily.

        Parameters
        ----------
        text : str
            What the user says.
        max_new_tokens : int
            Most tokens of the answer; it is cut there.
        stream : callable, optional
            Called with pieces of the answer as they come.

        Raises
        ------
        UnsupportedError
            Outside the chat's ``with`` block.
        ParameterError
            Before anything runs: ``text`` is no text, ``max_new_tokens`` is below 1, a full cache
            has no room for the turn and its answer, or a bounded one gets a turn of more than
            `TURN` tokens.

        Notes
        -----
        When anything stops a turn (an error, Ctrl-C, also within a summary), the chat is as it was
        before the turn, and can go on.
        """
        check_text(text, "what the user says")
        if max_new_tokens < 1:
            raise ParameterError(f"max_new_tokens={max_new_tokens}: give at least 1")
        cache = self._begun()
        begin = later_turn if cache.ids else first_turn
        ids = self._pending + self.llama.tokenize(begin(self.tokenizer, text))
        self._check_room(len(ids), max_new_tokens)
        started, before = time.perf_counter(), cache.mark()
        try:
            new = self._answer(ids, max_new_tokens, stream or (lambda piece: None))
            answer = self.llama.text(new).strip()
            turn = Turn(text, answer, self.contents(), time.perf_counter() - started)
        except BaseException:
            cache.restore(before)
            raise
        self._pending = new[-1:] + self._closing(new[-1])
        self.turns.append(turn)
        return answer

    def _check_room(self, count: int, new: int) -> None:
        """Refuse a turn that does not fit, before anything is read."""
        cache = self._begun()
        if isinstance(cache, BoundedCache):
            if count > TURN:
                raise ParameterError(f"a turn of {count} tokens: give at most {TURN}")
        elif cache.entries + count + new > cache.context.entries:
            raise ParameterError(
                f"the cache holds {cache.entries} of {cache.context.entries} entries, and this turn needs "
                f"up to {count + new}: begin a new chat with more entries, or take a method that bounds it"
            )

    def _answer(self, ids: list[int], most: int, stream: Callable[[str], None]) -> list[int]:
        """The tokens that the model writes behind all that was said."""
        new, decode = [], codecs.getincrementaldecoder("utf-8")("replace").decode
        for token in write(self._begun(), ids, most):
            new.append(token)
            if piece := decode(self.llama.pieces([token])[0]):
                stream(piece)
        if piece := decode(b"", True):
            stream(piece)
        return new

    def _closing(self, last: int) -> list[int]:
        """What the template puts behind an answer that ended with the token ``last``."""
        ids = self.llama.tokenize(behind_answer(self.tokenizer))
        return ids[1:] if ids and ids[0] == last else ids

    def _begun(self) -> FullCache:
        if self._cache is None:
            raise UnsupportedError(
                "talk within the chat's block: `with DeviceChat(method) as chat:`"
            )
        return self._cache

    def contents(self) -> Contents:
        """What the cache holds now; its bytes as llama.cpp would write them.

        Raises
        ------
        UnsupportedError
            Before the chat's ``with`` block.
        """
        cache, text = self._begun(), lambda ids: self.llama.text(ids, special=True)
        size = cache.context.state_bytes()
        if not isinstance(cache, BoundedCache):
            return Contents("", "", text(cache.ids), cache.entries, 0, size)
        recent = cache.ids[len(cache.ids) - cache.recent :]
        sinks = cache.ids[: min(cache.sinks, cache.entries)]
        summary = text(cache.summary)
        return Contents(text(sinks), summary, text(recent), cache.entries, cache.waiting, size)

    # ---- to a file, and back ------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the chat to one file, whole or not at all.

        Raises
        ------
        ParameterError
            The method has a callable, which no file can hold.
        ResultError
            The disk is full, or the folder cannot be written.
        """
        write_chat(
            Path(path),
            self.llama.gguf,
            self.method,
            self.settings,
            self._begun(),
            self.turns,
            self._pending,
        )

    @classmethod
    def load(
        cls, path: str | Path, model: str | Path = EMBEDDED, *, threads: int | None = None
    ) -> "DeviceChat":
        """A saved chat, to go on with: ``with DeviceChat.load(path) as chat:``. Its method, the type
        of its cache and its weights are those that it was saved with.

        Raises
        ------
        ResultError
            The file is missing, damaged, or something else.
        ParameterError
            It was saved with another model.
        """
        saved = read_chat(Path(path), model)
        chat = cls(saved.method, model, **saved.facts.settings.model_dump(), threads=threads)
        chat._saved = saved
        return chat

    def _resume(self) -> None:
        """Put a saved chat into the cache that has just been opened."""
        facts = self._saved.facts
        self.turns, self._pending = list(facts.turns), facts.pending
        self._begun().restore(self._saved.mark())
