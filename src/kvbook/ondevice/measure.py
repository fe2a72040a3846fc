"""How far a cache in llama.cpp is from the package's float32, and what it still finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kvbook.lm.models import check_loaded
from kvbook.lm.turns import behind_answer, first_turn, later_turn
from kvbook.methods import FullKV, Method
from kvbook.methods.base import as_methods
from kvbook.ondevice.bounded import BoundedCache, FullCache, How, open_cache, write
from kvbook.ondevice.process import CacheType, LlamaCpp
from kvbook.ondevice.summaries import SUMMARIZERS
from kvbook.tasks.conversations import Conversation
from kvbook.tasks.fidelity import Probe
from kvbook.tasks.following import follow as follow_in_torch
from kvbook.tasks.needle import NEW_TOKENS, Needle, found

RECALLED = 6
"""Tokens of an answer about a fact."""


@dataclass(frozen=True)
class Kept:
    """One way to keep a cache: a method, what entries are stored in, and how a gap is closed.

    Attributes
    ----------
    method : Method
        FullKV, StreamingLLM or SummaryKV, with a budget in entries.
    cache : {"f32", "f16", "q8_0", "q4_0"}
        What keys and values are stored in.
    how, step
        As in `kvbook.ondevice.bounded.open_cache`.
    summarizer : {"model", "lexical"}
        Who summarises, for SummaryKV.
    flash : {"auto", "on", "off"}
        Flash attention.
    """

    method: Method
    cache: CacheType = "f16"
    how: How = "shift"
    step: int | None = None
    summarizer: str = "lexical"
    flash: str = "auto"

    def open(self, llama: LlamaCpp, tokenizer, longest: int) -> FullCache:
        """An empty cache for inputs of at most so many tokens, or of all that is read for FullKV."""
        return open_cache(
            llama,
            self.method,
            how=self.how,
            longest=longest,
            summarize=SUMMARIZERS[self.summarizer](llama, tokenizer, cache=self.cache),
            step=self.step,
            cache=self.cache,
            flash=self.flash,
        )


def follow(cache: FullCache, prompt: Sequence[int], text: Sequence[int]) -> np.ndarray:
    """Log-probabilities before each token of a text that comes after a prompt, ``[text, vocabulary]``.

    A bounded cache reads the text token by token, as it would write it.
    """
    rows = [cache.read(list(prompt))[None]]
    if isinstance(cache, BoundedCache):
        rows += [cache.read([token])[None] for token in text[:-1]]
    elif len(text) > 1:
        rows.append(cache.read(list(text[:-1]), logits="all"))
    return log_softmax(np.concatenate(rows))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the softmax over the last axis, in float64."""
    logits = logits.astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def divergence(reference: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence from the reference's distribution to ours at every token, in nats.

    Both are normalised anew in float64: what float32 leaves of a sum of all probabilities is more than
    what is measured here.
    """
    reference, ours = log_softmax(reference), log_softmax(ours)
    return np.maximum(0, (np.exp(reference) * (reference - ours)).sum(-1))


def compare(
    llama: LlamaCpp, lm, methods: Mapping[str, Method], ids: Sequence[int], prompt: int
) -> dict[str, dict[str, float]]:
    """Methods in llama.cpp beside the same in the package, both in float32, along the same tokens.

    Parameters
    ----------
    llama : LlamaCpp
        With the model's weights in f32.
    lm : LoadedModel
        In float32.
    methods : mapping of str to Method
        By name; a SummaryKV brings a callable.
    ids : sequence of int
        The first ``prompt`` are read, the others are forced.

    Returns
    -------
    dict
        By name, over the forced tokens: the largest ``kl`` (nats) and the share at which both would say
        the ``same`` token.
    """
    check_loaded(lm)
    methods, found = as_methods(methods), {}
    for name, method in methods.items():
        cache = open_cache(llama, method, longest=len(ids), cache="f32", flash="off")
        ours = follow(cache, ids[:prompt], ids[prompt:])
        cache.context.close()
        [one] = follow_in_torch(lm, [method], ids[:prompt], [ids[prompt:]])
        theirs = one.logs[0].double().cpu().numpy()
        found[name] = {
            "kl": float(divergence(theirs, ours).max()),
            "same": float((theirs.argmax(-1) == ours.argmax(-1)).mean()),
        }
    return found


def measure_fidelity(
    llama: LlamaCpp, tokenizer, kept: Kept, probes: Sequence[Probe]
) -> list[dict[str, float]]:
    """For each probe its ``kl`` to the package's full KV (mean over the continuation) and the
    ``agreement`` (share of its tokens that both would say), and the ``bytes`` of the cache."""
    records = []
    for probe in probes:
        prompt = probe.prompt + probe.question
        cache = kept.open(llama, tokenizer, len(prompt) + len(probe.continuation))
        ours = follow(cache, prompt, probe.continuation)
        reference = probe.reference.double().cpu().numpy()
        same = reference.argmax(-1) == ours.argmax(-1)
        records.append(
            {
                "kl": float(divergence(reference, ours).mean()),
                "agreement": float(same.mean()),
                "bytes": cache.context.state_bytes(),
            }
        )
        cache.context.close()
    return records


def find_needles(
    llama: LlamaCpp, tokenizer, kept: Kept, needles: Sequence[Needle]
) -> tuple[list[bool], int]:
    """Which needles are found, and the bytes of the last one's cache."""
    hits, size = [], 0
    for needle in needles:
        ids = llama.tokenize(needle.prompt)
        cache = kept.open(llama, tokenizer, len(ids) + NEW_TOKENS)
        words = llama.text(list(write(cache, ids, NEW_TOKENS)))
        hits.append(found(needle, words))
        size = cache.context.state_bytes()
        cache.context.close()
    return hits, size


def recall(
    llama: LlamaCpp, tokenizer, kept: Kept, conversations: Sequence[Conversation]
) -> tuple[list[dict], int]:
    """Read conversations turn by turn, then ask for each of their facts from the same state.

    Returns
    -------
    facts : list of dict
        Whether each was ``found``, and the tokens since it was told, ``ago``.
    bytes : int
        Of the last conversation's cache.
    """
    facts, size = [], 0
    for one in conversations:
        turns = [
            llama.tokenize(
                (later_turn if i else first_turn)(tokenizer, user)
                + answer
                + behind_answer(tokenizer)
            )
            for i, (user, answer) in enumerate(one.turns)
        ]
        asked = [
            llama.tokenize(later_turn(tokenizer, fact.question) + fact.opening)
            for fact in one.facts
        ]
        whole = sum(map(len, turns)) + max(map(len, asked), default=0) + RECALLED
        longest = whole if isinstance(kept.method, FullKV) else max(map(len, turns + asked))
        cache, ends = kept.open(llama, tokenizer, longest), []
        for turn in turns:
            cache.read(turn, logits="none")
            ends.append(len(cache.ids))
        size, mark = cache.context.state_bytes(), cache.mark()
        for fact, question in zip(one.facts, asked, strict=True):
            words = llama.text(list(write(cache, question, RECALLED)))
            hit = words.strip().startswith(fact.answer)
            facts.append({"found": hit, "ago": ends[-1] - ends[fact.turn]})
            cache.restore(mark)
        cache.context.close()
    return facts, size


def measure(
    llama: LlamaCpp,
    tokenizer,
    ways: Mapping[str, Kept],
    *,
    probes: Sequence[Probe],
    needles: Sequence[Needle],
    conversations: Sequence[Conversation],
) -> dict[str, dict]:
    """`measure_fidelity`, `find_needles` and `recall` for several ways to keep a cache; by label,
    ready for a results file."""
    found = {}
    for label, kept in ways.items():
        hits, needle_bytes = find_needles(llama, tokenizer, kept, needles)
        facts, recall_bytes = recall(llama, tokenizer, kept, conversations)
        found[label] = {
            "method": kept.method.name,
            "cache": kept.cache,
            "how": kept.how,
            "fidelity": measure_fidelity(llama, tokenizer, kept, probes),
            "needles": hits,
            "needle_bytes": needle_bytes,
            "facts": facts,
            "recall_bytes": recall_bytes,
        }
    return found


def measure_drift(
    llama: LlamaCpp, tokenizer, ways: Mapping[str, Kept], ids: Sequence[int], prompt: int
) -> dict[str, dict]:
    """How a bounded cache moves away from the same one in float32, while it goes on.

    Parameters
    ----------
    ways : mapping of str to Kept
        By label; all with the same method, since the float32 cache takes that of the first.
    ids : sequence of int
        Token ids: the first ``prompt`` are read at once, the others one by one.

    Returns
    -------
    dict
        By label, ready for a results file: ``cache``, ``how``, and ``kl``, nats at every token.
    """
    found = {}
    first = next(iter(ways.values()))
    exact = Kept(first.method, "f32", flash="off", summarizer=first.summarizer)
    logs = {}
    for label, kept in {None: exact, **ways}.items():
        cache = kept.open(llama, tokenizer, prompt)
        logs[label] = follow(cache, ids[:prompt], ids[prompt:])
        cache.context.close()
    for label, kept in ways.items():
        kl = divergence(logs[None], logs[label])
        found[label] = {"cache": kept.cache, "how": kept.how, "kl": kl.tolist()}
    return found
