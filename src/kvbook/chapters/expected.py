"""What a re-run should find: a few values of every chapter, how near to them it should come, and
why not nearer."""

from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import dpath

from kvbook.errors import ResultError

Kind = Literal["count", "bytes", "rounding", "training", "clock"]
KINDS: dict[Kind, str] = {
    "count": "counted, not computed in floating point: the same on every machine",
    "bytes": "counted, with the entries that the answer added: where rounding turns a word, the answer "
    "may be a token longer or shorter. In float32 the bytes are twice as many",
    "rounding": "greedy answers and likelihoods: the same with the same processor, thread count and "
    "versions. Elsewhere the last bit of a sum in bfloat16 differs, and of two tokens that are nearly "
    "tied the other one can win",
    "training": "as rounding, and every step of a training builds on the rounding of the step before",
    "clock": "a ratio of two times, measured in turns: it depends on the machine, and varies on a "
    "busy one",
}
"""The kinds of value, and why each is not held more tightly."""


@dataclass(frozen=True)
class Expected:
    """One value of a results file.

    Attributes
    ----------
    chapter, label : str
        Whose file it is in, and what it is.
    path : str
        Where in the file's ``data``, as `dpath` reads it: names with ``/`` between, ``*`` for any.
        Several matches count as their mean; truth values count as 0 and 1.
    over : str
        The path of a second value, by which the first one is divided; empty: it is not.
    kind : str
        One of `KINDS`.
    tolerance : float
        How far from the kept value another run may be; of ``bytes`` the share of it.
    """

    chapter: str
    label: str
    path: str
    kind: Kind
    tolerance: float = 0.0
    over: str = ""

    def read(self, data: dict[str, Any]) -> float:
        """The value in a results file's ``data``.

        Raises
        ------
        ResultError
            It is not there, or no number.
        """
        value, over = self._mean(data, self.path), self._mean(data, self.over) if self.over else 1.0
        if not over:
            raise ResultError(f"the results of {self.chapter} have 0 in {self.over}: run it again")
        return value / over

    def _mean(self, data: dict[str, Any], path: str) -> float:
        found = dpath.values(data, path)
        if not found:
            raise ResultError(f"the results of {self.chapter} have no {path}: run it again")
        if not all(isinstance(one, int | float) and abs(one) < 1e300 for one in found):
            raise ResultError(
                f"the results of {self.chapter} have no number in {path}: run it again"
            )
        return fmean(map(float, found))


def _needles(chapter: str, *runs: str) -> tuple[Expected, ...]:
    """Shares of the needles found, of twenty or ten prompts. float32 instead of bfloat16, a larger
    change of rounding than another processor, moved five such counts by at most one of twenty; a
    run may be off by two."""
    return tuple(
        Expected(chapter, f"needles found, {run}", f"needle/{run}/*", "rounding", 0.1)
        for run in runs
    )


def _prompt(chapter: str) -> tuple[Expected, ...]:
    """What the chapter's own prompt costs."""
    return (
        Expected(chapter, "tokens of the prompt", "prompt_tokens", "count"),
        Expected(chapter, "KV bytes kept of it", "kv_bytes", "bytes", 0.1),
    )


EXPECTED: tuple[Expected, ...] = (
    Expected("introduction", "KV bytes a token", "bytes_a_token/SmolLM2-135M", "count"),
    Expected("introduction", "KV bytes of a real cache", "kv_bytes_checked", "bytes"),
    Expected("from_scratch", "tokens computed without a cache", "computed/1 *", "count"),
    Expected("from_scratch", "tokens computed with a cache", "computed/2 *", "count"),
    Expected(
        "from_scratch", "tokens by hand that are the engine's", "same_tokens/*/*", "rounding", 0.1
    ),
    Expected(
        "from_scratch", "layers by hand that keep as the engine", "same_layers/*/*", "rounding", 0.1
    ),
    *_prompt("fullkv"),
    *_prompt("streamingllm"),
    *_needles("streamingllm", "fullkv", "streamingllm budget=512"),
    *_prompt("snapkv"),
    *_needles("snapkv", "snapkv budget=64", "snapkv budget=256"),
    *_prompt("h2o"),
    *_needles("h2o", "h2o budget=256"),
    *_prompt("pyramidinfer"),
    *_needles("pyramidinfer", "pyramidinfer budget=0.9"),
    *_prompt("gemfilter"),
    *_needles("gemfilter", "gemfilter budget=256"),
    *_prompt("fastkv"),
    *_needles("fastkv", "fastkv budget=256"),
    Expected(
        "summarykv",
        "facts told again, StreamingLLM at 256",
        "recall/streamingllm, budget 256/facts/*/found",
        "rounding",
        0.2,
    ),
    Expected(
        "summarykv",
        "facts told again, SummaryKV at 256",
        "recall/summarykv extractive, budget 256/facts/*/found",
        "rounding",
        0.2,
    ),
    Expected(
        "families",
        "FastKV's operations to FullKV's",
        "methods/fastkv/0/flops",
        "count",
        over="fullkv/flops",
    ),
    Expected(
        "families",
        "SnapKV's bytes to FullKV's, all budgets",
        "methods/snapkv/*/kv_bytes",
        "rounding",
        0.01,
        over="fullkv/kv_bytes",
    ),
    Expected(
        "quantization",
        "bytes in 4 bits to those in 16",
        "measured/fullkv, fewer bits/4 bits/needle_bytes",
        "count",
        over="measured/full/16 bits/needle_bytes",
    ),
    Expected(
        "quantization",
        "KL of 4 bits, nats",
        "measured/fullkv, fewer bits/4 bits/kl/*",
        "rounding",
        0.01,
    ),
    *_needles("own_method", "tova budget=256", "keynorm budget=256"),
    Expected(
        "evaluation",
        "FullKV's score, mean of all items",
        "evaluated/fullkv/scores/*/*",
        "rounding",
        0.1,
    ),
    Expected(
        "evaluation",
        "SnapKV's score, mean of all items",
        "evaluated/snapkv/scores/*/*",
        "rounding",
        0.15,
    ),
    Expected(
        "evaluation", "KL of SnapKV at 256, nats", "fidelity/snapkv/256/*/kl", "rounding", 0.01
    ),
    Expected("evaluation", "FullKV's NLL of the true answers", "full_nll", "rounding", 0.02),
    Expected(
        "harder",
        "numbers among several found, FullKV",
        "found/one among 3/fullkv/*",
        "rounding",
        0.25,
    ),
    Expected("harder", "rules followed, FullKV", "followed/fullkv/*/*", "rounding", 0.15),
    Expected(
        "profiling",
        "FastKV's prefill to FullKV's, its parts",
        "parts/fastkv/*",
        "clock",
        0.15,
        over="parts/fullkv/*",
    ),
    Expected(
        "profiling",
        "GemFilter's prefill to FullKV's, its parts",
        "parts/gemfilter/*",
        "clock",
        0.15,
        over="parts/fullkv/*",
    ),
    Expected("medical_data", "rows to train on", "rows/train", "count"),
    Expected("medical_data", "median tokens of a row", "lengths/whole/tokens/median", "count"),
    Expected("medical_data", "loss of one row before training", "row/loss", "rounding", 0.02),
    Expected("lora", "trained parameters", "trainable", "count"),
    Expected("lora", "held-out loss at the end", "held_out_losses/4/1", "training", 0.1),
    Expected(
        "bertscore",
        "raw F1 of ten times the dose",
        "damaged/ten times the dose/raw",
        "rounding",
        0.005,
    ),
    Expected(
        "bertscore", "raw F1 before training", "gains/BERTScore F1, raw/before", "rounding", 0.03
    ),
    Expected(
        "bertscore", "raw F1 after training", "gains/BERTScore F1, raw/after", "training", 0.05
    ),
)
"""In the order of the chapters."""
