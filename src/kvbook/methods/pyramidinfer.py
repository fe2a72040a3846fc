"""PyramidInfer: deeper layers read fewer tokens."""

import math
from collections.abc import Callable
from dataclasses import dataclass as plain_dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from kvbook.engine.attention import received
from kvbook.engine.seen import Seen
from kvbook.fields import Budget, Natural, Positive, Share
from kvbook.methods.base import STRICT, Method, resolve_budget, top_indices
from kvbook.methods.pyramid_generation import thin

DECAYS = [step / 1000 for step in range(1001)]


@plain_dataclass(frozen=True)
class Pyramid:
    """What each layer reads of one prompt.

    Attributes
    ----------
    lengths : tuple of int
        Tokens that layers 0, 1, ... read, and hold.
    recent : int
        Recent tokens that, with the last one, always go on.
    decay : float
        The least share of its context that a layer passes on.
    """

    lengths: tuple[int, ...]
    recent: int
    decay: float

    @property
    def retention(self) -> float:
        """Share of the prompt that a layer reads, mean over the layers."""
        return sum(self.lengths) / len(self.lengths) / self.lengths[0]


@lru_cache(maxsize=256)
def build_pyramid(tokens: int, layers: int, decay: float, recent: int, min_length: int) -> Pyramid:
    """The lengths that a decay gives: layer ``l`` passes on the share
    ``(1 - decay) * (cos(pi * l / layers) + 1) / 2 + decay`` of its context. The context is all that
    it reads, but for the last ``1 + recent`` tokens."""
    lengths = [tokens]
    for layer in range(layers - 1):
        context = lengths[-1] - 1 - recent
        share = (1 - decay) * (math.cos(math.pi * layer / layers) + 1) / 2 + decay
        kept = math.floor(context * share)
        lengths.append(lengths[-1] if kept <= min_length else kept + 1 + recent)
    return Pyramid(tuple(lengths), recent, decay)


@lru_cache(maxsize=256)
def solve_pyramid(
    tokens: int, layers: int, budget: int, recent: int, min_length: int
) -> tuple[Pyramid, str]:
    """The pyramid whose layers hold ``budget`` tokens on average.

    The decay is searched on a grid, in steps of 0.001. A recent part that, with the last
    token, is larger than the budget becomes half the budget. As long as no decay comes within 0.01
    of the wanted mean retention, the recent part is halved.

    Returns
    -------
    Pyramid
        The nearest that was found.
    str
        A note on what had to change; empty if nothing had.
    """
    given, target = recent, budget / tokens
    if 1 + recent > budget:
        recent = budget // 2
    while True:
        tries = [build_pyramid(tokens, layers, d, recent, min_length) for d in DECAYS]
        best = min(tries, key=lambda pyramid: abs(pyramid.retention - target))
        if abs(best.retention - target) <= 0.01 or recent == 0:
            break
        recent //= 2
    changes = []
    if recent != given:
        changes.append(f"recent tokens {given} -> {recent}")
    if abs(best.retention - target) > 0.01:
        changes.append("no decay reaches it, because the first layers read the whole prompt")
    note = f"pyramidinfer: budget {budget} of {tokens} tokens; mean retention {best.retention:.3f}"
    return best, "; ".join([note, *changes]) if changes else ""


@dataclass(frozen=True, config=STRICT)
class PyramidInfer(Method):
    """Each layer passes only part of its tokens on to the next, and caches all that it reads.

    Parameters
    ----------
    decay : float
        Least share of its context that a layer passes on; with depth the share falls towards
        it, by a cosine.
    recent_ratio : float
        Share of the prompt at its end that always goes on, and whose queries judge the rest.
    min_length : int
        Where a cut would leave this many context tokens or fewer, the layer does not cut.
    sinks : int
        First tokens that always go on.
    distance_weight : float
        Weight of the last query's judgement; that of the first recent query is 1.
    budget : int or float, optional
        Mean entries a layer, or the mean share of the prompt; none: what the ``decay`` gives.
        With a budget, the ``decay`` is solved for it, so that methods compare at equal bytes; the
        run's ``notes`` say what had to change.
    generation : bool
        While decoding, also evict older generated entries, as the authors' code does
        (`kvbook.methods.pyramid_generation`); off, as in harnesses that compare methods by what
        they keep of a prompt.

    Notes
    -----
    ``min_length``, ``sinks`` and ``distance_weight`` are by default those of the authors' code.
    Theirs has a ``decay`` of 0.9 for models with 7 or 8 billion parameters; 0.3 and a
    ``recent_ratio`` of 0.2 are the setting for a retention of one half in FastKV's harness
    (dongwonjo/FastKV, ``baselines/monkeypatch.py``; both read in November 2026).

    References
    ----------
    PyramidInfer (Yang et al., 2024), section 3: inference context redundancy and recent
    attention consistency. The cosine schedule is that of the authors' code
    (mutonix/pyramidinfer, read in November 2026).
    """

    decay: Share = 0.3
    recent_ratio: Share = 0.2
    min_length: Natural = 64
    sinks: Natural = 4
    distance_weight: Positive = 1.2
    budget: Budget | None = None
    generation: bool = False

    name: ClassVar[str] = "pyramidinfer"

    def pyramid(self, tokens: int, layers: int) -> tuple[Pyramid, str]:
        """What the layers read of a prompt of this length, and a note for the user."""
        recent = math.floor(tokens * self.recent_ratio)
        if self.budget is None:
            return build_pyramid(tokens, layers, self.decay, recent, self.min_length), ""
        budget = resolve_budget(self.budget, tokens)
        if budget >= tokens:
            return Pyramid((tokens,) * layers, recent, 1.0), ""
        return solve_pyramid(tokens, layers, budget, recent, self.min_length)

    def pass_on(self, seen: Seen) -> Tensor | None:
        """The context's tokens with the top scores, and the recent tokens: ascending indices
        ``[next layer's length]``."""
        pyramid, note = self.pyramid(seen.prompt_length, seen.layers)
        if note and seen.layer == 0:
            seen.notes.append(note)
        if seen.layer + 1 == seen.layers or pyramid.lengths[seen.layer + 1] == seen.entries:
            return None
        context = seen.entries - 1 - pyramid.recent
        count = pyramid.lengths[seen.layer + 1] - 1 - pyramid.recent
        score = self.score(seen, 1 + pyramid.recent)[:context]
        score[: min(self.sinks, count)] = float("inf")
        last = torch.arange(context, seen.entries, device=score.device)
        return torch.cat((top_indices(score[None], count)[0], last))

    @property
    def evict(self) -> Callable[[Seen], Tensor | None] | None:
        """What thins the generated entries; without ``generation`` there is no such hook."""
        return self._thin if self.generation else None

    def _thin(self, seen: Seen) -> Tensor | None:
        pyramid, _ = self.pyramid(seen.prompt_length, seen.layers)
        whole = self.budget is not None and pyramid.retention == 1  # a budget that drops nothing
        return None if whole else thin(seen, pyramid.recent, self.distance_weight)

    def score(self, seen: Seen, rows: int) -> Tensor:
        """Attention from the last ``rows`` queries, later ones counting more, mean over
        them and over the heads: ``[entries]``."""
        weights = torch.linspace(
            1, self.distance_weight, rows, dtype=torch.float32, device=seen.keys.device
        )
        sums = received(seen.queries[:, -rows:], seen.keys, seen.scaling, weights)
        return sums.mean(0) / rows
