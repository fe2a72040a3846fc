"""Methods on one task: answers, scores with their interval, bytes kept, seconds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from math import isnan, nan
from pathlib import Path
from statistics import fmean
from typing import Any

from kvbook.errors import ParameterError
from kvbook.lm.models import check_loaded
from kvbook.methods import Method
from kvbook.methods.base import as_method, as_methods
from kvbook.results import results_dir
from kvbook.stats import mean_and_interval
from kvbook.tasks.header import describe, describe_method
from kvbook.tasks.longbench import Benchmark, Row, official_length, task_named
from kvbook.tasks.store import Store, complete_together
from kvbook.tasks.together import Label, When, answer_together

SCORED_BY = ("lm_eval", "rouge", "jieba", "fuzzywuzzy")
"""Packages that make the prompts and the scores."""
BATCH = 8
"""Prompts a batch: decoding reads the weights once for all of them; more pad too much."""


@dataclass(frozen=True)
class ItemResult:
    """What became of one item.

    Attributes
    ----------
    id : str
        LongBench's ``_id``.
    prediction : str
        The model's words, whole.
    score : float or None
        From 0 to 1; None when it ran out of memory.
    tokens : int
        Length of the prompt, as the model read it.
    kept_bytes : int
        Keys and values that the prefill left of this item.
    """

    id: str
    prediction: str
    score: float | None
    tokens: int
    kept_bytes: int


@dataclass(frozen=True)
class TaskResult:
    """One method on one task.

    Attributes
    ----------
    task, metric, source : str
        LongBench's name, its metric, and ``"embedded"`` or ``"longbench"``.
    model : str
        As it was loaded.
    method : Method
        With its parameters.
    items : tuple of ItemResult
        In the order of the data.
    score, low, high : float
        Mean of the items' scores times 100, as LongBench counts, and its 95 % bootstrap
        interval; NaN when every item ran out of memory.
    kept_bytes : float
        Bytes of keys and values that the prefill left, mean over the items with a score.
    seconds : float
        Time that measuring all items took, in this call or an earlier one; NaN when the file of
        times is lost.
    out_of_memory : int
        Items without a score; they do not enter the mean.
    question : {"before", "after"}
        As in `evaluate_all`.
    path : Path
        The file with all of it.
    """

    task: str
    metric: str
    source: str
    model: str
    method: Method
    items: tuple[ItemResult, ...]
    score: float
    low: float
    high: float
    kept_bytes: float
    seconds: float
    out_of_memory: int
    question: When
    path: Path

    @property
    def cell(self) -> dict:
        """All but the items, in JSON's types: a cell of a table; None is not measured."""
        measured = bool(self.scores)
        return {
            "method": self.method.name,
            "label": describe_method(self.method),
            "task": self.task,
            "metric": self.metric,
            "source": self.source,
            "question": self.question,
            "model": self.model,
            "items": len(self.items),
            "out_of_memory": self.out_of_memory,
            "score": self.score if measured else None,
            "interval": [self.low, self.high] if measured else None,
            "kept_bytes": self.kept_bytes,
            "seconds": None if isnan(self.seconds) else self.seconds,
        }

    @property
    def scores(self) -> dict[str, float]:
        """Scores from 0 to 1 by item, without those that ran out of memory."""
        return {item.id: item.score for item in self.items if item.score is not None}

    def __str__(self) -> str:
        """As in a table: the score and its interval, or OOM."""
        return say(self.cell)


def evaluate(lm, method, task: str, **options) -> TaskResult:
    """Ask a task's items with a method attached, and score the answers.

    Parameters
    ----------
    lm, task, **options
        As in `evaluate_all`.
    method : Method
        From `kvbook.create_method`, or of a class of yours. One that was typed in a notebook is
        measured anew by every call: no file tells whether it has changed. In a module of yours
        it is measured anew when anything in that file changes.
    """
    check_loaded(lm)
    [result] = evaluate_all(lm, {"asked": as_method(method)}, task, **options).values()
    return result


def evaluate_all(
    lm,
    methods: Mapping[Label, Any],
    task: str,
    *,
    question: When = "before",
    data: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    max_length: int | None = None,
    batch: int | None = None,
    folder: Path | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[Label, TaskResult]:
    """Ask several methods a task's items, and score the answers.

    Each prompt is read once for all methods that have not answered it
    (`kvbook.tasks.together.answer_together`). Every item is written down as soon as it is measured:
    the same call after an interruption goes on from there, and a second one only reads.

    Parameters
    ----------
    lm : LoadedModel
        From `kvbook.load_model`.
    methods : mapping of a label to Method
        As in `evaluate`, by the names that their results get.
    task : str
        ``"narrativeqa"``, ``"2wikimqa"``, ``"gov_report"``, ``"trec"``, ``"passage_count"`` or
        ``"lcc"``.
    question : {"before", "after"}
        ``"before"``: the prompt holds the question, so a method knows it when it compresses.
        ``"after"``: the context is read and compressed alone, and what stands behind it in the
        prompt, the question, is the next input; both together are the same tokens. Items of a batch
        with the same context share one compressed cache.
    data : str or Path, optional
        A folder with LongBench's own ``<task>.jsonl``, its ``data.zip``, or ``"hub"``; left
        out, the embedded items are asked.
    limit : int, optional
        Only the first so many items.
    seed : int
        Of the bootstrap; decoding is greedy.
    max_length : int, optional
        Most tokens of a prompt before the chat template; `official_length` of the model's
        context when left out.
    batch : int, optional
        Prompts answered together. Left out: `BATCH` of the embedded items, or ``limit`` if that
        is less; LongBench's own one by one, since they are long.
    folder : Path, optional
        Where the files are; ``<results>/evaluations`` when left out.
    advance : callable
        Called with the number of answers so far, of all methods together.

    Returns
    -------
    dict of TaskResult
        By label. Methods that were asked together share the seconds evenly.

    Raises
    ------
    ParameterError, ResultError
        Before the model runs: an unknown task, one that asks nothing with ``question="after"``,
        missing or damaged data, a ``limit``, ``batch`` or ``max_length`` below 1, or something else
        than a loaded model and methods.
    """
    check_loaded(lm)
    methods = as_methods(methods)
    for name, value in (("limit", limit), ("batch", batch), ("max_length", max_length)):
        if value is not None and value < 1:
            raise ParameterError(f"{name}={value}: give at least 1")
    task_named(task, question)
    benchmark = Benchmark(task, data)
    max_length = max_length or official_length(lm.model.config.max_position_embeddings)
    if batch is None:
        batch = min(BATCH, limit or BATCH) if data is None else 1
    where = Path(folder or results_dir() / "evaluations") / Path(lm.name).name / task
    protocol = asdict(benchmark.task) | {"max_length": max_length, "batch": batch}
    more = {"task": task, "protocol": protocol | {"question": question}}
    more["scored by"] = {name: version(name) for name in SCORED_BY}
    asked = list(methods.values())
    told = "" if question == "before" else f" question={question}"
    stores = [Store(where, describe_method(one) + told, describe(lm, one) | more) for one in asked]

    rows = benchmark.rows[: limit and -(-limit // batch) * batch]  # whole batches, always the same
    apart = split_items(lm, benchmark, rows, max_length) if question == "after" else None

    def measure(part: Sequence[Row], which: list[int]) -> list[list[dict]]:
        return _measure(lm, [asked[i] for i in which], benchmark, max_length, part, apart)

    measured = complete_together(stores, rows, measure, batch=batch, advance=advance)
    results = {}
    for (label, method), store, records in zip(methods.items(), stores, measured, strict=True):
        times = store.seconds()
        seconds = sum(times.get(one["id"], nan) for one in records[:limit])
        results[label] = summarise(
            benchmark, lm, method, records[:limit], seconds, store.path, seed, question
        )
    return results


def split_items(
    lm, benchmark: Benchmark, rows: Sequence[Row], max_length: int | None = None
) -> dict[str, tuple[list[int], list[int]]]:
    """By item, its context's tokens and its question's: `Benchmark.encode_apart`, which refuses
    what cannot be asked."""
    check_loaded(lm)
    length = max_length or official_length(lm.model.config.max_position_embeddings)
    return {row.id: benchmark.encode_apart(lm.tokenizer, row, length) for row in rows}


def _measure(
    lm,
    methods: Sequence,
    benchmark: Benchmark,
    max_length: int,
    part: Sequence[Row],
    apart: dict[str, tuple[list[int], list[int]]] | None,
) -> list[list[dict]]:
    """The records of some items, by method and item; ``apart``: the questions come after."""
    task, questions = benchmark.task, None
    if apart is not None:
        prompts, questions = map(list, zip(*(apart[row.id] for row in part), strict=True))
        lengths = [len(one) + len(other) for one, other in zip(prompts, questions, strict=True)]
    else:
        texts = [benchmark.prompt(lm.tokenizer, row, max_length) for row in part]
        prompts = [benchmark.encode(lm.tokenizer, text) for text in texts]
        lengths = [*map(len, prompts)]
    rows = len(part) * len(methods)
    answers = answer_together(
        lm,
        methods,
        prompts,
        task.new_tokens,
        questions=questions,
        first_line=task.first_line,
        rows=rows,
    )
    return [
        [
            {
                "prediction": answer.words,
                "score": benchmark.score(row, answer.words),
                "tokens": tokens,
                "kept_bytes": answer.kept_bytes,
            }
            for row, answer, tokens in zip(part, said, lengths, strict=True)
        ]
        for said in answers
    ]


def summarise(
    benchmark: Benchmark,
    lm,
    method,
    records: list[dict],
    seconds: float,
    path: Path,
    seed: int,
    question: When = "before",
) -> TaskResult:
    """The records of a file as a result."""
    items = tuple(
        ItemResult(
            one["id"],
            one.get("prediction", ""),
            one.get("score"),
            one.get("tokens", 0),
            one.get("kept_bytes", 0),
        )
        for one in records
    )
    scored = [item for item in items if item.score is not None]
    values = [item.score for item in scored]
    score, low, high = mean_and_interval(values, seed) if values else (nan, nan, nan)
    return TaskResult(
        task=benchmark.task.name,
        metric=benchmark.task.metric,
        source=benchmark.source,
        model=lm.name,
        method=method,
        items=items,
        score=100 * score,
        low=100 * low,
        high=100 * high,
        kept_bytes=fmean(item.kept_bytes for item in scored) if scored else 0.0,
        seconds=seconds,
        out_of_memory=len(items) - len(scored),
        question=question,
        path=path,
    )


def say(cell: dict) -> str:
    """The score of a `TaskResult.cell` and its interval, or OOM."""
    if cell["score"] is None:
        return "OOM"
    lost = f", {cell['out_of_memory']} OOM" if cell["out_of_memory"] else ""
    low, high = cell["interval"]
    return f"{cell['score']:.1f} ({low:.0f}–{high:.0f}{lost})"
