"""H2O: keep the heavy hitters, the entries that have received most attention so far."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from kvbook.engine.seen import Seen
from kvbook.fields import Budget, Natural, Reduction
from kvbook.methods.base import (
    STRICT,
    Method,
    last_indices,
    reduce_group,
    resolve_budget,
    resolve_window,
    top_indices,
)


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
        Last entries that always stay; none: half the budget, as in the paper. The newest have
        had no time to collect attention.
    gqa : {"mean", "max", "sum"}
        How the sums of a group's query heads become one for their KV head.

    References
    ----------
    H2O (Zhang et al., 2023), section 4, algorithm 1: greedy eviction by accumulated score.
    """

    budget: Budget
    recent: Natural | None = None
    gqa: Reduction = "mean"

    name: ClassVar[str] = "h2o"
    column_sums: ClassVar[bool] = True

    def keep(self, seen: Seen) -> Tensor | None:
        """Add the new attention to each entry's account; then the recent and the heaviest
        entries, ``[kv_heads, budget]``."""
        budget = resolve_budget(self.budget, seen.prompt_length)
        total = seen.memory["sums"] = self.accumulate(seen)
        if budget >= min(seen.entries, seen.input_length):
            return None
        kept = self.select(reduce_group(total, len(seen.keys), self.gqa), budget)
        group = len(total) // len(kept)
        seen.memory["sums"] = total.gather(1, kept.repeat_interleave(group, dim=0))
        return kept

    def evict(self, seen: Seen) -> Tensor | None:
        """The same after every decoded token: over budget, exactly the lowest goes."""
        return self.keep(seen)

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
        return budget // 2 if self.recent is None else resolve_window(self.recent, budget)
