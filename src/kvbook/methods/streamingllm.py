"""StreamingLLM: the first tokens and the last ones."""

from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass
from torch import nn

from kvbook.engine.attention import rotate
from kvbook.engine.seen import Recent, Seen
from kvbook.errors import UnsupportedError
from kvbook.fields import Budget, Count, Natural
from kvbook.methods.base import STRICT, Method, resolve_budget


@dataclass(frozen=True, config=STRICT)
class StreamingLLM(Method):
    """Keep the attention sinks at the start and a window at the end.

    Parameters
    ----------
    budget : int or float
        Entries a layer keeps per KV head, sinks included; or a fraction of the prompt.
    sinks : int
        First tokens that stay for good: a head whose query matches no token puts its attention
        there. Four are enough in the paper.
    rolling : bool
        Every decoded token evicts the oldest that is not a sink. A prompt that fits the
        budget is never cut, nor is its answer: the run is then FullKV's.
    positions : {"cache", "original"}
        RoPE by the slot in the cache, or by the original position. ``"cache"``, as in the
        paper, lets the window begin one step after the sinks; with ``"original"``, as in
        KVCache-Factory (read in November 2026), the gap stays.
    chunk : int, optional
        Read the prompt this many tokens at a time through the bounded cache: memory is then
        constant in the prompt's length. None reads it whole, then evicts.

    References
    ----------
    StreamingLLM (Xiao et al., 2024), section 3.2, "rolling KV cache with attention sinks".
    """

    budget: Budget
    sinks: Natural = 4
    rolling: bool = True
    positions: Literal["cache", "original"] = "cache"
    chunk: Count | None = None

    name: ClassVar[str] = "streamingllm"

    def keep(self, seen: Seen) -> Recent | None:
        """The first ``sinks`` and the last ``budget - sinks`` entries."""
        budget = resolve_budget(self.budget, seen.prompt_length)
        if budget >= min(seen.entries, seen.input_length):
            return None
        sinks = min(self.sinks, budget)
        if self.positions == "cache" and sinks:
            self.close_gap(seen, sinks, steps=seen.tokens_seen - budget)
        return Recent(seen.entries - (budget - sinks), before=sinks)

    @property
    def evict(self) -> Callable[[Seen], Recent | None] | None:
        """The same after every decoded token; without ``rolling`` there is no such hook."""
        return self.keep if self.rolling else None

    def close_gap(self, seen: Seen, sinks: int, steps: int) -> None:
        """Move the sinks to just before the window: ``steps`` positions on from where they were
        read. The rotation always starts from the keys as they were read, so that rounding does not
        add up."""
        first = seen.memory.setdefault("sinks", seen.keys[:, :sinks].clone())
        seen.keys[:, :sinks] = rotate(first, steps, seen.inv_freq)

    def check_model(self, model: nn.Module) -> None:
        """Refuse RoPE whose frequencies change with the length: keys cannot be moved by one rotation."""
        kind = (getattr(model.config, "rope_parameters", None) or {}).get("rope_type", "default")
        if self.positions == "cache" and kind in ("dynamic", "longrope"):
            raise UnsupportedError(
                f'positions="cache" moves keys by a rotation, which RoPE of type {kind!r} does not allow; '
                'use positions="original"'
            )
