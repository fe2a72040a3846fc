"""Rows to train on and rows to test with: the embedded ones, a folder's, or MedChatZH from the hub."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kvbook.errors import ParameterError, ResultError
from kvbook.finetune.data.dialogue import Dialogue
from kvbook.finetune.data.duplicates import remove_duplicates
from kvbook.finetune.data.rows import Read, read_dialogues
from kvbook.lm.hub import fetching
from kvbook.places import place
from kvbook.texts import parse_json, read_lines

HUB = "hub"
REPOSITORY = "tyang816/MedChatZH"
FILES = {"train": "MedChatZH_train.json", "test": "MedChatZH_valid.json"}
"""On the hub. The report says "official test set, 500 items"; the validation file is the only one
of that size."""
SHOWN = 3
"""Malformed rows and duplicates that a note names; it counts the others."""


@dataclass(frozen=True)
class Split:
    """What to learn from, and what to be examined on.

    Attributes
    ----------
    name : str
        Where they come from, for a caption.
    train, test : list of Dialogue
        No question of ``test`` is in ``train``, exactly or nearly.
    notes : list of str
        What was left out, and why.
    """

    name: str
    train: list[Dialogue]
    test: list[Dialogue]
    notes: list[str]


def load_split(data: str | Path = "", *, train_rows: int | None = None) -> Split:
    """Read training and test rows.

    Parameters
    ----------
    data : str or Path
        Empty: the embedded rows of this book. A folder: its ``train`` and ``test``, ``.jsonl``
        or ``.json``. ``"hub"``: MedChatZH (Tan et al., 2024), which is fetched and never kept in
        this repository, since its licence is unclear.
    train_rows : int, optional
        Only the first so many training rows.

    Raises
    ------
    ParameterError
        There are no such files, or they have no usable row; see `read_dialogues`.
    ResultError
        The hub cannot be reached.
    """
    if str(data) == HUB:
        name = REPOSITORY
        files = {part: _fetch(file) for part, file in FILES.items()}
    else:
        folder = Path(data).expanduser() if str(data) else place("data") / "medical"
        name = "" if str(data) else "the book's own pairs"
        files = {part: _find(folder, part) for part in FILES}
    return read_split(files["train"], files["test"], name=name, train_rows=train_rows)


def read_split(train: Path, test: Path, *, name: str = "", train_rows: int | None = None) -> Split:
    """Read two files, and take the questions of the second out of the first.

    Parameters
    ----------
    name : str
        For a caption; the name of the first file's folder when left out.
    train_rows : int, optional
        Only the first so many training rows.

    Raises
    ------
    ParameterError
        As `read_dialogues` says, or no training row is left.
    """
    learned, asked = read_dialogues(train, limit=train_rows), read_dialogues(test)
    apart = remove_duplicates(learned.dialogues, asked.dialogues)
    if not apart.train:
        raise ParameterError(f"{test} asks every question of {train}")
    notes = [*tell_malformed("train", learned), *tell_malformed("test", asked)]
    notes += [
        f"train: {len(found)} left out, since test asks {how} question: "
        + _first([f"line {one.train} (line {one.test} there)" for one in found])
        for how, found in (("the same", apart.exact), ("nearly the same", apart.near))
        if found
    ]
    return Split(name or train.parent.name, apart.train, apart.test, notes)


def read_parts(
    data: str | Path = "", *, seed: int = 0
) -> tuple[dict[str, Read], list[Dialogue], list[Dialogue]]:
    """Read data as they are, to look at: nothing is taken out but what cannot be read.

    Parameters
    ----------
    data : str or Path
        Empty: the embedded rows of this book. A folder: its ``train.jsonl`` and ``test.jsonl``.
        A file: a fifth of its rows, drawn at random, is the test.
    seed : int
        What draws them.

    Returns
    -------
    dict of str to Read
        What each file holds, by its name.
    list of Dialogue
        The rows to train on.
    list of Dialogue
        The rows to test with.

    Raises
    ------
    ParameterError
        As `read_dialogues` says.
    """
    path = Path(data) if str(data) else place("data") / "medical"
    if path.is_dir():
        reads = {part: read_dialogues(path / f"{part}.jsonl") for part in FILES}
        return reads, reads["train"].dialogues, reads["test"].dialogues
    reads = {path.name: read_dialogues(path)}
    rows = reads[path.name].dialogues
    held_out = set(random.Random(seed).sample(range(len(rows)), len(rows) // 5))
    train = [row for i, row in enumerate(rows) if i not in held_out]
    return reads, train, [rows[i] for i in sorted(held_out)]


def read_general() -> dict[str, list[Dialogue]]:
    """The book's rows that have nothing to do with medicine, by language: ``"zh"`` and ``"en"``."""
    path = place("data") / "medical" / "general.jsonl"
    read = read_dialogues(path)
    if read.malformed:
        raise ResultError(f"{path}: {tell_malformed('general', read)[0]}: get it again")
    with path.open("rb") as file:
        languages = {line: parse_json(text)["language"] for line, text in read_lines(file, path)}
    by_language: dict[str, list[Dialogue]] = {}
    for dialogue in read.dialogues:
        by_language.setdefault(languages[dialogue.line], []).append(dialogue)
    return by_language


def tell_malformed(name: str, read: Read) -> list[str]:
    """A note on the rows of a file that cannot be used, if there are any."""
    lines = [f"line {row.line} ({row.reason})" for row in read.malformed]
    return [f"{name}: {len(lines)} malformed, left out: {_first(lines)}"] if lines else []


def _first(texts: Sequence[str]) -> str:
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return ", ".join([*texts[:SHOWN], *more])


def _find(folder: Path, part: str) -> Path:
    for ending in ("jsonl", "json"):
        if (folder / f"{part}.{ending}").is_file():
            return folder / f"{part}.{ending}"
    raise ParameterError(
        f"data={str(folder)!r} has no {part}.jsonl: give a folder with train.jsonl and test.jsonl, "
        "hub, or nothing for the embedded pairs"
    )


def _fetch(file: str) -> Path:
    from huggingface_hub import hf_hub_download

    instead = "download it elsewhere, and give a folder with it as train.json or test.json"
    with fetching(f"{file} of {REPOSITORY}", ResultError, instead):
        return Path(hf_hub_download(REPOSITORY, file, repo_type="dataset"))
