"""H2O: keep the heavy hitters, the entries that have received most attention so far."""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from kvbook.engine.attach import Seen
from kvbook.engine.attention import leaky_column_sums
from kvbook.fields import Budget, Natural
from kvbook.methods.base import (
    STRICT,
    Method,
    Reduction,
    last_indices,
    reduce_group,
    resolve_budget,
    resolve_window,
    top_indices,
)

PUBLISHED_WINDOW = 8


@dataclass(frozen=True, config=STRICT)
class H2O(Method):
    """Keep the most recent entries and, of the others, those with the highest accumulated
    attention; evict the lowest after every decoded token.

    Parameters
    ----------
    budget : int or float
        Entries a layer keeps per KV head, the recent ones included; or a fraction of the
        prompt. A prompt that fits is never cut, nor is its answer.
    recent : int, optional
        Last entries that always stay: the newest have had no time to collect attention.
        None is half the budget, as in the paper.
    gqa : {"mean", "max", "sum"}
        How the sums of a group's query heads become one for their KV head.
    variant : {"paper", "published"}
        ``"published"`` reproduces a benchmark harness whose scores are wrong: only the last
        8 x 8 block of the score matrix is causal, so queries see future keys; 8 recent
        entries; no eviction while decoding. Only to show what that costs.

    References
    ----------
    H2O (Zhang et al., 2023), section 4, algorithm 1: greedy eviction by accumulated score.
    """

    budget: Budget
    recent: Natural | None = None
    gqa: Reduction = "mean"
    variant: Literal["paper", "published"] = "paper"

    name: ClassVar[str] = "h2o"

    @property
    def column_sums(self) -> bool:
        """Ask the engine for the attention that every entry received."""
        return self.variant == "paper"

    def keep(self, seen: Seen) -> Tensor | None:
        """Add the new attention to each entry's account; then the recent and the heaviest
        entries, ``[kv_heads, budget]``."""
        budget = resolve_budget(self.budget, seen.prompt_length)
        fits = budget >= min(seen.entries, seen.input_length)
        if self.variant == "published":
            total = (
                None
                if fits
                else leaky_column_sums(seen.queries, seen.keys, seen.scaling, PUBLISHED_WINDOW)
            )
        else:
            total = seen.memory["sums"] = self.accumulate(seen)
        if fits:
            return None
        kept = self.select(reduce_group(total, len(seen.keys), self.gqa), budget)
        if self.variant == "paper":
            group = len(total) // len(kept)
            seen.memory["sums"] = total.gather(1, kept.repeat_interleave(group, dim=0))
        return kept

    def evict(self, seen: Seen) -> Tensor | None:
        """The same after every decoded token: over budget, exactly the lowest goes."""
        return self.keep(seen) if self.variant == "paper" else None

    def select(self, score: Tensor, budget: int) -> Tensor:
        """All but the lowest of ``score [kv_heads, entries]`` that are not recent."""
        entries, recent = score.shape[1], self.resolve_recent(budget)
        old = score[:, : entries - recent]
        if entries == budget + 1:  # a decoded token: one goes, the others move up
            kept = torch.arange(budget, device=score.device).expand(len(score), -1)
            return kept + (kept >= old.argmin(-1, keepdim=True))
        last = last_indices(entries, recent, len(score), score.device)
        return torch.cat((top_indices(old, budget - recent), last), dim=-1)

    def accumulate(self, seen: Seen) -> Tensor:
        """What each entry has received from all queries so far, ``[heads, entries]``: a
        prompt's ``n`` queries add up to ``n`` a head."""
        before = seen.memory.get("sums")
        if before is None:
            return seen.column_sums
        return F.pad(before, (0, seen.entries - before.shape[1])) + seen.column_sums

    def resolve_recent(self, budget: int) -> int:
        """Recent entries in a budget of so many."""
        if self.variant == "published":
            return resolve_window(PUBLISHED_WINDOW, budget)
        return budget // 2 if self.recent is None else resolve_window(self.recent, budget)
