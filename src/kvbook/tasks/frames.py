"""A method's way through a prompt, step by step: which entries one KV head holds, with which scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kvbook.engine.attach import attach
from kvbook.engine.attention import attention_rows
from kvbook.engine.run import Run
from kvbook.engine.seen import Seen
from kvbook.lm.generation import ends_of, generate_ids
from kvbook.lm.models import check_loaded
from kvbook.methods import (
    H2O,
    METHODS,
    FastKV,
    GemFilter,
    Method,
    PyramidInfer,
    SnapKV,
    create_method,
)
from kvbook.methods.base import as_method, reduce_group, resolve_budget, resolve_window
from kvbook.tasks.header import describe
from kvbook.tasks.own_code import code_digest
from kvbook.tasks.store import Store, digest
from kvbook.tasks.trial import Example, as_example

TOY = (
    "The garden was quiet. The key is red. Then rain fell on the roof of the house. "
    "What color is the key? It is"
)
ANSWER = " red"
"""The prompt that the book's moving picture goes through, and what it asks for."""
BUDGET = 12
"""Entries a head, for the toy prompt."""
_SMALL: dict[str, dict[str, Any]] = {
    "streamingllm": {"sinks": 2},
    "snapkv": {"window": 5, "kernel": 3},
    "pyramidinfer": {"min_length": 2},
    "gemfilter": {"kernel": 3},
    "fastkv": {"window": 5, "kernel": 3, "tsp_length": BUDGET},
    "summarykv": {"sinks": 2, "segment": 8, "summary_tokens": 8, "summarizer": "extractive"},
}
"""What a method needs to be itself on a prompt as short as `TOY`."""


TOY_METHODS = tuple(name for name in METHODS if name != "quantized")
"""Those that the picture shows: all that hold fewer entries, and the one that holds all."""


def toy_method(name: str) -> Method:
    """A method with parameters for the toy prompt."""
    if name == "fullkv":
        return create_method(name)
    return create_method(name, budget=BUDGET, **_SMALL.get(name, {}))


@dataclass(frozen=True)
class Frames:
    """What one KV head of one layer held while a prompt was read and an answer written.

    There is a step for each token of the prompt, one for the cut after the prompt, and one for each
    token of the answer. All fields are plain data: `vars` of it can be written to a results file,
    and ``Frames(**data)`` makes it again.

    Attributes
    ----------
    name, method : str
        The method's name, and with its parameters.
    tokens, written : list of str
        The texts of the prompt's tokens and of the answer's.
    answer : str
        What is asked for.
    layer, head : int
        Which layer and KV head it is.
    came : list of int
        By entry, the step that brought it. The entries are the prompt's tokens and, behind them,
        those of the answer that were read.
    gone : list of (int or None)
        By entry, the step that evicted it; None: it stayed.
    scores : list of list of (float or None)
        By step, the method's own score of every entry so far; empty: as in the step before.
    summaries : dict of str to str
        By step, the text of the summary that the cache holds from then on.
    sinks : int
        First entries that stay for good; the summary stands behind them.
    gold : list of int
        The entries of the answer in the prompt.
    holding : (int, int)
        How many KV heads, of all layers, hold every entry of ``gold`` after the prompt; and how
        many KV heads there are.
    early : bool
        Whether the scores are those of other layers, which decide what this one reads.
    """

    name: str
    method: str
    tokens: list[str]
    written: list[str]
    answer: str
    layer: int
    head: int
    came: list[int]
    gone: list[int | None]
    scores: list[list[float | None]]
    summaries: dict[str, str] = field(default_factory=dict)
    sinks: int = 0
    gold: list[int] = field(default_factory=list)
    holding: tuple[int, int] = (0, 0)
    early: bool = False

    @property
    def text(self) -> str:
        """The answer."""
        return "".join(self.written)

    @property
    def rolling(self) -> bool:
        """Whether entries were evicted while the prompt was read."""
        return any(step is not None and step < len(self.tokens) for step in self.gone)

    @property
    def right(self) -> bool:
        """Whether it says what is asked for."""
        return self.answer in self.text

    def held(self, step: int) -> list[int]:
        """The entries held at a step."""
        pairs = zip(self.came, self.gone, strict=True)
        return [
            i
            for i, (came, gone) in enumerate(pairs)
            if came <= step and (gone is None or gone > step)
        ]


@dataclass(frozen=True)
class _Toy:
    """The toy prompt as an item of a store."""

    id: str = "toy"
    digest: str = digest(TOY, ANSWER)


def record_toy(lm, methods: Sequence[str], folder: Path | None = None) -> list[Frames]:
    """The toy prompt's frames of some methods, all of the same layer and KV head.

    Parameters
    ----------
    lm : LoadedModel
        With its tokenizer.
    methods : sequence of str
        Their names.
    folder : Path, optional
        Where they are kept: what is there is not recorded again.
    """
    check_loaded(lm)
    example = as_example(lm, TOY, ANSWER)

    @cache
    def place() -> tuple[int, int]:
        return looking_head(lm, example)

    def take(method: Method, items: Sequence[_Toy] = ()) -> list[dict]:
        return [vars(record(lm, method, example, place()))]

    taken = []
    for method in map(toy_method, methods):
        if folder is None:
            [frames] = take(method)
        else:
            header = describe(lm, method) | {"recorder": code_digest(record)}
            store = Store(folder, method.name, header)
            [frames] = store.complete([_Toy()], partial(take, method))
        own = {one.name for one in fields(Frames)}
        taken.append(Frames(**{name: value for name, value in frames.items() if name in own}))
    return taken


def looking_head(lm, example: Example) -> tuple[int, int]:
    """The layer and the KV head that look at the answer most, when everything is kept.

    They are those whose last query of the prompt pays most attention to the answer's tokens,
    mean over the group; the first of the middle layer for a prompt without an answer.
    """
    check_loaded(lm)
    found = {}

    class Look:
        name = "look"

        def keep(self, seen: Seen) -> None:
            rows = attention_rows(seen.queries[:, -1:], seen.keys, seen.scaling)
            heads = reduce_group(rows[:, 0], len(seen.keys), "mean")
            found[seen.layer] = heads[:, list(example.gold)].sum(1)

    with attach(Look(), lm.model):
        lm.model(example.inputs.input_ids, logits_to_keep=1)
    if not example.gold:
        return len(found) // 2, 0
    paid = torch.stack([found[layer] for layer in sorted(found)])
    return divmod(int(paid.argmax()), paid.shape[1])


def record(
    lm, method: Method, example: Example, place: tuple[int, int], new_tokens: int = 4
) -> Frames:
    """Run a method on a prompt, and note every step.

    A method that goes on evicting while it decodes reads the prompt, too, token by token. Any
    other reads it whole, as it does everywhere; its steps until the cut show the scores that
    it would have had by then: those of the queries so far.

    Parameters
    ----------
    lm : LoadedModel
        With its tokenizer.
    method : Method
        With its parameters; of one without a score only the entries are noted.
    example : Example
        The prompt.
    place : (int, int)
        The layer and the KV head.
    new_tokens : int
        Most tokens of the answer.
    """
    check_loaded(lm)
    method = as_method(method)
    watched = Watched(method, *place, example.length)
    ids = example.inputs.input_ids.tolist()
    with attach(watched, lm.model) as run:
        new = generate_ids(lm.model, ids, new_tokens)[0].tolist()
    ends = ends_of(lm.model)
    new = list(takewhile(lambda token: token not in ends, new))
    written = [lm.tokenizer.decode([token]) for token in new]
    kept = [set(head) for layer in run.kept_positions for head in layer[0].tolist()]
    holding = sum(head.issuperset(example.gold) for head in kept), len(kept)
    return watched.frames(lm.tokenizer, example, written, holding)


class Watched:
    """A method, and notes on what it sees and leaves in one KV head of one layer.

    It has the hooks that the method has, and ``after_forward``, which looks at the cache.
    """

    def __init__(self, method: Method, layer: int, head: int, prompt_length: int) -> None:
        self.method, self.layer, self.head, self.prompt = method, layer, head, prompt_length
        self.held: list[list[int]] = []
        self.scores: dict[int, dict[int, float]] = {}
        self.summary: list[list[int]] = []
        self.early = False
        self.rolling = getattr(method, "evict", None) is not None
        self.chunk = 1 if self.rolling else getattr(method, "chunk", None)
        for name in ("keep", "evict", "pass_on", "choose"):
            hook = getattr(method, name, None)
            if hook is not None:
                setattr(self, name, partial(self._watch, name, hook))

    def __getattr__(self, name: str):
        return getattr(self.method, name)

    def _watch(self, name: str, hook: Callable, seen: Seen):
        """Do what the hook does; note the scores that it goes by, where it decides over this layer."""
        here = seen.layer == self.layer if name in ("keep", "evict") else seen.layer < self.layer
        if name == "choose":  # for all layers
            here = True
        scored = judged(self.method, seen) if here else []  # before: it may change what it sees
        answer = hook(seen)
        if here and (answer is not None or self.rolling):
            self.early = bool(scored) and seen.layer != self.layer
            for upto, score in scored:
                at = self.scores.setdefault(upto, {})
                if name == "pass_on":  # one choice for all heads
                    score = score.sum(0, keepdim=True)
                row = score[self.head if len(score) > 1 else 0]
                positions = seen.positions[self.head if len(seen.positions) > 1 else 0]
                for position, value in zip(positions.tolist(), row.tolist(), strict=False):
                    at[position] = value
        return answer

    def after_forward(self, runs: list[Run], ids: list[Tensor]) -> None:
        """Let the method look back, then note what the head holds."""
        if hasattr(self.method, "after_forward"):
            self.method.after_forward(runs, ids)
        [run] = runs
        positions = run.cache.layers[self.layer].positions[0]
        held = positions[self.head if len(positions) > 1 else 0].tolist()
        chosen = run.state.chosen
        if chosen is not None:  # the model read a shorter prompt
            read = chosen[0].tolist()
            held = [read[p] if p < len(read) else self.prompt + p - len(read) for p in held]
        summary = list(run.shared.get("summary", []))
        sinks = run.shared.get("sinks", 0)
        self.held.append(held[:sinks] + held[sinks + len(summary) :])
        self.summary.append(summary)

    def frames(
        self, tokenizer, example: Example, written: list[str], holding: tuple[int, int]
    ) -> Frames:
        """What was noted, by step."""
        n, read = self.prompt, max(0, len(written) - 1)
        came = [*range(n), *range(n + 2, n + 2 + read)]
        # the step that shows what the cache held after so many calls of `after_forward`
        steps = [*range(n), *came[n:]] if self.rolling else [n, *came[n:]]
        looks = list(zip(steps, self.held, self.summary, strict=False))
        gone: list[int | None] = [None] * len(came)
        summaries: dict[str, str] = {}
        last: list[int] = []
        for step, held, summary in looks:
            for i, since in enumerate(came):
                if since <= step and gone[i] is None and i not in held:
                    gone[i] = step
            if summary != last:
                summaries[str(step)], last = tokenizer.decode(summary).strip(), summary
        known = {came[upto - 1]: row for upto, row in self.scores.items() if upto <= len(came)}
        scores = [
            [_short(known[step].get(i)) for i, since in enumerate(came) if since <= step]
            if step in known
            else []
            for step in range(n + 1 + len(written))
        ]
        return Frames(
            name=self.method.name or type(self.method).__name__,
            method=str(self.method),
            tokens=example.tokens,
            written=written,
            answer=example.answer,
            layer=self.layer,
            head=self.head,
            came=came,
            gone=gone,
            scores=scores,
            summaries=summaries,
            sinks=getattr(self.method, "sinks", 0),
            gold=list(example.gold),
            holding=holding,
            early=self.early,
        )


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


# ---- the methods' own scores ---------------------------------------------------------------------


def judged(method: Method, seen: Seen) -> list[tuple[int, Tensor]]:
    """The method's own scores of what a layer sees, ``[kv_heads or 1, entries judged]``, each with
    the number of tokens that were read by then. A method that asks several queries of the prompt
    has them query by query."""
    if isinstance(method, H2O):
        total = method.accumulate(seen)
        return [(seen.tokens_seen, reduce_group(total, len(seen.keys), method.gqa))]
    if isinstance(method, GemFilter):
        return [(seen.tokens_seen, method.score(seen)[None])]
    budget = resolve_budget(getattr(method, "budget", None) or 1, seen.prompt_length)
    if isinstance(method, SnapKV | FastKV):
        votes = method if isinstance(method, SnapKV) else method.snapkv
        window = resolve_window(method.window, budget)
        return [(end, votes.score(part, asked)) for end, part, asked in _by_query(seen, window)]
    if isinstance(method, PyramidInfer):
        asking = 1 + method.pyramid(seen.prompt_length, seen.layers)[0].recent
        before = seen.entries - asking
        return [
            (end, method.score(part, asked)[None, :before])
            for end, part, asked in _by_query(seen, asking)
        ]
    return []


def _by_query(seen: Seen, asking: int) -> list[tuple[int, Seen, int]]:
    """What was seen when the first of the ``asking`` last queries had been read, the second, ...;
    with the number of tokens and of asking queries by then."""
    parts = []
    for missing in range(asking - 1, -1, -1):
        end = seen.entries - missing
        part = replace(
            seen,
            queries=seen.queries[:, : seen.queries.shape[1] - missing],
            keys=seen.keys[:, :end],
            positions=seen.positions[:, :end],
        )
        parts.append((seen.tokens_seen - missing, part, asking - missing))
    return parts
