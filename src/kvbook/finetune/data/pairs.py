"""Pairs to train on and to test with: the embedded ones, a folder's, or MedChatZH from the hub."""

from dataclasses import dataclass
from pathlib import Path

from kvbook.errors import ParameterError, ResultError
from kvbook.finetune.data.dialogue import Dialogue
from kvbook.finetune.data.duplicates import remove_duplicates
from kvbook.finetune.data.rows import read_dialogues
from kvbook.places import place

HUB = "hub"
REPOSITORY = "tyang816/MedChatZH"
FILES = {"train": "MedChatZH_train.json", "test": "MedChatZH_valid.json"}
"""On the hub. The report says "official test set, 500 items"; the validation file is the only one
of that size."""


@dataclass(frozen=True)
class Pairs:
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


def load_pairs(data: str | Path = "", *, train_rows: int | None = None) -> Pairs:
    """Read training and test pairs.

    Parameters
    ----------
    data : str or Path
        Empty: the embedded pairs of this book. A folder: its ``train`` and ``test``, ``.jsonl``
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
        name = folder.name if str(data) else "the book's own pairs"
        files = {part: _find(folder, part) for part in FILES}
    train, test = read_dialogues(files["train"], limit=train_rows), read_dialogues(files["test"])
    notes = [
        f"{len(read.malformed)} malformed rows left out of {files[part].name}, the first in line "
        f"{read.malformed[0].line}: {read.malformed[0].reason}"
        for part, read in (("train", train), ("test", test))
        if read.malformed
    ]
    apart = remove_duplicates(train.dialogues, test.dialogues)
    if apart.exact or apart.near:
        notes.append(
            f"{len(apart.exact)} training rows ask what a test row asks, {len(apart.near)} nearly "
            "so: left out"
        )
    if not apart.train:
        raise ParameterError(f"every row of {files['train']} is in {files['test']}, too")
    return Pairs(name, apart.train, apart.test, notes)


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

    try:
        return Path(hf_hub_download(REPOSITORY, file, repo_type="dataset"))
    except Exception as error:  # whatever the hub's client makes of a missing network
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ResultError(
            f"cannot fetch {file} of {REPOSITORY} from the hub ({why}): download it elsewhere, and "
            "give a folder with it as train.json or test.json"
        ) from None
