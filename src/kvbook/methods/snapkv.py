"""SnapKV: the end of the prompt votes for what the answer will need."""

from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from kvbook.engine.attention import received
from kvbook.engine.seen import Seen
from kvbook.fields import Budget, Count, Kernel, Pooling, Reduction
from kvbook.methods.base import (
    STRICT,
    Method,
    last_indices,
    pool,
    reduce_group,
    resolve_budget,
    resolve_window,
    top_indices,
)


@dataclass(frozen=True, config=STRICT)
class SnapKV(Method):
    """Keep, per KV head, the prefix positions that the last queries attend to, and those
    last positions.

    Parameters
    ----------
    budget : int or float
        Entries a layer keeps per KV head after the prefill, the window included; or a
        fraction of the prompt.
    window : int
        The last queries, which vote. 32 is long enough to hold a question and short enough
        to be about it.
    kernel : int
        Odd width of the pooling over positions, so that the neighbours of a needed token
        stay with it. 7 and ``"max"`` are the values of KVCache-Factory's ``run_longbench.py``, 5
        and ``"avg"`` those of the authors' code (both read in November 2026).
    pooling : {"max", "avg"}
        How a position takes on its neighbours' votes.
    gqa : {"mean", "max", "sum"}
        How the votes of a group's query heads become one choice for their KV head.

    References
    ----------
    SnapKV (Li et al., 2024), section 4: observation window, voting, and clustering by
    pooling. The authors' code (FasterDecoding/SnapKV, read in November 2026) keeps one
    copy of the cache a query head; here a group shares one, as the model does.
    """

    budget: Budget
    window: Count = 32
    kernel: Kernel = 7
    pooling: Pooling = "max"
    gqa: Reduction = "mean"

    name: ClassVar[str] = "snapkv"

    def keep(self, seen: Seen) -> Tensor | None:
        """The top ``budget - window`` of the prefix and the window, ``[kv_heads, budget]``."""
        budget = resolve_budget(self.budget, seen.prompt_length)
        if budget >= seen.entries:
            return None
        window = resolve_window(self.window, budget)
        scores = self.score(seen, window)
        recent = last_indices(seen.entries, window, len(scores), scores.device)
        return torch.cat((top_indices(scores, budget - window), recent), dim=-1)

    def score(self, seen: Seen, window: int) -> Tensor:
        """Votes for the prefix, ``[kv_heads, entries - window]``, float32."""
        votes = received(seen.queries[:, -window:], seen.keys, seen.scaling)[:, :-window]
        return reduce_group(pool(votes, self.kernel, self.pooling), len(seen.keys), self.gqa)
