"""What each method keeps, once more: its paper's rule on plain lists, for `kvbook.laws.naive.Naive`.

Written from the papers and not from `kvbook.methods`; nothing here calls the rest of `kvbook`. A
budget is a number of entries, and a ``tsp_length`` one of tokens. A rule answers with ``None`` for
"all", or with a list of indices per KV head.
"""

import math
from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from kvbook.laws.naive import Naive, rope

ROUNDING = 1e-5
"""Scores whose relative difference is at most this are equal but for the rounding of float32."""

Kept = list[list[int]] | None


def pool(row: Sequence[float], kernel: int, pooling: str) -> list[float]:
    """Each number and its neighbours as one; outside there are zeros."""
    half = kernel // 2
    near = [row[max(0, j - half) : j + half + 1] for j in range(len(row))]
    return [max(part) if pooling == "max" else sum(part) / kernel for part in near]


def join(members: Sequence[Sequence[float]], gqa: str) -> list[float]:
    """Lists of the query heads of a group as one list."""
    columns = zip(*members, strict=True)
    if gqa == "mean":
        return [sum(column) / len(column) for column in columns]
    return [max(column) if gqa == "max" else sum(column) for column in columns]


def top(scores: Sequence[float], count: int, preferred: Collection[int] = ()) -> list[int]:
    """Indices of the ``count`` highest scores, ascending.

    Exact ties, which pooling by max makes, are broken as torch.topk breaks them; with
    ``preferred`` these indices win among what is equal but for rounding.
    """
    chosen = torch.tensor(scores).topk(count).indices.tolist()
    if preferred and chosen:
        lowest = min(scores[j] for j in chosen)
        near = ROUNDING * abs(lowest) if math.isfinite(lowest) else 0.0
        sure = [j for j, score in enumerate(scores) if score > lowest + near]
        equal = [j for j in range(len(scores)) if lowest - near <= scores[j] <= lowest + near]
        equal.sort(key=lambda j: j not in preferred)
        chosen = sure + equal[: count - len(sure)]
    return sorted(chosen)


class Rule:
    """What the rules share: who wins among equals.

    Attributes
    ----------
    preferred : callable, optional
        ``(layer, kv_head) -> indices`` that win among equal scores; ``kv_head`` is None where a
        layer makes one choice.
    """

    preferred: Callable[[int, int | None], Collection[int]] | None = None

    def top(
        self, layer: int, kv_head: int | None, scores: Sequence[float], count: int
    ) -> list[int]:
        """The ``count`` highest, ascending."""
        return top(scores, count, self.preferred(layer, kv_head) if self.preferred else ())


class NaiveStreaming(Rule):
    """The first ``sinks``, and the last ones."""

    def __init__(self, budget: int, kv_heads: int, sinks: int = 4, rolling: bool = True):
        self.budget, self.kv_heads, self.rolling = budget, kv_heads, rolling
        self.sinks = min(sinks, budget)

    def after_prompt(self, layer: int, weights: Tensor) -> Kept:
        held = weights.shape[-1]
        if held <= self.budget:
            return None
        js = list(range(self.sinks)) + list(range(held - (self.budget - self.sinks), held))
        return [js] * self.kv_heads

    def after_token(self, layer: int, weights: Tensor) -> Kept:
        return self.after_prompt(layer, weights) if self.rolling else None


class NaiveSnapKV(Rule):
    """What the last queries vote for, and the window."""

    def __init__(
        self,
        budget: int,
        kv_heads: int,
        window: int = 32,
        kernel: int = 7,
        pooling: str = "max",
        gqa: str = "mean",
    ):
        self.budget, self.kv_heads, self.kernel = budget, kv_heads, kernel
        self.pooling, self.gqa = pooling, gqa
        self.window = window if budget > window else max(1, budget // 2)

    def scores(self, weights: Tensor) -> list[list[float]]:
        """Per KV head, over the prefix."""
        heads, n, _ = weights.shape
        prefix, group = n - self.window, heads // self.kv_heads
        votes = [
            [sum(row[j] for row in rows[prefix:]) for j in range(prefix)]
            for rows in weights.tolist()
        ]
        pooled = [pool(row, self.kernel, self.pooling) for row in votes]
        return [
            join(pooled[kv * group : (kv + 1) * group], self.gqa) for kv in range(self.kv_heads)
        ]

    def after_prompt(self, layer: int, weights: Tensor) -> Kept:
        n = weights.shape[1]
        if self.budget >= n:
            return None
        last = list(range(n - self.window, n))
        return [
            self.top(layer, kv, row, self.budget - self.window) + last
            for kv, row in enumerate(self.scores(weights))
        ]


class NaiveFastKV(NaiveSnapKV):
    """SnapKV with sums in each layer, and one cut of what goes deeper."""

    def __init__(
        self,
        budget: int,
        kv_heads: int,
        tsp_layer: int,
        tsp_length: int,
        window: int = 8,
        kernel: int = 7,
        pooling: str = "max",
    ):
        super().__init__(budget, kv_heads, window, kernel, pooling, "sum")
        self.tsp_layer, self.length = tsp_layer, max(self.window + 1, tsp_length)

    def pass_on(self, layer: int, weights: Tensor) -> list[int] | None:
        n = weights.shape[1]
        if layer != self.tsp_layer or self.length >= n or self.budget >= n:
            return None
        total = join(self.scores(weights), "sum")
        return self.top(layer, None, total, self.length - self.window) + list(
            range(n - self.window, n)
        )


class NaiveH2O(Rule):
    """Keeps an account per query head and entry, after the prompt and after each token alike."""

    def __init__(
        self,
        budget: int,
        kv_heads: int,
        recent: int | None = None,
        gqa: str = "mean",
        forever: bool = False,
    ):
        self.budget, self.kv_heads, self.gqa, self.forever = budget, kv_heads, gqa, forever
        recent = budget // 2 if recent is None else recent
        self.recent = recent if budget > recent else max(1, budget // 2)
        self.accounts: dict[int, list[list[float]]] = {}

    def after_prompt(self, layer: int, weights: Tensor) -> Kept:
        heads, new, entries = weights.shape
        before = self.accounts.get(layer, [[]] * heads)
        accounts = []
        for h in range(heads):
            row = before[h] + [0.0] * (entries - len(before[h]))
            given = weights[h].tolist()
            accounts.append([row[j] + sum(one[j] for one in given) for j in range(entries)])
        self.accounts[layer] = accounts
        if entries <= self.budget or self.forever:
            return None
        group, old = heads // self.kv_heads, entries - self.recent
        kept = []
        for kv in range(self.kv_heads):
            score = join(accounts[kv * group : (kv + 1) * group], self.gqa)[:old]
            heavy = self.top(layer, kv, score, self.budget - self.recent)
            kept.append(heavy + list(range(old, entries)))
        self.accounts[layer] = [[accounts[h][j] for j in kept[h // group]] for h in range(heads)]
        return kept

    after_token = after_prompt


class NaivePublishedH2O(Rule):
    """The harness: queries before the last 8 see later tokens, too. The attention matrix is causal,
    so the rule computes its scores from the queries and keys of ``naive``."""

    def __init__(self, budget: int, kv_heads: int, naive: Naive, gqa: str = "mean"):
        self.budget, self.kv_heads, self.naive, self.gqa = budget, kv_heads, naive, gqa
        self.window = 8 if budget > 8 else max(1, budget // 2)

    def after_prompt(self, layer: int, weights: Tensor) -> Kept:
        heads, n, _ = weights.shape
        if self.budget >= n:
            return None
        queries, group = self.naive.queries[layer], heads // self.kv_heads
        totals = []
        for h in range(heads):
            entries = self.naive.layers[layer][h // group]
            keys = torch.stack([rope(e[1], e[0], self.naive.inv_freq) for e in entries])
            scores = queries[h] @ keys.T / math.sqrt(keys.shape[1])
            for i in range(max(0, n - 8), n):
                scores[i, i + 1 :] = -math.inf
            totals.append(torch.softmax(scores, -1).sum(0).tolist())
        kept, old = [], n - self.window
        for kv in range(self.kv_heads):
            score = join(totals[kv * group : (kv + 1) * group], self.gqa)[:old]
            heavy = self.top(layer, kv, score, self.budget - self.window)
            kept.append(heavy + list(range(old, n)))
        return kept


class NaivePyramid(Rule):
    """Each layer passes on part of what it reads; with ``generation`` the authors' second stage."""

    def __init__(
        self,
        tokens: int,
        layers: int,
        kv_heads: int,
        decay: float = 0.3,
        recent_ratio: float = 0.2,
        min_length: int = 64,
        sinks: int = 4,
        distance_weight: float = 1.2,
        generation: bool = False,
    ):
        self.layers, self.decay, self.min_length, self.sinks = layers, decay, min_length, sinks
        self.recent = math.floor(tokens * recent_ratio)
        self.weight, self.generation, self.kv_heads = distance_weight, generation, kv_heads
        self.rows: dict[int, list[list[float]]] = {}
        self.made: dict[int, list[bool]] = {}

    def note(self, layer: int, weights: Tensor, made: bool) -> None:
        """Every query's row over all entries, mean over the heads; which entries were generated."""
        heads, new, entries = weights.shape
        rows, known = self.rows.setdefault(layer, []), self.made.setdefault(layer, [])
        for row in rows:
            row += [0.0] * new
        for i in range(new):
            of_heads = weights[:, i].tolist()
            rows.append([sum(one[j] for one in of_heads) / heads for j in range(entries)])
        known += [made] * new

    def after_prompt(self, layer: int, weights: Tensor) -> Kept:
        self.note(layer, weights, made=False)
        return None

    def after_token(self, layer: int, weights: Tensor) -> Kept:
        self.note(layer, weights, made=weights.shape[1] == 1)
        entries = weights.shape[-1]
        rows, made = self.rows[layer], self.made[layer]
        before = [j for j in range(entries - 1 - self.recent) if made[j]]
        if not self.generation or sum(made) - self.recent < 16 or len(before) < 15:
            return None
        asked = rows[-1 - self.recent :]
        step = (self.weight - 1) / self.recent if self.recent else 0
        score = [sum((1 + step * i) * row[j] for i, row in enumerate(asked)) for j in before[:16]]
        share = 0.9 * (math.cos(math.pi * layer / self.layers) + 1) / 2 + 0.1
        stay = {
            before[i] for i in top(score, min(len(score), max(1, math.floor(16 * 0.9 * share))))
        }
        kept = [j for j in range(entries) if j not in before[:16] or j in stay]
        self.rows[layer] = [[row[j] for j in kept] for row in rows]
        self.made[layer] = [made[j] for j in kept]
        return [kept] * self.kv_heads

    def pass_on(self, layer: int, weights: Tensor) -> list[int] | None:
        heads, m, _ = weights.shape
        context = m - 1 - self.recent
        rate = (1 - self.decay) * (math.cos(math.pi * layer / self.layers) + 1) / 2 + self.decay
        count = math.floor(context * rate)
        if layer + 1 == self.layers or count <= self.min_length:
            return None
        rows = range(context, m)
        step = (self.weight - 1) / (len(rows) - 1) if len(rows) > 1 else 0
        score, of_heads = [], weights.tolist()
        for j in range(context):
            of_rows = [
                (1 + step * i) * sum(one[row][j] for one in of_heads) / heads
                for i, row in enumerate(rows)
            ]
            score.append(math.inf if j < min(self.sinks, count) else sum(of_rows) / len(rows))
        return self.top(layer, None, score, count) + list(rows)


class NaiveGemFilter(Naive):
    """Reads only what the last token's query at ``filter_layer`` chooses, at positions 0, 1, ..."""

    def __init__(self, model: torch.nn.Module, budget: int, filter_layer: int, kernel: int = 5):
        super().__init__(model)
        self.whole, self.budget = Naive(model), budget
        self.filter_layer, self.kernel = filter_layer, kernel

    def prompt(self, tokens: list[int], chunk: int | None = None) -> Tensor:
        chosen = self.choose(tokens)
        logits = super().prompt([tokens[j] for j in chosen])
        heads = self.config.num_key_value_heads
        self.inputs = [list(chosen) for _ in self.layers]
        self.kept = [[list(chosen) for _ in range(heads)] for _ in self.layers]
        return logits

    def choose(self, tokens: list[int]) -> list[int]:
        """The positions that the model reads."""
        n = len(tokens)
        if self.budget >= n:
            return list(range(n))
        self.whole.prompt(tokens)
        heads = self.config.num_attention_heads
        group = heads // self.config.num_key_value_heads
        totals = [0.0] * n
        for h in range(heads):
            for j, entry in enumerate(self.whole.layers[self.filter_layer][h // group]):
                key = rope(entry[1], entry[0], self.inv_freq)
                totals[j] += float(self.whole.queries[self.filter_layer][h][-1] @ key)
        pooled = pool(totals, self.kernel, "avg")
        return top([*pooled[:-1], math.inf], self.budget)
