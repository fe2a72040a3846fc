"""Whether a device computes what the CPU computes: the same tokens kept, and the same written."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from tqdm import tqdm

from kvbook.errors import ExecutionError
from kvbook.lm.generation import generate_ids
from kvbook.lm.models import LoadedModel, check_loaded
from kvbook.methods.base import Method, as_methods
from kvbook.profiling.timing import read_text

PROMPT, NEW_TOKENS = 160, 6
"""Tokens that are read and written: few, for a CPU reads them in float32."""
ENOUGH = 0.99
"""The least share of kept entries that must be the same. Two devices add up in another order, so
that two scores which are all but equal may change places; a fault moves many more. (On the CPU,
Qwen3-0.6B's architecture with random weights keeps the same in float32 and in float64.)"""


@dataclass(frozen=True)
class Agreement:
    """One method, on a device and on the CPU.

    Attributes
    ----------
    kept : float
        The share of the entries kept on the CPU that are kept on the device too, over all layers
        and heads.
    tokens : bool
        Whether both wrote the same.
    """

    kept: float
    tokens: bool

    @property
    def holds(self) -> bool:
        """Whether the two compute the same."""
        return self.tokens and self.kept >= ENOUGH


def compare_with_cpu(
    lm: LoadedModel, methods: Mapping[str, Method], device: torch.device, progress: bool = True
) -> dict[str, Agreement]:
    """Let every method read and write a little on the CPU, and the same on a device.

    Parameters
    ----------
    lm : LoadedModel
        On the CPU, best in float32; its model is on the device afterwards.
    methods : mapping of str to Method
        By the names that their agreements get.
    device : torch.device
        The device to compare. With the CPU itself, everything must agree.
    progress : bool
        Show a line with what is being read.
    """
    check_loaded(lm)
    methods = as_methods(methods)
    found: list[dict[str, tuple[list[Tensor], list[int]]]] = []
    with full_precision(), tqdm(total=2 * len(methods), disable=not progress, unit="run") as line:
        for where in (torch.device("cpu"), device):
            moved = replace(lm, model=lm.model.to(where))
            found.append({})
            for name, method in methods.items():
                line.set_description(f"as on the CPU? {where.type}: {name}"[:60])
                found[-1][name] = _keep_and_write(moved, method)
                line.update()
    here, there = found
    return {
        name: Agreement(share_kept(kept, there[name][0]), tokens == there[name][1])
        for name, (kept, tokens) in here.items()
    }


@contextmanager
def full_precision() -> Iterator[None]:
    """Within it, float32 is float32: no products in TF32, which some installations prefer."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def share_kept(first: list[Tensor], second: list[Tensor]) -> float:
    """The share of the positions ``[1, kv_heads, kept]`` a layer that a second list has, too."""
    same = total = 0
    for one, other in zip(first, second, strict=True):
        for mine, theirs in zip(one.flatten(0, 1), other.flatten(0, 1), strict=True):
            same += len({*mine.tolist()} & {*theirs.tolist()})
            total += max(len(mine), len(theirs))
    return same / total if total else 1.0


def check_agreement(found: Mapping[str, Agreement], device: str) -> None:
    """Refuse to go on where a device computes something else.

    Raises
    ------
    ExecutionError
        With the methods that differ, and in what.
    """
    wrong = [
        f"{name} ({one.kept:.1%} of its kept entries are the same, its tokens "
        f"{'are' if one.tokens else 'differ'})"
        for name, one in found.items()
        if not one.holds
    ]
    if wrong:
        raise ExecutionError(
            f"{device} computes something else than the CPU, in float32 and on a short prompt: "
            f"{'; '.join(wrong)}. Nothing was measured, because its times would mean nothing; leave "
            "these out of --methods to measure the others"
        )


def _keep_and_write(lm: LoadedModel, method: Method) -> tuple[list[Tensor], list[int]]:
    prompt = read_text(lm, PROMPT)[0].tolist()
    with method.attach(lm.model) as run:
        out = generate_ids(lm.model, [prompt], NEW_TOKENS, min_new_tokens=NEW_TOKENS)
        return [one.cpu() for one in run.kept_positions], out.flatten().tolist()
