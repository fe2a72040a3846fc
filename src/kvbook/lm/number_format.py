"""Whether this processor reads a prompt quicker in bfloat16 or in float32: measured once, and
remembered. The processor's list of instructions does not tell. Of two processors with AVX512-BF16,
one was 2.5 times as quick in bfloat16, the other 1.5 times as quick in float32.
"""

import hashlib
import importlib.metadata
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from kvbook.errors import ResultError
from kvbook.files import write_whole
from kvbook.places import cache_dir

TOKENS = 512
"""Tokens that are read: enough that arithmetic and not memory limits the products, as in a longer
prompt."""
TURNS = 5
"""Measurements of each format; the two take turns."""
CLEARLY = 0.9
"""The share of float32's time below which bfloat16 is taken. It is below 1 for two reasons. The
work between the products gains nothing from bfloat16, so reading a prompt gains a little less than
the products do. And where neither format is quicker, float32 is better, because it rounds less."""
HOPELESS = 2.0
"""If bfloat16 takes more than so many times float32's time, one turn is enough: the processor has
no bfloat16, and emulates it slowly."""
WAIT = 60
"""Seconds for another process that measures; it takes about one."""


class NumberFormat(BaseModel):
    """What ``dtype="auto"`` is on the CPU, and why.

    Attributes
    ----------
    dtype : str
        What reads quicker.
    float32, bfloat16 : float
        Seconds of CPU time for the products of one layer of the embedded model over `TOKENS`
        tokens.
    threads : int
        With which they were measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dtype: Literal["float32", "bfloat16"]
    float32: float
    bfloat16: float
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.dtype}: {TOKENS} tokens through a layer take {self.bfloat16 * 1000:.1f} ms of "
            f"CPU time in bfloat16, {self.float32 * 1000:.1f} in float32 (threads: {self.threads})"
        )


@cache
def find_number_format() -> NumberFormat:
    """What is remembered of this machine; measured now, in a second, where nothing is. Safe when
    two processes ask at once: one measures, and both take its answer.

    It is remembered for this processor and this torch, whatever the number of threads: chapters
    run with one or two, and all of a book is to have the same format.
    """
    path = _path()
    with ExitStack() as stack:
        with suppress(OSError, NotImplementedError):  # it cannot be written: each measures
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path.with_suffix(".lock"), timeout=WAIT))
        if (found := remembered()) is None:
            found = measure()
            with suppress(ResultError):
                write_whole(path, found.model_dump_json(indent=1))
    return found


def remembered() -> NumberFormat | None:
    """What was measured here before; None where nothing was, or its file is damaged."""
    try:
        return NumberFormat.model_validate_json(_path().read_bytes())
    except (OSError, ValidationError):
        return None


def _path() -> Path:
    """The file of this processor, by its name and instructions, and this torch: several machines
    may share a user's cache."""
    known = [platform.processor() or platform.machine(), importlib.metadata.version("torch")]
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        known += sorted({line for line in lines if line.startswith(("model name", "flags"))})
    key = hashlib.sha256("\n".join(known).encode()).hexdigest()[:12]
    return cache_dir() / "number-format" / f"{key}.json"


def measure() -> NumberFormat:
    """Time both formats in turns, on the threads in use.

    CPU time, not the clock's: beside four busy processes the ratio of the two then varied by 3
    percent from one measurement to the next, by the clock by 30.
    """
    import torch

    works = {name: layer_products(getattr(torch, name)) for name in ("float32", "bfloat16")}
    taken: dict[str, list[float]] = {name: [] for name in works}
    with torch.inference_mode():
        for _ in range(TURNS):
            for name, work in works.items():
                taken[name].append(cpu_seconds(work))
            if sum(taken["bfloat16"]) > HOPELESS * sum(taken["float32"]):
                break
    float32, bfloat16 = (statistics.mean(taken[name]) for name in works)
    return NumberFormat(
        dtype="bfloat16" if bfloat16 < CLEARLY * float32 else "float32",
        float32=float32,
        bfloat16=bfloat16,
        threads=torch.get_num_threads(),
    )


def layer_products(dtype) -> Callable[[], None]:
    """All products of one layer of the embedded model over `TOKENS` tokens: of its seven matrices,
    and of attention. Attention gains less from bfloat16 than the matrices do; without it, bfloat16
    would look quicker than it is."""
    import torch
    from torch.nn.functional import linear, scaled_dot_product_attention

    from kvbook.lm.configs import PUBLISHED

    shape = PUBLISHED["SmolLM2-135M"]()
    heads, groups, size = shape.num_attention_heads, shape.num_key_value_heads, shape.head_dim
    hidden, mlp = shape.hidden_size, shape.intermediate_size

    def full(*sizes: int) -> torch.Tensor:
        return torch.full(sizes, 0.1, dtype=dtype)

    narrow, wide = full(TOKENS, hidden), full(TOKENS, mlp)
    to_hidden = [full(rows, hidden) for rows in (heads * size, groups * size, groups * size)]
    to_hidden += [full(hidden, heads * size), full(mlp, hidden), full(mlp, hidden)]
    down = full(hidden, mlp)
    q, k = full(1, heads, TOKENS, size), full(1, groups, TOKENS, size)

    def work() -> None:
        for weight in to_hidden:
            linear(narrow, weight)
        linear(wide, down)
        scaled_dot_product_attention(q, k, k, is_causal=True, enable_gqa=True)

    return work


def cpu_seconds(work: Callable[[], None]) -> float:
    """Seconds of CPU time that ``work()`` takes, of all threads of this process together."""
    started = time.process_time()
    work()
    return time.process_time() - started
