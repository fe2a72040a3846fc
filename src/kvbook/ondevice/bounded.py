"""Caches in llama.cpp: whole, or bounded by sinks and a window, with or without a summary between.

llama.cpp stores keys with RoPE applied. So an entry that is to stand at another position is
either *shifted* (its key is rotated where it is stored, in the type that it is stored in) or
*read again*. Both are here; what is kept is the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kvbook.errors import ParameterError, UnsupportedError
from kvbook.methods import FullKV, Method, StreamingLLM, SummaryKV
from kvbook.methods.base import as_method
from kvbook.methods.summarykv import checked
from kvbook.ondevice.process import Context, LlamaCpp, Logits

Summarize = Callable[[list[int], int], list[int]]
How = Literal["shift", "reread"]
FACTS = ("ids", "entries", "summary", "summaries", "done", "next", "moves")
"""What a bounded cache knows of its entries."""
ASIDE = 1
"""The sequence in which something is read that goes between entries of the conversation."""


class FullCache:
    """Everything that was read, at its position.

    Attributes
    ----------
    context : Context
        Where the entries are.
    ids : list of int
        Every token that was read.
    entries : int
        Those that the cache holds.
    """

    def __init__(self, context: Context):
        self.context = context
        self.ids: list[int] = []
        self.entries = 0

    def read(self, ids: Sequence[int], logits: Logits = "last") -> np.ndarray:
        """Read tokens behind all others; their logits, see `Context.read`."""
        room = self.context.entries - self.entries
        if len(ids) > room:
            raise ParameterError(
                f"{len(ids)} tokens, and the cache has room for {room} more of its {self.context.entries}: "
                "open a larger one, or take a method that bounds it"
            )
        found = self.context.read(ids, self.entries, logits=logits)
        self.ids += ids
        self.entries += len(ids)
        return found

    def mark(self) -> "Mark":
        """What `restore` needs to undo all that is read from now on. The entries are left where they
        are: they can only grow."""
        return Mark({"ids": list(self.ids), "entries": self.entries}, None)

    def restore(self, mark: "Mark") -> None:
        """Go back to what the cache held at a mark."""
        if mark.state is None:
            self.context.remove(mark.facts["entries"])
        else:
            self.context.set_state(mark.state)
        self.ids, self.entries = list(mark.facts["ids"]), mark.facts["entries"]


@dataclass(frozen=True)
class Mark:
    """What a cache held at a moment.

    Attributes
    ----------
    facts : dict
        Its numbers and token ids.
    state : bytes or None
        The entries as llama.cpp writes them, where they may be moved later.
    """

    facts: dict
    state: bytes | None


@dataclass(frozen=True)
class Put:
    """One summary, as it was put into the cache: its tokens, and how many had been read by then."""

    ids: list[int]
    at: int


class BoundedCache(FullCache, ABC):
    """``[sinks | summary | recent]``, at most ``budget`` entries after everything that is read.

    Parameters
    ----------
    context : Context
        With room for `room_for`.
    budget, sinks, summary_tokens, segment : int
        As in `kvbook.methods.SummaryKV`; ``summary_tokens=0`` is StreamingLLM.
    summarize : callable
        ``(ids, most) -> ids``; ``ids`` are the present summary's and then the evicted ones.
    step : int
        The least number of entries that leave together. With 1 the window moves on with every
        token, as in the papers; more means fewer shifts, and a window that is shorter at times.
    chunk : int, optional
        Tokens of a prompt that are read before the cache is bounded again; all when left out.

    Attributes
    ----------
    summary : list of int
        The present one's tokens.
    summaries : list of Put
        All of them.
    moves : int
        How often entries were moved.
    """

    def __init__(
        self,
        context: Context,
        budget: int,
        sinks: int,
        *,
        summary_tokens: int = 0,
        segment: int = 0,
        summarize: Summarize | None = None,
        step: int = 1,
        chunk: int | None = None,
    ):
        super().__init__(context)
        self.budget, self.sinks, self.step, self.chunk = budget, min(sinks, budget), step, chunk
        self.segment, self.summarize = segment, summarize
        self.most = min(summary_tokens, (budget - self.sinks) // 2)
        self.summary: list[int] = []
        self.summaries: list[Put] = []
        self.done = self.sinks  # tokens that are a sink or in a summary
        self.next = 0  # the position of what is read next
        self.moves = 0

    @property
    def recent(self) -> int:
        """Entries behind sinks and summary."""
        return max(0, self.entries - self.sinks - len(self.summary))

    @property
    def waiting(self) -> int:
        """Evicted tokens that no summary holds yet."""
        return max(0, len(self.ids) - self.recent - self.done) if self.most else 0

    def read(self, ids: Sequence[int], logits: Logits = "last") -> np.ndarray:
        """Read tokens behind all others, and bound the cache again; logits as in `Context.read`."""
        found = []
        for piece in split(ids, self.chunk):
            found.append(self.context.read(piece, self.next, logits=logits))
            self.ids += piece
            self.entries += len(piece)
            self.next += len(piece)
            self.bound()
        return found[-1] if logits == "last" else np.concatenate(found)

    def bound(self) -> None:
        """Evict the oldest that are no sink; summarise them when a segment is full."""
        over = self.entries - self.budget
        if over <= 0:
            return
        cut = min(max(over, self.step), self.recent)
        summary = self.next_summary(cut)
        if summary is not None:  # a longer summary takes the room of the oldest
            cut += max(0, self.sinks + len(summary) + self.recent - cut - self.budget)
        recent = self.recent - cut
        self.move(cut, summary)
        if summary is not None:
            self.summary = summary
            self.summaries.append(Put(summary, len(self.ids)))
        self.entries = self.sinks + len(self.summary) + recent
        self.moves += 1

    def next_summary(self, cut: int) -> list[int] | None:
        """A summary of what is evicted with the next ``cut`` entries; None before a segment is
        full."""
        first_recent = len(self.ids) - self.recent + cut
        evicted = self.ids[self.done : first_recent]
        if not self.most or len(evicted) < self.segment:
            return None
        most = min(self.most, len(evicted))
        made = checked(
            self.summarize(self.summary + evicted, most),
            most,
            self.context.llama.facts["vocabulary"],
        )
        self.done = first_recent
        return made

    def mark(self) -> Mark:
        """The entries themselves, and all that is known of them."""
        self.settle()
        facts = {name: deepcopy(getattr(self, name)) for name in FACTS}
        return Mark(facts, self.context.state() if self.ids else None)

    def restore(self, mark: Mark) -> None:
        """Put the entries of a mark back."""
        for name in FACTS:
            setattr(self, name, deepcopy(mark.facts[name]))
        if mark.state is None:
            self.context.clear()
        else:
            self.context.set_state(mark.state)

    @abstractmethod
    def settle(self) -> None:
        """Do what llama.cpp has put off, so that a saved state holds the keys that attention would
        see."""

    @abstractmethod
    def move(self, cut: int, summary: list[int] | None) -> None:
        """Take the ``cut`` oldest recent entries out, put ``summary``, if there is a new one, in
        the place of the present one, and close the gap."""


class ShiftedCache(BoundedCache):
    """The gap is closed by moving what is recent: llama.cpp's context shift.

    Positions are slots: 0 to ``entries - 1``.
    """

    def move(self, cut: int, summary: list[int] | None) -> None:
        """Shift the recent entries to the left; a new summary is read behind the sinks."""
        context, sinks, old = self.context, self.sinks, len(self.summary)
        first = sinks + old + cut  # of those that stay
        steps = -cut if summary is None else len(summary) - old - cut
        context.remove(sinks + old if summary is None else sinks, first)
        context.shift(first, steps)
        self.next += steps
        if summary:
            context.copy(0, ASIDE, 0, sinks)
            context.read(summary, sinks, sequence=ASIDE, logits="none")
            context.copy(ASIDE, 0, sinks, sinks + len(summary))
            context.remove(-1, sequence=ASIDE)

    def settle(self) -> None:
        """Let llama.cpp do the shift that it has put off.

        llama.cpp rotates keys only when something is read next; a state that is saved before that
        has the old keys at the new positions. So one token is read in another sequence, and removed
        again.
        """
        if self.moves:
            self.context.read(self.ids[:1], 0, sequence=ASIDE, logits="none")
            self.context.remove(-1, sequence=ASIDE)


class RereadCache(BoundedCache):
    """Nothing is shifted: recent entries stay where they are, and sinks and summary are read anew
    directly before them.

    For a quantised cache, in which every shift quantises the keys once more. Positions go on with
    the text; RoPE is relative, so it is the same attention.
    """

    def settle(self) -> None:
        """Nothing is put off."""

    def move(self, cut: int, summary: list[int] | None) -> None:
        """Read sinks and summary before the first of the recent entries that stay."""
        head = self.ids[: self.sinks] + (self.summary if summary is None else summary)
        first = self.next - self.recent + cut
        self.context.remove(0, first)
        if head:
            self.context.read(head, first - len(head), sequence=ASIDE, logits="none")
            self.context.copy(ASIDE, 0)
            self.context.remove(-1, sequence=ASIDE)


CACHES: dict[str, type[BoundedCache]] = {"shift": ShiftedCache, "reread": RereadCache}


def open_cache(
    llama: LlamaCpp,
    method: Method,
    longest: int,
    *,
    how: How = "shift",
    summarize: Summarize | None = None,
    step: int | None = None,
    **settings,
) -> FullCache:
    """A method of the package as a cache in llama.cpp.

    Parameters
    ----------
    llama : LlamaCpp
        Within its ``with`` block.
    method : FullKV, StreamingLLM or SummaryKV
        With a budget in entries. The cache is bounded from the first token on, also where a short
        prompt would fit: a phone has no more.
    longest : int
        Most tokens: of all that is ever read for FullKV, of one input for the others.
    how : {"shift", "reread"}
        `ShiftedCache` or `RereadCache`.
    summarize : callable, optional
        For SummaryKV, instead of the method's own; see `kvbook.ondevice.summaries`.
    step : int, optional
        The least number of entries that leave together. Left out: 1 with ``"shift"``, as in the
        papers; an eighth of what the sinks leave with ``"reread"``, because sinks and summary are
        read again each time.
    **settings
        Of `LlamaCpp.open`: ``cache``, ``flash``, ``batch``.

    Raises
    ------
    UnsupportedError
        Another method, ``summarizer="extractive"``, or a StreamingLLM with ``rolling=False`` or
        with positions that are not slots of the cache.
    ParameterError
        A budget that is a fraction, an unknown ``how``, a step below 1 or above half of what the
        sinks leave of the budget, or a SummaryKV for which nothing makes the summaries.
    """
    held = check_method(method, how)
    if isinstance(held, FullKV):
        return FullCache(llama.open(longest, **settings))
    step = check_step(held, how, step)
    if isinstance(held, SummaryKV) and held.summary_tokens and summarize is None:
        if not callable(held.summarizer):
            raise ParameterError(
                "nothing makes the summaries: give summarize=, see kvbook.ondevice.summaries"
            )
        summarize = held.summarizer
    context = llama.open(room_for(held, longest), **settings)
    budget, make = int(held.budget), CACHES[how]
    if isinstance(held, StreamingLLM):
        return make(context, budget, held.sinks, step=step, chunk=held.chunk)
    return make(
        context,
        budget,
        held.sinks,
        summary_tokens=held.summary_tokens,
        segment=held.segment,
        summarize=summarize,
        step=step,
        chunk=held.chunk,
    )


def check_method(method: Method, how: str = "shift") -> FullKV | StreamingLLM | SummaryKV:
    """The same method, if llama.cpp can hold its cache; see `open_cache`."""
    method = as_method(method)
    if how not in CACHES:
        raise ParameterError(f"how={how!r}: give {' or '.join(map(repr, CACHES))}")
    if isinstance(method, FullKV):
        return method
    if not isinstance(method, StreamingLLM | SummaryKV):
        raise UnsupportedError(
            f"{method.name} chooses by attention, which llama.cpp does not give: take fullkv, "
            "streamingllm or summarykv"
        )
    if getattr(method, "summarizer", None) == "extractive":
        raise UnsupportedError(
            "summarizer='extractive' chooses by attention, which llama.cpp does not give: take "
            "'model', or kvbook.ondevice.summaries.Lexical"
        )
    if isinstance(method.budget, float):
        raise ParameterError(
            f"budget={method.budget}: llama.cpp's cache is opened before there is a prompt; give entries, "
            "such as budget=256"
        )
    if isinstance(method, StreamingLLM) and not (method.positions == "cache" and method.rolling):
        raise UnsupportedError(
            "in llama.cpp the window of streamingllm moves on, and positions are slots in the cache: leave "
            "rolling=True and positions='cache'"
        )
    return method


def check_step(method: StreamingLLM | SummaryKV, how: str, step: int | None) -> int:
    """How many entries leave together at the least; see `open_cache`."""
    budget = int(method.budget)
    most = max(1, (budget - min(method.sinks, budget)) // 2)
    if step is None:
        return max(1, most // 4) if how == "reread" else 1
    if not 1 <= step <= most:
        raise ParameterError(
            f"step={step}: give 1 to {most}, half of what the sinks leave of {budget}"
        )
    return step


def room_for(method: StreamingLLM | SummaryKV, longest: int) -> int:
    """Entries that a context needs: the budget, what is read before it holds again, and a summary
    that is read while the old entries are still there."""
    chunk = min(method.chunk or longest, longest)
    summary = getattr(method, "summary_tokens", 0)
    return int(method.budget) + chunk + summary + method.sinks


def split(ids: Sequence[int], chunk: int | None) -> Iterator[list[int]]:
    """A prompt in parts of ``chunk`` tokens; in one where that is None."""
    for start in range(0, len(ids), chunk or len(ids)):
        yield list(ids[start : start + (chunk or len(ids))])


def write(cache: FullCache, ids: Sequence[int], most: int) -> Iterator[int]:
    """Read tokens and go on greedily: the new ones, as they come.

    An answer ends with a token of the model's ``ends``, or after ``most``. The last token is not
    read: it is the first of what is read next.
    """
    ends = set(cache.context.llama.facts["ends"])
    logits = cache.read(ids)
    for count in range(1, most + 1):
        token = int(logits.argmax())
        yield token
        if token in ends or count == most:
            return
        logits = cache.read([token])
