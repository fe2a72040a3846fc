"""LongBench's tasks of the report: their items, prompts and scores, as lm-eval holds them.

Prompts and metrics are lm-eval's own; the protocol around them is LongBench's (Bai et al.,
2024, and its published evaluation): a prompt that is too long loses its middle, by tokens and
before the chat template; no chat template for few-shot and code tasks; greedy; of a few-shot
answer only the first line counts.
"""

import io
import logging
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kvbook.errors import ParameterError, ResultError
from kvbook.lm.hub import fetching
from kvbook.lm.text import split_ids
from kvbook.lm.turns import first_turn
from kvbook.places import place
from kvbook.tasks.embedded import FOLDER as EMBEDDED
from kvbook.tasks.store import digest
from kvbook.tasks.together import When, check_when
from kvbook.texts import parse_json, read_lines

HUB = "hub"
MARK = "@@context@@"
"""Stands for a context, to find what a template writes behind it."""
REPOSITORY = "THUDM/LongBench"


@dataclass(frozen=True)
class Task:
    """How one task is asked and read.

    Attributes
    ----------
    name, metric : str
        LongBench's name, and its metric as the report calls it.
    new_tokens : int
        The most that an answer may have.
    chat : bool
        Whether the prompt is put into the model's chat template.
    first_line : bool
        Whether only the first line of an answer counts.
    tail : str
        White space at the end of the official prompt, which lm-eval's template has lost.
    prompt : str or None
        A template instead of lm-eval's.
    asks : bool
        Whether something is asked behind the context; else there is only text to go on with.
    """

    name: str
    metric: str
    new_tokens: int
    chat: bool = True
    first_line: bool = False
    tail: str = ""
    prompt: str | None = None
    asks: bool = True


TASKS = {
    task.name: task
    for task in (
        Task("narrativeqa", "F1", 128),
        Task("2wikimqa", "F1", 32),
        Task("gov_report", "Rouge-L", 512),
        Task("trec", "Acc", 64, chat=False, first_line=True),
        Task("passage_count", "Acc", 32, tail=" "),
        Task("lcc", "Edit Sim", 64, chat=False, tail="\n", asks=False),
    )
}
"""The report's six, in its order, by the official protocol."""

EMBEDDED_TASKS = {
    "narrativeqa": replace(TASKS["narrativeqa"], new_tokens=24, first_line=True),
    "2wikimqa": replace(TASKS["2wikimqa"], new_tokens=12, first_line=True),
    "gov_report": replace(TASKS["gov_report"], new_tokens=96),
    "trec": replace(TASKS["trec"], new_tokens=8),
    "passage_count": replace(TASKS["passage_count"], new_tokens=8, first_line=True),
    "lcc": replace(
        TASKS["lcc"],
        new_tokens=40,
        tail="",
        prompt="Please complete the code given below. \n{{context}}",
    ),
}
"""The same for the embedded items: shorter answers, and code without an instruction after it,
because the embedded model follows the code and not the instruction."""


class Row(BaseModel):
    """One item in LongBench's own fields, and the embedded tasks' ``opening``."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(alias="_id", coerce_numbers_to_str=True)
    input: str
    context: str
    answers: list[str] = Field(min_length=1)
    all_classes: list[str] | None = None
    opening: str = ""

    @cached_property
    def digest(self) -> str:
        """Changes when anything does."""
        return digest(self.model_dump())


def task_named(name: str, question: When = "before") -> Task:
    """A task by its name.

    Parameters
    ----------
    question : {"before", "after"}
        When it is to be asked: see `kvbook.tasks.evaluation.evaluate_all`.

    Raises
    ------
    ParameterError
        There is none, or nothing is asked in it; with those that there are.
    """
    if name not in TASKS:
        raise ParameterError(f"unknown task {name!r}; tasks are: {', '.join(TASKS)}")
    check_when(question)
    if question == "after" and not TASKS[name].asks:
        raise ParameterError(
            f"{name} only continues its context and asks nothing, so no question can come after; "
            f"tasks that ask are: {', '.join(one.name for one in TASKS.values() if one.asks)}"
        )
    return TASKS[name]


def tasks_that_ask(question: When = "before") -> tuple[str, ...]:
    """The names of all tasks; of those that ask something, when the question comes after."""
    return tuple(name for name, task in TASKS.items() if question == "before" or task.asks)


class Benchmark:
    """One task with its items: what is asked, and how an answer is scored.

    Parameters
    ----------
    name : str
        A key of `TASKS`.
    data : str, Path or None
        A folder with LongBench's ``<task>.jsonl``, its ``data.zip``, or ``"hub"`` to fetch
        that file from the model hub; None is the embedded items.

    Attributes
    ----------
    task : Task
    rows : list of Row
        All items, in the file's order.
    source : str
        ``"embedded"`` or ``"longbench"``.

    Raises
    ------
    ParameterError
        An unknown task.
    ResultError
        The data cannot be found, or are not in LongBench's format.
    """

    def __init__(self, name: str, data: str | Path | None = None):
        official = task_named(name)
        self.task = EMBEDDED_TASKS[name] if data is None else official
        self.source = "embedded" if data is None else "longbench"
        self.rows = read_rows(name, data)

    @cached_property
    def _lm_eval(self):
        return load_lm_eval(self.task.name, self.rows, self.task.prompt)

    def prompt(self, tokenizer, row: Row, max_length: int) -> str:
        """What the model reads: lm-eval's prompt, without its middle if it is too long, and
        in the chat template if the task has one.

        Parameters
        ----------
        max_length : int
            Most tokens before the chat template.
        """
        text = self._lm_eval.doc_to_text(as_doc(row)) + self.task.tail
        text = cut_middle(tokenizer, text, max_length)
        if not self._bare(tokenizer):
            text = first_turn(tokenizer, text)
        return text + row.opening

    def encode(self, tokenizer, text: str) -> list[int]:
        """A prompt's tokens; a chat template brings its own first token."""
        return tokenizer(text, add_special_tokens=self._bare(tokenizer)).input_ids

    def encode_apart(self, tokenizer, row: Row, max_length: int) -> tuple[list[int], list[int]]:
        """The same tokens in two parts: up to the end of the context, and what is asked after it.

        Raises
        ------
        ParameterError
            The item has no context or asks nothing, or ``max_length`` cuts into what is asked.
        """
        marked = self._lm_eval.doc_to_text(as_doc(row) | {"context": MARK})
        text, asked = self.prompt(tokenizer, row, max_length), marked.rpartition(MARK)[2].strip()
        if not row.context.strip() or not asked:
            raise ParameterError(
                f"item {row.id} of {self.task.name} has no context with something asked behind it, "
                "so no question can come after"
            )
        if asked not in text:
            raise ParameterError(
                f"max_length={max_length}: item {row.id} of {self.task.name} has a question of more "
                "than half of that; give a longer max_length"
            )
        return split_ids(tokenizer, text, text.rindex(asked), special=self._bare(tokenizer))

    def _bare(self, tokenizer) -> bool:
        """Whether a prompt stands outside of a chat template."""
        return not (self.task.chat and tokenizer.chat_template)

    def score(self, row: Row, words: str) -> float:
        """lm-eval's score of an answer, from 0 to 1."""
        return float(self._lm_eval.process_results(as_doc(row), [self.read(words)])["score"])

    def read(self, words: str) -> str:
        """The part of the model's words that counts."""
        return words.lstrip("\n").split("\n")[0] if self.task.first_line else words


def as_doc(row: Row) -> dict:
    """A row in the fields of lm-eval's mirror of the dataset."""
    doc = {"question": row.input} | row.model_dump(exclude={"id", "input", "opening"})
    return doc | {"all_classes": row.all_classes or []}


def load_lm_eval(name: str, rows: Sequence[Row], prompt: str | None = None):
    """lm-eval's own task of this name, over rows of ours instead of the hub's."""
    for talks in ("lm_eval", "datasets"):
        logging.getLogger(talks).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a slower pure-Python edit distance: the official one
        import datasets
        import lm_eval.tasks

        folder = Path(lm_eval.tasks.__file__).parent / "longbench"
        manager = lm_eval.tasks.TaskManager(include_path=str(folder), include_defaults=False)
        ours = {
            "task": f"longbench_{name}",
            "custom_dataset": lambda **_: {
                "test": datasets.Dataset.from_list([*map(as_doc, rows)])
            },
        }
        if prompt is not None:
            ours["doc_to_text"] = prompt
        return manager.load([{"group": "kvbook", "task": [ours]}])["tasks"][f"longbench_{name}"]


def official_length(context: int) -> int:
    """LongBench's limit of a prompt for a model's context: 3500 tokens of 4096, 7500 of 8192,
    31500 of 32768, 127500 of 131072."""
    return max(context // 2, context // 1024 * 1000 - 500)


def cut_middle(tokenizer, text: str, max_length: int) -> str:
    """A text of more than ``max_length`` tokens without its middle: the first half and the last
    half of that length stay, as the official evaluation cuts."""
    ids = tokenizer(text, truncation=False).input_ids
    if len(ids) <= max_length:
        return text
    half = max_length // 2
    return "".join(
        tokenizer.decode(part, skip_special_tokens=True)
        for part in (ids[:half], ids[len(ids) - half :])
    )


def read_rows(name: str, data: str | Path | None = None) -> list[Row]:
    """The items of a task; see `Benchmark`."""
    if data is None:
        data = place("data") / EMBEDDED
    elif str(data) == HUB:
        data = _fetch_from_hub()
    where, rows = f"{data}/{name}.jsonl", []
    for number, line in _open_lines(Path(data), name):
        try:
            rows.append(Row.model_validate(parse_json(line)))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "the line"
            raise ResultError(
                f"{where}, line {number} is not an item of LongBench ({field}: {first['msg']})"
            ) from None
        except ValueError as error:
            raise ResultError(
                f"{where}, line {number} is not an item of LongBench (the line: Invalid JSON: {error})"
            ) from None
    if not rows:
        raise ResultError(f"{where} has no items")
    ids = [row.id for row in rows]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise ResultError(f"{where} has two items with the _id {twice!r}")
    return rows


def _open_lines(data: Path, name: str) -> Iterator[tuple[int, str]]:
    try:
        if data.is_file():
            with zipfile.ZipFile(data) as archive:
                raw = archive.read(f"data/{name}.jsonl")
        else:
            raw = (data / f"{name}.jsonl").read_bytes()
    except FileNotFoundError:
        there = ", ".join(sorted(path.name for path in data.glob("*.jsonl"))) or "no .jsonl files"
        raise ResultError(
            f"no {name}.jsonl in {data} (there: {there}): give the folder of LongBench's unpacked "
            "data.zip, or leave --data out for the embedded items"
        ) from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        OSError,
    ) as error:
        raise ResultError(f"cannot read {name}.jsonl from {data}: {error}") from None
    return read_lines(io.BytesIO(raw), f"{data}/{name}.jsonl", ResultError)


def _fetch_from_hub() -> Path:
    """LongBench's own archive; its loading script is refused by datasets 4 and later."""
    from huggingface_hub import hf_hub_download

    with fetching(
        "LongBench", ResultError, "download its data.zip elsewhere and give its path as --data"
    ):
        return Path(hf_hub_download(REPOSITORY, "data.zip", repo_type="dataset"))
