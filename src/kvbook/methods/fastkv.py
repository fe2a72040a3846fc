"""FastKV: shallow layers read everything, deep ones what a middle layer points at."""

from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from kvbook.engine.seen import Seen
from kvbook.fields import Budget, Count, Kernel, Natural, Pooling
from kvbook.methods.base import (
    STRICT,
    Method,
    check_layer,
    last_indices,
    resolve_budget,
    resolve_window,
    top_indices,
)
from kvbook.methods.snapkv import SnapKV


@dataclass(frozen=True, config=STRICT)
class FastKV(Method):
    """Every layer compresses its cache as SnapKV does. After one middle layer, only the tokens that
    its attention points at go deeper.

    Parameters
    ----------
    budget : int or float
        Entries a layer keeps per KV head after the prefill, the window included; or a
        fraction of the prompt.
    tsp_layer : int, optional
        The layer, from 0, after which the hidden states are cut (token-selective
        propagation); none: the last of the first half, which is 15 of 32, as in the paper.
    tsp_length : int or float
        Tokens that go deeper, at least the window and one more; or a fraction of the prompt. A
        deeper layer that reads fewer than the budget keeps them all, as in the authors' code
        (dongwonjo/FastKV, read in November 2026).
    window : int
        The last queries, which vote, as for `SnapKV`; the votes of a group are summed.
    kernel : int
        Odd width of the pooling over positions.
    pooling : {"max", "avg"}
        How a position takes on its neighbours' votes.

    Notes
    -----
    The defaults of ``tsp_length``, ``window``, ``kernel`` and ``pooling`` are those of the authors'
    ``run_longbench.py`` (dongwonjo/FastKV, read in November 2026).

    References
    ----------
    FastKV (Jo et al., 2025; Findings of ACL 2026), section 3: token-selective propagation, and
    beside it a separate KV budget.
    """

    budget: Budget
    tsp_layer: Natural | None = None
    tsp_length: Budget = 0.2
    window: Count = 8
    kernel: Kernel = 7
    pooling: Pooling = "max"

    name: ClassVar[str] = "fastkv"

    @property
    def snapkv(self) -> SnapKV:
        """What compresses each layer's cache."""
        return SnapKV(self.budget, self.window, self.kernel, self.pooling, gqa="sum")

    def keep(self, seen: Seen) -> Tensor | None:
        """SnapKV's choice among what this layer read, ``[kv_heads, budget]``."""
        return self.snapkv.keep(seen)

    def pass_on(self, seen: Seen) -> Tensor | None:
        """After the TSP layer: the top of the votes summed over all heads, and the window."""
        tsp_layer = max(0, seen.layers // 2 - 1) if self.tsp_layer is None else self.tsp_layer
        length = self.propagated(seen.prompt_length)
        if seen.layer != tsp_layer or length >= seen.entries:
            return None
        window = self.resolve_window(seen.prompt_length)
        score = self.snapkv.score(seen, window).sum(0, keepdim=True)
        recent = last_indices(seen.entries, window, 1, score.device)
        return torch.cat((top_indices(score, length - window), recent), dim=-1)[0]

    def propagated(self, tokens: int) -> int:
        """How many tokens of a prompt of ``tokens`` go deeper: all, if the budget holds them all."""
        if resolve_budget(self.budget, tokens) >= tokens:
            return tokens
        length = max(self.resolve_window(tokens) + 1, resolve_budget(self.tsp_length, tokens))
        return min(length, tokens)

    def resolve_window(self, tokens: int) -> int:
        """The window for a prompt of ``tokens``; a small budget makes it smaller."""
        return resolve_window(self.window, resolve_budget(self.budget, tokens))

    def check_model(self, model: nn.Module) -> None:
        """Refuse a layer that the model does not have."""
        check_layer(self, "tsp_layer", model)
