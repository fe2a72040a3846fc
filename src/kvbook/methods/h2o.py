"""H2O: keep the heavy hitters, the entries that have received most attention so far."""

from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from kvbook.engine.seen import Recent, Seen
from kvbook.fields import Budget, Natural, Reduction
from kvbook.methods.base import (
    STRICT,
    Method,
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
        Last entries that always stay; none: half the budget, as in the paper. They stay because
        the newest entries have had no time to collect attention. A number that would fill the
        budget shrinks to half of it.
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

    def keep(self, seen: Seen) -> Recent | None:
        """Add the new attention to each entry's account, then keep the recent and the heaviest
        entries, ``budget`` per KV head."""
        budget = resolve_budget(self.budget, seen.prompt_length)
        total = seen.memory["sums"] = self.accumulate(seen)
        if budget >= min(seen.entries, seen.input_length):
            return None
        return self.select(seen, reduce_group(total, len(seen.keys), self.gqa), budget)

    def evict(self, seen: Seen) -> Recent | None:
        """The same after every decoded token: over the budget, exactly the lowest entry is evicted."""
        return self.keep(seen)

    def select(self, seen: Seen, score: Tensor, budget: int) -> Recent:
        """The recent entries and, of those before, the highest of ``score [kv_heads, entries]``.
        Only the accounts of these are kept."""
        recent = self.resolve_recent(budget)
        start = seen.entries - recent
        heavy = self.heaviest(score[:, :start], budget - recent)
        grouped = seen.memory["sums"].view(len(score), -1, seen.entries)
        index = heavy[:, None].expand(-1, grouped.shape[1], -1)
        left = torch.cat((grouped.gather(2, index), grouped[..., start:]), dim=-1)
        seen.memory["sums"] = left.flatten(0, 1)
        return Recent(start, before=heavy)

    def heaviest(self, score: Tensor, count: int) -> Tensor:
        """The ``count`` highest of ``score [kv_heads, entries]``, ascending."""
        if score.shape[1] > count + 1:
            return top_indices(score, count)
        index = torch.arange(count, device=score.device)  # a decoded token: only the lowest goes
        return index + (index >= score.argmin(-1, keepdim=True))

    def accumulate(self, seen: Seen) -> Tensor:
        """What each entry has received from all queries so far, ``[heads, entries]``: after a
        prompt of ``n`` tokens, the accounts of a head add up to ``n``."""
        before = seen.memory.get("sums")
        if before is None:
            return seen.column_sums
        total = seen.column_sums.clone()
        total[:, : before.shape[1]] += before
        return total

    def resolve_recent(self, budget: int) -> int:
        """How many recent entries stay in this budget."""
        return budget // 2 if self.recent is None else resolve_window(self.recent, budget)
