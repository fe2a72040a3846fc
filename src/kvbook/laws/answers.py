"""What a hook of a method answers, looked at before the engine acts on it."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from kvbook.engine.seen import Recent, Seen
from kvbook.laws.law import Case, CounterExample
from kvbook.methods.base import Method

HOOKS = {"keep": 2, "evict": 2, "pass_on": 1, "choose": 1}
"""The hooks that choose, and the dimensions of their indices."""


class Broke(Exception):
    """Ends a run at a wrong answer.

    Parameters
    ----------
    found : CounterExample
    """

    def __init__(self, found: CounterExample):
        super().__init__(str(found))
        self.found = found


class Watched:
    """A method whose answers are looked at; everything else is the method's.

    Parameters
    ----------
    method : Method
    case : Case
        What it runs on, for a counter-example.

    Raises
    ------
    Broke
        A hook answers with something else than indices, with an index of no entry, or with
        indices that do not ascend; or ``pass_on`` or ``choose`` leaves out the last token.
    """

    def __init__(self, method: Method, case: Case):
        self._method, self._case = method, case

    def __getattr__(self, name: str):
        hook = getattr(self._method, name)
        if name not in HOOKS or hook is None:
            return hook

        def watched(seen: Seen):
            answer = hook(seen)
            for found in wrong(self._case, name, answer, seen):
                raise Broke(found)
            return answer

        return watched


def wrong(case: Case, hook: str, answer, seen: Seen) -> Iterator[CounterExample]:
    """What is wrong with an answer: nothing of a right one."""
    if answer is None and hook != "choose":
        return
    entries = seen.queries.shape[1] if hook == "pass_on" else seen.entries
    if isinstance(answer, Recent) and HOOKS[hook] == 2:
        answer = answer.indices(entries, seen.keys.device)
    tokens = f"{seen.tokens_seen} token{'s' * (seen.tokens_seen != 1)}"
    broken = partial(case.broken, layer=seen.layer, when=f"in `{hook}` after {tokens}")
    if found := wrong_form(hook, answer, len(seen.keys)):
        shape = "[kv_heads or 1, kept]" if HOOKS[hook] == 2 else "[kept]"
        yield broken(f"a LongTensor {shape}", found)
        return
    for row, indices in enumerate(answer.reshape(-1, answer.shape[-1]).tolist()):
        head = row if HOOKS[hook] == 2 else None
        held = seen.positions[min(row, len(seen.positions) - 1)].tolist()
        if outside := [one for one in indices if not 0 <= one < entries]:
            yield broken(f"indices from 0 to {entries - 1}", f"index {outside[0]}", head=head)
        for before, index in pairwise(indices):
            if index <= before:
                found = f"index {index} after index {before}"
                yield broken("indices that ascend", found, head=head, position=held[index])
        if HOOKS[hook] == 1 and indices[-1] != entries - 1:
            yield broken(f"the last token, index {entries - 1}", f"index {indices[-1]} as the last")


def wrong_form(hook: str, answer, kv_heads: int) -> str:
    """What an answer is instead of indices; empty if it is these."""
    if not isinstance(answer, Tensor):
        return f"something of type {type(answer).__name__}"
    heads = answer.dim() == 1 or len(answer) in (1, kv_heads)
    right = answer.dim() == HOOKS[hook] and heads and answer.numel()
    if answer.dtype != torch.long:
        return f"a tensor of {answer.dtype}"
    return "" if right else f"one of shape {list(answer.shape)}"
