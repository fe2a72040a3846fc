"""SummaryKV: what is evicted comes back as a summary. The report group's own method."""

import time
from collections.abc import Callable
from dataclasses import dataclass as plain_dataclass
from typing import ClassVar, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from kvbook.engine.attention import rotate
from kvbook.engine.run import Run
from kvbook.engine.seen import Recent, Seen
from kvbook.errors import ParameterError
from kvbook.fields import Budget, Count, Natural
from kvbook.methods.base import STRICT, Method, resolve_budget
from kvbook.methods.streamingllm import StreamingLLM
from kvbook.methods.summarizers import (
    extract,
    find_tokenizer,
    summarize_by_model,
)

Summarizer = Literal["model", "extractive"] | Callable[[list[int], int], list[int]]


@plain_dataclass(frozen=True)
class Summary:
    """One summary, as it was put into the cache.

    Attributes
    ----------
    ids : list of int
        Its tokens.
    text : str
        The same to read; empty when the model has no tokenizer beside it.
    read : int
        Tokens that it was made from: the evicted ones, and the summary before.
    at : int
        Tokens that the run had read by then.
    seconds : float
        What making it and reading it into the cache took; where several rows of a panel were
        summarised together, an equal share of it.
    """

    ids: list[int]
    text: str
    read: int
    at: int
    seconds: float


@dataclass(frozen=True, config=STRICT)
class SummaryKV(Method):
    """A rolling cache ``[sinks | summary | recent]``: evicted tokens collect, are compressed,
    and come back between the sinks and the recent ones.

    Parameters
    ----------
    budget : int or float
        Entries a layer holds per KV head, all three parts together, at every step; or a
        fraction of the first prompt. With 1.0, and a summary, nothing is ever evicted.
    sinks : int
        First tokens that stay for good.
    summary_tokens : int
        Most tokens of the summary, and never more than half of the entries that the sinks leave
        of the budget. 0 is exactly `StreamingLLM`.
    segment : int
        Evicted tokens that collect before the summary is made anew. A prompt longer than
        this is read so many tokens at a time.
    summarizer : {"model", "extractive"} or callable
        ``"model"`` asks the model itself, in a pass of its own, for notes with all names, numbers
        and dates. ``"extractive"`` keeps the spans that receive most attention when the model is
        asked for names, numbers and dates. A
        callable ``(ids, max_tokens) -> ids`` is taken as it is; ``ids`` are the present
        summary's tokens and then the evicted ones.

    Notes
    -----
    Positions are slots in the cache, as in StreamingLLM. A summary is read directly after the
    sinks, and moved with them when the window moves on: RoPE is relative, so a rotation does
    it exactly. One sequence at a time; several are rows of a `kvbook.engine.panel.Panel`.

    What it remembers of a run, in ``run.shared``: ``ids`` (the tokens read until a segment was last
    full; those since then are in the first layer's memory), ``summary`` (the present summary's
    tokens), ``summaries`` (every `Summary`, in order), ``done`` (how many of the tokens are sinks
    or in a summary), ``sinks`` (how many entries they are) and ``capacity`` (the budget as a number
    of entries).
    """

    budget: Budget
    sinks: Natural = 4
    summary_tokens: Natural = 64
    segment: Count = 256
    summarizer: Summarizer = "model"

    name: ClassVar[str] = "summarykv"

    @property
    def chunk(self) -> int | None:
        """Read a long prompt by segments, so that memory does not depend on its length."""
        return self.segment if self.summary_tokens else None

    # ---- in a layer: roll ----------------------------------------------------------------------

    def keep(self, seen: Seen) -> Recent | None:
        """Sinks, summary, and as many of the last entries as the budget leaves."""
        if not self.summary_tokens:
            return StreamingLLM(self.budget, self.sinks).keep(seen)
        budget = resolve_budget(self.budget, seen.prompt_length)
        shared = seen.shared
        sinks = shared.setdefault("sinks", min(self.sinks, budget))
        head = sinks + len(shared.setdefault("summary", []))
        shared["capacity"] = budget
        if seen.entries <= budget or (isinstance(self.budget, float) and self.budget == 1):
            return None  # the whole prompt as the budget: nothing is ever evicted
        move_head(seen, head, steps=seen.tokens_seen - budget)
        return Recent(seen.entries - (budget - head), before=head)

    evict = keep

    # ---- after all layers: summarise -------------------------------------------------------------

    def after_forward(self, runs: list[Run], ids: list[Tensor]) -> None:
        """Where a segment has been evicted, compress it with the present summary."""
        if not self.summary_tokens:
            return
        waiting = [self.collect(run, new) for run, new in zip(runs, ids, strict=True)]
        due = [(run, evicted) for run, evicted in zip(runs, waiting, strict=True) if evicted]
        if not due:
            return
        started, tokenizer = time.perf_counter(), find_tokenizer(due[0][0].model)
        read = [len(run.shared["summary"]) + len(evicted) for run, evicted in due]
        summaries = self.summarize(due, tokenizer)
        for (run, evicted), summary in zip(due, summaries, strict=True):
            self.put_back(run, summary)
            run.shared["done"] += len(evicted)
        seconds = (time.perf_counter() - started) / len(due)
        for (run, _), summary, count in zip(due, summaries, read, strict=True):
            text, at = tokenizer.decode(summary) if tokenizer else "", len(run.shared["ids"])
            made = Summary(ids=summary, text=text, read=count, at=at, seconds=seconds)
            run.shared.setdefault("summaries", []).append(made)

    def collect(self, run: Run, ids: Tensor) -> list[int]:
        """Note the tokens that were read. Once the evicted tokens that are in no summary yet fill a
        segment, return them, and none before; only then is the device asked what they are."""
        shared, memory = run.shared, run.memory(0)
        memory["unread"] = torch.cat((memory.get("unread", ids[:0]), ids))
        head = shared["sinks"] + len(shared["summary"])
        first_recent = run.tokens_seen - max(0, run.cache.layers[0].entries - head)
        done = shared.setdefault("done", shared["sinks"])
        if first_recent - done < self.segment or not self.room(run):
            return []
        read = shared.setdefault("ids", [])
        read += memory.pop("unread").tolist()
        return read[done:first_recent]

    def room(self, run: Run) -> int:
        """Most tokens of a summary: ``summary_tokens``, or half of the entries that the sinks leave
        of the budget, if that is less."""
        return min(self.summary_tokens, (run.shared["capacity"] - run.shared["sinks"]) // 2)

    def summarize(self, due: list[tuple[Run, list[int]]], tokenizer) -> list[list[int]]:
        """For each run, a new summary of its present summary and its evicted tokens."""
        runs, model = [run for run, _ in due], due[0][0].model
        sources = [run.shared["summary"] + evicted for run, evicted in due]
        # a summary is never longer than what it stands for
        most = [min(self.room(run), len(evicted)) for run, evicted in due]
        if self.summarizer == "model":
            with runs[0].aside(others=runs[1:]):
                return summarize_by_model(model, tokenizer, sources, most)
        if self.summarizer == "extractive":
            return [
                extract(model, tokenizer, source, room, run.aside)
                for run, source, room in zip(runs, sources, most, strict=True)
            ]
        return [
            checked(self.summarizer(list(source), room), room, model.config.vocab_size)
            for source, room in zip(sources, most, strict=True)
        ]

    def put_back(self, run: Run, ids: list[int]) -> None:
        """Replace the present summary in every layer's cache by the entries of ``ids``."""
        shared, cache = run.shared, run.cache
        sinks, old = shared["sinks"], len(shared["summary"])
        first = [run.memory(i)["head"] for i in range(len(cache.layers))]
        heads = [(keys[:, :, :sinks], values[:, :, :sinks]) for keys, values in first]
        made = run.read_aside(ids, heads) if ids else []
        inv_freq = run.inv_freq
        for i, layer in enumerate(cache.layers):
            keys, values = heads[i]
            if made:
                keys = torch.cat((keys, made[i].keys), dim=2)
                values = torch.cat((values, made[i].values), dim=2)
            run.memory(i)["head"] = (keys, values)
            start = sinks + old  # what is recent begins here; a longer summary takes its room
            start += max(0, layer.entries - old + len(ids) - shared["capacity"])
            positions = layer.positions[:, :, start:]
            recent = layer.entries - start
            begin = run.tokens_seen - recent - len(ids)
            between = torch.arange(begin, begin + len(ids), device=positions.device)
            layer.assign(
                torch.cat((rotate(keys, begin - sinks, inv_freq), layer.keys[:, :, start:]), 2),
                torch.cat((values, layer.values[:, :, start:]), 2),
                torch.cat((layer.positions[:, :, :sinks], between[None, None], positions), 2),
            )
        shared["summary"] = list(ids)

    def check_model(self, model: nn.Module) -> None:
        """Refuse RoPE that a rotation cannot move."""
        StreamingLLM(self.budget).check_model(model)


def move_head(seen: Seen, head: int, steps: int) -> None:
    """Move sinks and summary to just before the recent entries, from the keys of their first slots."""
    if "head" not in seen.memory:
        seen.memory["head"] = (
            seen.keys[None, :, :head].clone(),
            seen.values[None, :, :head].clone(),
        )
    seen.keys[:, :head] = rotate(seen.memory["head"][0][0], steps, seen.inv_freq)


def checked(ids, most: int, vocabulary: int) -> list[int]:
    """What a callable has returned, if it is a summary.

    Raises
    ------
    ParameterError
        It is no summary, or longer than ``most``.
    """
    valid = isinstance(ids, list | tuple) and all(
        type(i) is int and 0 <= i < vocabulary for i in ids
    )
    if not valid or len(ids) > most:
        raise ParameterError(
            f"summarizer must return a list of at most {most} token ids of this model, and "
            f"returned {str(ids)[:80]}"
        )
    return list(ids)
