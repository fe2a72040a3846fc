"""Who votes for an answer in the prompt, and whether that is enough for it to stay."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kvbook.engine.attach import attach
from kvbook.engine.attention import attention_rows
from kvbook.engine.seen import Seen
from kvbook.errors import ParameterError
from kvbook.lm.models import check_loaded
from kvbook.methods import SnapKV
from kvbook.methods.base import as_method, resolve_budget, resolve_window, top_indices
from kvbook.tasks.trial import Example


@dataclass(frozen=True)
class Copy:
    """How a model copies an answer from its prompt, where nothing is evicted.

    Attributes
    ----------
    attention : Tensor [layers, kv_heads, queries, prompt]
        Of the last queries of the prompt, as a mean over the query heads of each KV head.
    looks : Tensor [layers, kv_heads]
        The attention that finds the answer's last token: the query is the token before it, where it
        is written the second time.
    kept : BoolTensor [layers, kv_heads]
        Whether a method keeps that token of the prompt.
    """

    attention: Tensor
    looks: Tensor
    kept: Tensor

    @property
    def head(self) -> tuple[int, int]:
        """Layer and KV head that look most at the answer's last token, of those that keep it."""
        layer, head = divmod(int((self.looks * self.kept).argmax()), self.looks.shape[1])
        return layer, head


def read_copy(lm, method: SnapKV, example: Example, queries: int) -> Copy:
    """Read a prompt with its answer behind it, once and keeping everything.

    Parameters
    ----------
    method : SnapKV
        What it would keep of the prompt is noted.
    example : Example
        With an answer.
    queries : int
        The last ones of the prompt, whose attention is noted.

    Raises
    ------
    ParameterError
        The prompt has no answer.
    """
    check_loaded(lm)
    as_method(method)
    if not example.gold:
        raise ParameterError("the prompt has no answer in it: give one of needle.make_needles")
    again = lm.tokenizer(f" {example.answer}", add_special_tokens=False, return_tensors="pt")
    ids = torch.cat((example.inputs.input_ids, again.input_ids.to(lm.model.device)), dim=1)
    noted = _Noted(method, example, queries)
    with attach(noted, lm.model):
        lm.model(ids, logits_to_keep=1)
    return Copy(*map(torch.stack, (noted.attention, noted.looks, noted.kept)))


class _Noted:
    """Keeps everything, and notes what `Copy` has, layer by layer."""

    name = "noted"

    def __init__(self, method: SnapKV, example: Example, queries: int):
        self.method, self.queries = method, queries
        self.length, self.last = example.length, example.gold[-1]
        self.attention: list[Tensor] = []
        self.looks: list[Tensor] = []
        self.kept: list[Tensor] = []

    def keep(self, seen: Seen) -> None:
        """What the prompt alone would have shown is made of what is seen."""
        n, kv_heads = self.length, len(seen.keys)
        rows = attention_rows(
            seen.queries[:, n - self.queries :], seen.keys, seen.scaling
        )  # of the prompt's last tokens, and of the answer's
        rows = rows.view(kv_heads, -1, *rows.shape[1:]).mean(1)
        prompt = replace(
            seen,
            queries=seen.queries[:, :n],
            keys=seen.keys[:, :n],
            positions=seen.positions[:, :n],
            prompt_length=n,
            input_length=n,
            tokens_seen=n,
        )
        held = self.method.keep(prompt)
        everywhere = rows.new_ones(kv_heads, dtype=torch.bool)
        self.attention.append(rows[:, : self.queries, :n])
        self.looks.append(rows[:, -2, self.last])
        self.kept.append(everywhere if held is None else (held == self.last).any(1))


@dataclass(frozen=True)
class Standing:
    """How an answer stands among the votes of one KV head.

    Attributes
    ----------
    ranks : tuple of int
        The rank of each of the answer's tokens among all positions; 1 has the most votes.
    votes, needed : float
        The votes of the answer's last token, and the fewest with which a position stays.
    places : int
        Positions that stay beside the window.
    stays : bool
        Whether all tokens of the answer stay.
    """

    ranks: tuple[int, ...]
    votes: float
    needed: float
    places: int
    stays: bool


def stand(method: SnapKV, seen: Seen, head: int, answer: Sequence[int]) -> Standing:
    """How the positions ``answer`` stand in a KV head of what a layer shows, when ``method`` counts."""
    budget = resolve_budget(method.budget, seen.prompt_length)
    window = resolve_window(method.window, budget)
    votes = method.score(seen, window)[head]
    places = min(budget - window, len(votes))
    own = votes[list(answer)]
    best = top_indices(votes[None], places)
    return Standing(
        tuple((1 + (votes > own[:, None]).sum(1)).tolist()),
        own[-1].item(),
        votes[best].min().item(),
        places,
        bool(torch.isin(torch.tensor(answer, device=best.device), best).all()),
    )
