"""How long LongBench's tasks are for a model: a paper counts words, a model reads tokens."""

from collections.abc import Mapping

from kvbook.tasks.longbench import Benchmark


def estimate_tokens(tokenizer, words: Mapping[str, int], items: int = 10) -> dict[str, float]:
    """Tokens of tasks whose words are known, by the tokens a word on their embedded items.

    Parameters
    ----------
    tokenizer
        The model's.
    words : mapping of str to int
        Mean words of a task's items.
    items : int
        So many embedded items of a task are counted.
    """

    def tokens_per_word(task: str) -> float:
        contexts = [row.context for row in Benchmark(task).rows[:items]]
        tokens = sum(len(ids) for ids in tokenizer(contexts).input_ids)
        return tokens / sum(len(context.split()) for context in contexts)

    return {task: count * tokens_per_word(task) for task, count in words.items()}
