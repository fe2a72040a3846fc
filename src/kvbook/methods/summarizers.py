"""How SummaryKV compresses evicted tokens: by asking the model, or by attention."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

import torch
from torch import nn
from transformers import AutoTokenizer

from kvbook.engine.attention import received
from kvbook.engine.run import input_device
from kvbook.engine.seen import Seen
from kvbook.lm.generation import ends_of, generate_ids
from kvbook.lm.turns import first_turn, later_turn

REQUEST = (
    "Write down the facts of this conversation as short notes. Keep all names, numbers and dates. "
    "Do not add anything.\n\n{}"
)
SPAN = 16
"""Tokens of a span where there is no tokenizer that knows where a sentence ends."""

QUESTION = "List all names, numbers and dates of this conversation."
ANSWER = "Here are the names, numbers and dates:"
SHORTEST = 4
"""Tokens of the shortest sentence that is worth keeping; "user" and "Yes." are not."""
ENDS = (".", "!", "?", "\n", "。", "！", "？")


def find_tokenizer(model: nn.Module):
    """The tokenizer in the folder that the model was loaded from; None when there is none."""
    path = getattr(model, "name_or_path", "")
    return _tokenizer_in(path, _last_change(path)) if path else None


def _last_change(folder: str) -> int:
    """When a file of a folder was written last, in nanoseconds; 0 if there is no such folder."""
    return max((file.stat().st_mtime_ns for file in Path(folder).glob("*")), default=0)


@lru_cache(maxsize=4)
def _tokenizer_in(path: str, changed: int):
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError):
        return None


def summarize_by_model(
    model: nn.Module, tokenizer, sources: Sequence[list[int]], most: Sequence[int]
) -> list[list[int]]:
    """Ask the model for notes on what each of ``sources`` says, greedily, all of them at once.

    Without a tokenizer the model cannot be asked in words; it then continues the sources.

    Parameters
    ----------
    sources : sequence of list of int
        The token ids of each text.
    most : sequence of int
        Most tokens of the notes, by source.

    Returns
    -------
    list of list of int
        The token ids of the notes, by source; without the token that ends an answer.
    """
    prompts = sources
    if tokenizer is not None:
        prompts = [_request(tokenizer, ids) for ids in sources]
    ends = ends_of(model)
    notes = generate_ids(model, prompts, max(most)).tolist()
    return [
        list(takewhile(lambda token: token not in ends, new[:room]))
        for new, room in zip(notes, most, strict=True)
    ]


def _request(tokenizer, ids: list[int]) -> list[int]:
    """The tokens that ask for notes on what ``ids`` say."""
    request = REQUEST.format(tokenizer.decode(ids, skip_special_tokens=True).strip())
    if tokenizer.chat_template:
        request = first_turn(tokenizer, request)
    return tokenizer(request, add_special_tokens=False).input_ids


# ---- by attention ----------------------------------------------------------------------------


class Listener:
    """A method that drops nothing, and adds up the attention that every entry receives from the
    last query, or from every query. Only the deeper half of the layers counts: there, attention is
    on what the model will say next."""

    name = "listener"

    def __init__(self, every_query: bool = False):
        self.every_query = every_query
        self.attention = torch.zeros(())

    def keep(self, seen: Seen) -> None:
        """Add this layer's attention, summed over its heads."""
        if seen.layer >= seen.layers // 2:
            queries = seen.queries if self.every_query else seen.queries[:, -1:]
            self.attention = (
                self.attention + received(queries, seen.keys, seen.scaling).sum(0).cpu()
            )


def extract(model: nn.Module, tokenizer, ids: list[int], most: int, listen: Callable) -> list[int]:
    """The spans that receive most attention when the model is asked for the facts in them.

    The question `QUESTION` is read after ``ids``; with a chat template, the beginning `ANSWER` of
    its answer follows. The attention of the last token then shows what the model would write.
    Without a tokenizer the model cannot be asked in words; the attention is then that of all
    queries among ``ids`` themselves.

    Parameters
    ----------
    ids : list of int
        What may be kept.
    most : int
        Most tokens to keep.
    listen : callable
        ``listen(listener)`` is a context in which the model runs with that method.

    Returns
    -------
    list of int
        Whole spans in their order, the ones with the highest mean first until ``most``.
    """
    question = []
    if tokenizer is not None:
        words = QUESTION
        if tokenizer.chat_template:
            words = later_turn(tokenizer, QUESTION) + ANSWER
        question = tokenizer(words, add_special_tokens=False).input_ids
    listener = Listener(every_query=not question)
    with listen(listener):
        inputs = torch.tensor([ids + question], device=input_device(model))
        model.base_model(input_ids=inputs)
    spans = split(ids, tokenizer)
    if not spans:
        return []
    means = [float(listener.attention[a:b].mean()) for a, b in spans]
    return keep_best(ids, spans, means, most)


def keep_best(
    ids: Sequence[int], spans: Sequence[tuple[int, int]], worth: Sequence[float], most: int
) -> list[int]:
    """Whole spans of ``ids`` in their order, the most valuable first, until ``most`` tokens; the
    beginning of the best span if none fits."""
    ranked = [span for _, span in sorted(zip(worth, spans, strict=True), reverse=True)]
    chosen, room = [], most
    for start, stop in ranked:
        if stop - start <= room:
            chosen.append((start, stop))
            room -= stop - start
    if not chosen:
        chosen = [(ranked[0][0], ranked[0][0] + most)]
    return [token for start, stop in sorted(chosen) for token in ids[start:stop]]


def split(ids: Sequence[int], tokenizer) -> list[tuple[int, int]]:
    """Spans ``(start, stop)`` of ``ids``: sentences, without special tokens and without what
    is shorter than `SHORTEST`; `SPAN` tokens each when there is no tokenizer."""
    if tokenizer is None:
        return [(i, min(i + SPAN, len(ids))) for i in range(0, len(ids), SPAN)]
    special, spans, start = set(tokenizer.all_special_ids), [], 0
    for i, token in enumerate(ids):
        text = tokenizer.decode([token])
        if token in special:
            spans.append((start, i))
            start = i + 1
        elif text.rstrip(" \"')").endswith(ENDS):
            spans.append((start, i + 1))
            start = i + 1
    spans.append((start, len(ids)))
    return [(a, b) for a, b in spans if b - a >= SHORTEST]
