"""Words of a paper as tokens of a model."""

from types import SimpleNamespace

from kvbook.tasks.lengths import estimate_tokens
from kvbook.tasks.longbench import Benchmark


def test_tokens_are_words_times_the_tokens_a_word_of_the_embedded_items():
    def letters(texts):
        return SimpleNamespace(input_ids=[list(text) for text in texts])

    contexts = [row.context for row in Benchmark("trec").rows[:3]]
    ratio = sum(map(len, contexts)) / sum(len(context.split()) for context in contexts)
    assert estimate_tokens(letters, {"trec": 500}, items=3) == {"trec": 500 * ratio}
