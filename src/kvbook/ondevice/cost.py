"""What reading and writing cost in llama.cpp, in turns with the package and with transformers alone."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kvbook.errors import ExecutionError, ParameterError
from kvbook.methods import Method, create_method
from kvbook.ondevice.bounded import FullCache, How, open_cache
from kvbook.ondevice.process import BYTES, CacheType, LlamaCpp
from kvbook.profiling.memory import STEADY
from kvbook.threads import waiting

WARM_UP = 64
"""Tokens that every engine reads once before anything is measured."""


@dataclass
class Cost:
    """What one engine took at one length of the prompt, a value a repeat.

    Attributes
    ----------
    engine : str
        Such as ``"llama.cpp, q4_1, cache f16"``.
    context, threads : int
        Tokens of the prompt; threads that computed together.
    prefill, decode : list of float
        Seconds of the prompt; median seconds of a decoded token.
    cpu : list of float
        Seconds of all cores together, of the whole run.
    peak : list of int
        Bytes of the process at its peak, weights and program included.
    """

    engine: str
    context: int
    threads: int
    prefill: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)

    def add(self, sample: dict) -> None:
        """One more repeat."""
        for name in ("prefill", "decode", "cpu", "peak"):
            getattr(self, name).append(sample[name])

    def data(self) -> dict:
        """Ready for a results file."""
        return asdict(self)


def measure_costs(
    folder: Path,
    files: dict[str, Path],
    ids: Sequence[int],
    *,
    contexts: Sequence[int],
    caches: Sequence[CacheType] = ("f16",),
    threads: Sequence[int] = (1,),
    new_tokens: int = 16,
    repeats: int = 3,
    dtype: str = "float32",
) -> list[Cost]:
    """Every engine at every length, in turns: a repeat is once through all of them.

    Parameters
    ----------
    folder : Path
        The model, for the package and for transformers alone.
    files : dict of str to Path
        The same as GGUF, by what its weights are stored in: the first with all types of cache, the others
        with the first type.
    ids : sequence of int
        Tokens to take prompts from.
    contexts, caches, threads : sequence
        Lengths of the prompts; types of llama.cpp's caches; numbers of threads.
    new_tokens, repeats : int
        Tokens to write after each prompt, and how often all is measured.
    dtype : str
        Of the package and of transformers; the cache's, too.

    Raises
    ------
    ParameterError
        Fewer tokens than the longest prompt has.
    """
    if len(ids) < max(contexts):
        raise ParameterError(
            f"{len(ids)} tokens are not enough for a prompt of {max(contexts)}: give more"
        )
    found: list[Cost] = []
    for count in threads:
        with ExitStack() as stack:
            engines: dict[str, Callable[[list[int]], dict]] = {}
            for method, name in (("stock", "transformers"), ("fullkv", "kvbook, FullKV")):
                ask = stack.enter_context(_torch(folder, dtype, count, method, new_tokens))
                engines[f"{name}, {dtype}"] = ask
            for i, (weights, gguf) in enumerate(files.items()):
                for cache in caches if i == 0 else caches[:1]:
                    llama = stack.enter_context(LlamaCpp(gguf, count))
                    name = f"llama.cpp, {weights}, cache {cache}"
                    engines[name] = _of_llama(llama, cache, new_tokens)
            costs = {
                (name, length): Cost(name, length, count) for length in contexts for name in engines
            }
            for _ in range(repeats):
                for (name, length), cost in costs.items():
                    cost.add(engines[name](list(ids[:length])))
            found += costs.values()
    return found


@contextmanager
def _torch(
    folder: Path, dtype: str, threads: int, method: str, new_tokens: int
) -> Iterator[Callable[[list[int]], dict]]:
    """`kvbook.ondevice.torch_peer`, asked for one run after the other."""
    command = [sys.executable, "-m", "kvbook.ondevice.torch_peer"]
    process = subprocess.Popen(
        [*command, str(folder), dtype, str(threads), method],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | STEADY | waiting(),
        start_new_session=True,
    )

    def hear() -> str:
        line = process.stdout.readline()
        if not line:
            raise ExecutionError("the process that runs PyTorch ended; its words are above")
        return line

    def ask(ids: list[int]) -> dict:
        process.stdin.write(json.dumps({"ids": ids, "new_tokens": new_tokens}) + "\n")
        process.stdin.flush()
        return json.loads(hear())

    try:
        hear()
        yield ask
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _of_llama(llama: LlamaCpp, cache: CacheType, new_tokens: int) -> Callable[[list[int]], dict]:
    """The same of llama.cpp: a context a run."""

    def ask(ids: list[int]) -> dict:
        context = llama.open(len(ids) + new_tokens, cache)
        context.read(ids[:WARM_UP], 0)
        context.clear()
        context.spent.clear()
        llama.memory(forget=True)
        held = FullCache(context)
        token = int(held.read(ids).argmax())
        for _ in range(new_tokens - 1):
            token = int(held.read([token]).argmax())
        first, *rest = context.spent
        peak = llama.memory()["most"]
        context.close()
        return {
            "prefill": first.seconds,
            "decode": statistics.median(one.seconds for one in rest),
            "cpu": sum(one.cpu for one in context.spent),
            "peak": peak,
        }

    return ask


def price_of_moving(
    llama: LlamaCpp, ids: Sequence[int], budget: int, cache: CacheType, tokens: int = 32
) -> dict[str, list[float]]:
    """Seconds of a decoded token on a cache of ``budget`` entries, by what happens after it.

    Returns
    -------
    dict
        ``nothing`` (no entry leaves, because the cache of FullKV has room left), ``shift`` and
        ``reread`` (one entry leaves at every token, and the seconds include what closes the gap).
    """
    found = {}
    full, window = create_method("fullkv"), create_method("streamingllm", budget=budget)
    ways: dict[str, tuple[Method, How]] = {
        "nothing": (full, "shift"),
        "shift": (window, "shift"),
        "reread": (window, "reread"),
    }
    for name, (one, how) in ways.items():
        held = open_cache(llama, one, how=how, longest=budget + tokens, step=1, cache=cache)
        held.read(list(ids[:budget]))
        times = []
        for token in ids[budget : budget + tokens]:
            before = len(held.context.spent)
            held.read([token])
            times.append(sum(one.seconds for one in held.context.spent[before:]))
        found[name] = times
        held.context.close()
    return found


def entry_bytes(layers: int, kv_heads: int, head_dim: int, cache: CacheType) -> float:
    """Bytes of one token's keys and values in all layers, on paper."""
    return 2 * layers * kv_heads * head_dim * BYTES[cache]


def seconds_a_token(weights: float, cache: float, bandwidth: float) -> float:
    """A decoded token on paper, where nothing counts but the memory: weights and cache, in bytes, are read
    once, at ``bandwidth`` bytes a second."""
    return (weights + cache) / bandwidth
