"""A conversation of many turns on one cache, whatever method bounds it."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from transformers import TextStreamer

from kvbook.chat.saved import Contents, SavedChat, Turn, read_chat, write_chat
from kvbook.engine.run import Run, input_device
from kvbook.errors import ParameterError, UnsupportedError
from kvbook.lm.generation import generate_ids
from kvbook.lm.models import check_loaded
from kvbook.lm.text import check_text
from kvbook.lm.turns import behind_answer, first_turn, later_turn
from kvbook.methods import Method, create_method
from kvbook.methods.base import as_method


class Chat:
    """Talk to a model whose cache a method bounds, in a ``with`` block: the method stays attached
    in it.

    Parameters
    ----------
    lm : LoadedModel
        An instruct model: its tokenizer needs a chat template.
    method : Method
        ``create_method("summarykv", budget=512)``, for example. A method that reads only a part of
        its prompt, as GemFilter does, is refused: it would choose for all questions by the first
        one.

    Raises
    ------
    UnsupportedError
        The model has no chat template, or the method has a first pass.
    ParameterError
        Something else than a loaded model and a method.

    Examples
    --------
    >>> with Chat(lm, create_method("summarykv", budget=512)) as chat:
    ...     chat.say("My locker code is 293.")
    ...     chat.contents().recent
    """

    def __init__(self, lm, method: Method):
        check_loaded(lm)
        method = as_method(method)
        if not getattr(lm.tokenizer, "chat_template", None):
            raise UnsupportedError(f"{lm.name} has no chat template: use an instruct model")
        if hasattr(method, "first_pass"):
            raise UnsupportedError(
                f"{method.name} chooses what to read of a prompt by its end, once; the first "
                "question of a chat would choose for all later ones: take another method"
            )
        self.lm, self.method = lm, method
        self.turns: list[Turn] = []
        self.run: Run | None = None
        self._ids: list[int] = []  # what the cache has read
        self._pending: list[int] = []  # the end of the last answer, which it has not
        self._saved: SavedChat | None = None
        self._open = ExitStack()
        self._over = False

    def __enter__(self) -> "Chat":
        if self.run is not None:
            raise UnsupportedError(
                "a chat is one `with` block: save it there, and go on with Chat.load"
            )
        self.run = self._open.enter_context(self.method.attach(self.lm.model))
        try:
            if self._saved:
                self._resume(self._saved)
        except BaseException:  # no memory for it, or interrupted: the model is as it was
            self._open.close()
            self.run = None
            raise
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
            Most tokens of the answer; it is cut there.
        stream : callable, optional
            Called with pieces of the answer as they come, for example
            ``lambda piece: print(piece, end="", flush=True)``.
        **generation
            For transformers' ``generate``, such as ``do_sample=True, temperature=0.7``; what is
            not given is as `kvbook.lm.generation.GREEDY` says, whatever the model's own
            ``generation_config.json`` has.

        Raises
        ------
        UnsupportedError
            Outside the chat's ``with`` block.
        ParameterError
            ``text`` is no text or has half a character, ``max_new_tokens`` is below 1, or an
            option would change what comes back; before anything runs.

        Notes
        -----
        When anything stops a turn (an error, Ctrl-C, also within a summary, or after the last
        token), the chat is as it was before the turn, and can go on.
        """
        check_text(text, "what the user says")
        if max_new_tokens < 1:
            raise ParameterError(f"max_new_tokens={max_new_tokens}: give at least 1")
        run = self._begun()
        if self._over:
            raise UnsupportedError(
                "the chat's block has ended: talk within it, or save it there and go on with Chat.load"
            )
        started, before = time.perf_counter(), run.snapshot()
        ids, pending, turns = self._ids, self._pending, len(self.turns)
        try:
            whole = ids + pending + self._opening(text)
            new = self._answer(run, whole, max_new_tokens, stream, generation)
            answer = self.lm.tokenizer.decode(new, skip_special_tokens=True).strip()
            self._ids, self._pending = whole + new[:-1], new[-1:] + self._closing(new[-1])
            contents, seconds = self.contents(), time.perf_counter() - started
            self.turns.append(Turn(text, answer, contents, seconds))
        except BaseException:
            run.restore(before)
            self._ids, self._pending = ids, pending
            del self.turns[turns:]
            raise
        return answer

    def _answer(
        self, run: Run, whole: list[int], most: int, stream: Callable | None, options: dict
    ) -> list[int]:
        """The tokens that the model writes behind all that was said."""
        if stream:
            options = options | {"streamer": _Stream(self.lm.tokenizer, stream)}
        new = generate_ids(self.lm.model, [whole], most, past_key_values=run.cache, **options)
        return new[0].tolist()

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
        """Write the chat to one file, whole or not at all: a safetensors file, no pickle.

        Raises
        ------
        ParameterError
            The method packs its entries, has a callable, or remembers something else that no file
            can hold.
        ResultError
            The disk is full, or the folder cannot be written.
        UnsupportedError
            Before the chat's ``with`` block.
        """
        run = self._begun()
        write_chat(Path(path), self.lm, self.method, run, self.turns, self._ids, self._pending)

    @classmethod
    def load(cls, path: str | Path, lm) -> "Chat":
        """A saved chat, to go on with: ``with Chat.load(path, lm) as chat:``.

        Raises
        ------
        ResultError
            The file is missing, damaged, or no saved chat of this format.
        ParameterError
            It was saved with other weights, another configuration, dtype, tokenizer or template.
        """
        check_loaded(lm)
        saved = read_chat(Path(path), lm)
        chat = cls(lm, create_method(saved.facts.method, **saved.facts.parameters))
        chat._saved = saved
        return chat

    def _resume(self, saved: SavedChat) -> None:
        """Put a saved chat into the run that has just begun."""
        facts = saved.facts
        self.turns, self._ids, self._pending = list(facts.turns), facts.ids, facts.pending
        self.run.restore(saved.state(input_device(self.lm.model)))


class _Stream(TextStreamer):
    """Hands pieces of the answer on instead of printing them."""

    def __init__(self, tokenizer, call: Callable[[str], None]):
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.call = call

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if text:
            self.call(text)
