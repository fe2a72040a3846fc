"""What each method makes the layers read, score and keep: all that a cost depends on.

These few lines a method are its cost in numbers; `kvbook.profiling.predict` only adds up.
"""

from dataclasses import dataclass
from functools import singledispatch
from itertools import pairwise

from kvbook.engine.attention import QUERY_BLOCK
from kvbook.errors import UnsupportedError
from kvbook.lm.costs import causal_pairs
from kvbook.methods.base import Method, as_method, resolve_budget, resolve_window
from kvbook.methods.fastkv import FastKV
from kvbook.methods.fullkv import FullKV
from kvbook.methods.gemfilter import GemFilter
from kvbook.methods.h2o import H2O
from kvbook.methods.h2o_published import PublishedH2O
from kvbook.methods.pyramidinfer import PyramidInfer
from kvbook.methods.snapkv import SnapKV
from kvbook.methods.streamingllm import StreamingLLM
from kvbook.methods.summarykv import SummaryKV

REQUEST_TOKENS = 40
"""About what SummaryKV's request to the model takes, in tokens."""


@dataclass(frozen=True)
class LayerPlan:
    """One layer's part of a prefill.

    Attributes
    ----------
    reads : int
        Tokens whose hidden states go through the layer.
    entries : int
        Most entries that it holds at once, per KV head.
    keeps : int
        Entries that it holds when the prompt has been read.
    pairs : int
        Query-key pairs that attention visits, per query head.
    at_once : int
        Tokens that it reads in one piece: `reads`, or a chunk.
    scored : int
        Query-key pairs of the products that are made only for the method's score, per query
        head.
    score_rows : int
        Rows of scores that exist at the same time for that.
    sums : bool
        Whether attention is computed with an explicit softmax, block by block, and summed up for
        each entry (H2O).
    """

    reads: int
    entries: int
    keeps: int
    pairs: int
    at_once: int
    scored: int = 0
    score_rows: int = 0
    sums: bool = False


@dataclass(frozen=True)
class Plan:
    """A method's prefill, and how its cache behaves while decoding.

    Attributes
    ----------
    layers : tuple of LayerPlan
        From the first layer on.
    room : int or None
        So many decoded tokens add an entry each, every later one replaces one; None: all add one.
    scanned : int
        Layers of a first pass over the whole prompt (GemFilter).
    asides : tuple of (int, int)
        Passes beside the prompt: tokens read, tokens decoded (SummaryKV).
    """

    layers: tuple[LayerPlan, ...]
    room: int | None = None
    scanned: int = 0
    asides: tuple[tuple[int, int], ...] = ()

    def added(self, tokens: int) -> int:
        """Entries that so many decoded tokens add to a layer."""
        return tokens if self.room is None else min(tokens, self.room)


def whole(tokens: int, keeps: int | None = None, **more) -> LayerPlan:
    """A layer that reads ``tokens`` in one piece and keeps all or ``keeps`` of them."""
    keeps = tokens if keeps is None else keeps
    return LayerPlan(tokens, tokens, keeps, causal_pairs(tokens), tokens, **more)


def blocked_pairs(rows: int, entries: int, block: int) -> int:
    """Pairs that products block by block of rows compute: whole rectangles, up to each block's
    last key."""
    return sum(
        min(block, rows - start) * (entries - rows + min(start + block, rows))
        for start in range(0, rows, block)
    )


def score_of(rows: int, entries: int, times: int = 1) -> dict[str, int]:
    """``scored`` and ``score_rows`` of a `LayerPlan` whose score takes whole rows of the attention
    matrix, those of the last ``rows`` queries, ``times`` times; empty without rows."""
    if rows <= 0:
        return {}
    pairs = blocked_pairs(rows, entries, QUERY_BLOCK)
    return {"scored": times * pairs, "score_rows": min(rows, QUERY_BLOCK)}


@singledispatch
def plan(method: Method, layers: int, n: int) -> Plan:
    """What ``method`` does with a prompt of ``n`` tokens in a model of so many layers.

    Raises
    ------
    UnsupportedError
        A method of your own, that has no plan yet: give it one with ``@plan.register``.
    """
    known = as_method(method)
    if known is not method:  # it was given by its name
        return plan(known, layers, n)
    raise UnsupportedError(
        f"the cost model does not know {method.name or type(method).__name__}: give it a plan, "
        "`@kvbook.profiling.plan.plan.register` on a function (method: YourMethod, layers, n) -> Plan"
    )


@plan.register
def _(method: FullKV, layers: int, n: int) -> Plan:
    return Plan((whole(n),) * layers)


@plan.register
def _(method: StreamingLLM, layers: int, n: int) -> Plan:
    budget = resolve_budget(method.budget, n)
    if budget >= n:
        return Plan((whole(n),) * layers)
    chunk = method.chunk if method.chunk and method.chunk < n else None
    one = rolling(n, budget, chunk) if chunk else whole(n, budget)
    return Plan((one,) * layers, room=0 if method.rolling else None)


def rolling(n: int, budget: int, chunk: int) -> LayerPlan:
    """A layer that reads ``n`` tokens ``chunk`` at a time through ``budget`` entries."""
    held = pairs = entries = 0
    for start in range(0, n, chunk):
        new = min(chunk, n - start)
        entries = max(entries, held + new)
        pairs += causal_pairs(new, held + new)
        held = min(budget, held + new)
    return LayerPlan(n, entries, held, pairs, min(chunk, n))


@plan.register
def _(method: SnapKV, layers: int, n: int) -> Plan:
    budget = resolve_budget(method.budget, n)
    if budget >= n:
        return Plan((whole(n),) * layers)
    window = resolve_window(method.window, budget)
    return Plan((whole(n, budget, **score_of(window, n)),) * layers)


@plan.register
def _(method: H2O, layers: int, n: int) -> Plan:
    budget = resolve_budget(method.budget, n)
    return Plan((whole(n, min(budget, n), sums=True),) * layers, room=None if budget >= n else 0)


@plan.register
def _(method: PublishedH2O, layers: int, n: int) -> Plan:
    budget = resolve_budget(method.budget, n)
    extra = {"scored": n * n, "score_rows": QUERY_BLOCK} if budget < n else {}
    return Plan((whole(n, min(budget, n), **extra),) * layers)


@plan.register
def _(method: PyramidInfer, layers: int, n: int) -> Plan:
    pyramid, _ = method.pyramid(n, layers)
    lengths = (*pyramid.lengths, pyramid.lengths[-1])
    return Plan(
        tuple(
            whole(now, **(score_of(1 + pyramid.recent, now) if after < now else {}))
            for now, after in pairwise(lengths)
        )
    )


@plan.register
def _(method: GemFilter, layers: int, n: int) -> Plan:
    budget = min(resolve_budget(method.budget, n), n)
    at = method.first_pass(layers, n)
    return Plan((whole(budget),) * layers, scanned=0 if at is None else at + 1)


@plan.register
def _(method: FastKV, layers: int, n: int) -> Plan:
    budget, window = resolve_budget(method.budget, n), method.resolve_window(n)
    tsp = max(0, layers // 2 - 1) if method.tsp_layer is None else method.tsp_layer
    deep = method.propagated(n)
    made = []
    for layer in range(layers):
        reads = n if layer <= tsp else deep
        times = (budget < reads) + (layer == tsp and deep < reads)
        made.append(
            whole(reads, min(budget, reads), **(score_of(window, reads, times) if times else {}))
        )
    return Plan(tuple(made))


@plan.register
def _(method: SummaryKV, layers: int, n: int) -> Plan:
    if not method.summary_tokens:
        return plan(StreamingLLM(method.budget, method.sinks), layers, n)
    budget = resolve_budget(method.budget, n)
    one = rolling(n, budget, min(method.segment, n)) if budget < n else whole(n)
    most = min(method.summary_tokens, (budget - min(method.sinks, budget)) // 2)
    count = max(0, n - budget) // method.segment if most else 0
    source = REQUEST_TOKENS + most + method.segment
    decoded = most if method.summarizer == "model" else 0
    whole_prompt = (
        isinstance(method.budget, float) and method.budget == 1
    )  # then nothing is evicted
    room = None if whole_prompt else max(0, budget - n)
    return Plan((one,) * layers, room=room, asides=((source, decoded), (most, 0)) * count)
