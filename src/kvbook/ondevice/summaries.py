"""How evicted tokens become a summary where nothing tells which of them received attention.

An object of each class here is a callable ``(ids, most) -> ids``; `kvbook.methods.SummaryKV` takes
it as its ``summarizer``, too.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from kvbook.lm.turns import first_turn
from kvbook.methods.summarizers import REQUEST, keep_best, split
from kvbook.ondevice.bounded import FullCache, write
from kvbook.ondevice.process import Context, LlamaCpp

WORD = re.compile(r"\w+")


class ByModel:
    """The model itself writes notes, in a second context on the same weights.

    Asked as `kvbook.methods.summarizers.summarize_by_model` asks.

    Parameters
    ----------
    llama : LlamaCpp
        Within its ``with`` block.
    tokenizer
        With the model's chat template.
    **settings
        Of `LlamaCpp.open`, for the second context, which holds one request at a time: ``cache``,
        ``flash``.

    Attributes
    ----------
    seconds : list of float
        What each summary took.
    """

    def __init__(self, llama: LlamaCpp, tokenizer, **settings):
        self.llama, self.tokenizer, self.settings = llama, tokenizer, settings
        self.seconds: list[float] = []
        self._context: Context | None = None

    def __call__(self, ids: Sequence[int], most: int) -> list[int]:
        """Notes on what the tokens say, at most ``most`` tokens."""
        llama = self.llama
        text = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        prompt = llama.tokenize(first_turn(self.tokenizer, REQUEST.format(text)))
        context = self._open(len(prompt) + most)
        before = len(context.spent)
        notes = list(write(FullCache(context), prompt, most))
        self.seconds.append(sum(one.seconds for one in context.spent[before:]))
        ends = set(llama.facts["ends"])
        return [token for token in notes if token not in ends]

    def _open(self, entries: int) -> Context:
        """A context with so much room, empty: the last one, if it is large enough."""
        if self._context and self._context.entries < entries:
            self._context.close()
            self._context = None
        if self._context is None:
            self._context = self.llama.open(entries, **self.settings)
        self._context.clear()
        return self._context


class Lexical:
    """The sentences with most numbers, names and rare words, in their order: no model is asked.

    A word counts by how seldom it is among the tokens that are summarised, a number or a name in
    the middle of a sentence `WEIGHT` times; a sentence counts by the mean of its words.

    Parameters
    ----------
    tokenizer
        That reads the tokens.
    """

    WEIGHT = 3

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, ids: Sequence[int], most: int) -> list[int]:
        """Whole sentences, at most ``most`` tokens; the beginning of the best one if none fits."""
        spans = split(ids, self.tokenizer)
        if not spans:
            return []
        texts = [self.tokenizer.decode(list(ids[a:b])) for a, b in spans]
        seen = Counter(word.lower() for text in texts for word in WORD.findall(text))
        return keep_best(ids, spans, [self.worth(text, seen) for text in texts], most)

    def worth(self, sentence: str, seen: Counter) -> float:
        """The mean worth of a sentence's words."""
        words = WORD.findall(sentence)
        if not words:
            return 0.0
        values = [
            (self.WEIGHT if word[0].isdigit() or (i and word[0].isupper()) else 1)
            / seen[word.lower()]
            for i, word in enumerate(words)
        ]
        return sum(values) / len(values)


SUMMARIZERS: dict[str, Callable] = {
    "model": ByModel,
    "lexical": lambda llama, tokenizer, **settings: Lexical(tokenizer),
}
"""By name: what makes one, of a `LlamaCpp`, a tokenizer and settings of a context."""
