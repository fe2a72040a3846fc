"""H2O as a published benchmark harness once computed it: without a causal mask for most queries, so
that their scores count later tokens.

It is here only to show what this fault costs. It is not in the catalogue of `create_method`, so
that no comparison of all methods has it.
"""

from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from kvbook.engine.attention import QUERY_BLOCK
from kvbook.engine.seen import Recent, Seen
from kvbook.fields import Count
from kvbook.methods.base import STRICT, reduce_group, resolve_budget
from kvbook.methods.h2o import H2O


@dataclass(frozen=True, config=STRICT)
class PublishedH2O(H2O, listed=False):
    """H2O with the faults of KVCache-Factory at commit 028e2da: only the last ``recent`` x
    ``recent`` block of its score matrix is causal, and nothing is evicted while decoding.

    Parameters
    ----------
    budget, gqa
        As of `H2O`.
    recent : int
        Last entries that always stay, and the side of the block that is causal; the
        harness takes 8 for both.
    """

    recent: Count = 8

    name: ClassVar[str] = "h2o_published"
    column_sums: ClassVar[bool] = False

    def keep(self, seen: Seen) -> Recent | None:
        """The recent and the heaviest entries of one reading, ``budget`` a KV head."""
        budget = resolve_budget(self.budget, seen.prompt_length)
        if budget >= min(seen.entries, seen.input_length):
            return None
        sums = leaky_column_sums(seen.queries, seen.keys, seen.scaling, self.recent)
        start = seen.entries - self.resolve_recent(budget)
        score = reduce_group(sums, len(seen.keys), self.gqa)[:, :start]
        return Recent(start, before=self.heaviest(score, budget - (seen.entries - start)))

    evict = None  # all that is generated is kept: the cache outgrows its budget


def leaky_column_sums(
    q: Tensor, k: Tensor, scaling: float, window: int, block: int = QUERY_BLOCK
) -> Tensor:
    """Column sums with a bug that KVCache-Factory had: only the last ``window`` x
    ``window`` block of the score matrix is causal, so that all earlier queries see the future.

    Parameters
    ----------
    q : Tensor [heads, n, head_dim]
    k : Tensor [kv_heads, n, head_dim]
    scaling : float
        Usually ``head_dim ** -0.5``.
    window : int
        Side of the block that is masked.
    block : int
        Queries that are computed at a time, so that memory is linear in ``n``.

    Returns
    -------
    Tensor [heads, n]
        float32; each head's sums add up to ``n``.
    """
    heads, n, dim = q.shape
    kv_heads = len(k)
    sums = torch.zeros(heads, n, dtype=torch.float32, device=q.device)
    column = torch.arange(n, device=q.device)
    for start in range(0, n, block):
        rows = q[:, start : start + block]
        scores = (rows.reshape(kv_heads, -1, dim).float() @ k.float().transpose(1, 2)) * scaling
        scores = scores.view(heads, -1, n)
        own = column[start : start + block, None]
        hidden = (own >= n - window) & (column > own)
        sums += scores.masked_fill_(hidden, float("-inf")).softmax(-1).sum(1)
    return sums
