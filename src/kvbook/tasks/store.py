"""Measurements kept item by item: interrupted runs resume, and nothing stale is used again.

A file is one line of JSON that says what was measured with what (the *header*), then one
line an item. Its name ends with a hash of the header, so another parameter is another file;
a line holds a hash of its item, so a changed item is measured again. Times differ from run
to run and would make equal runs look different: they are in a file of their own beside it.
"""

import hashlib
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from filelock import FileLock, Timeout

from kvbook.errors import ResultError
from kvbook.files import write_whole
from kvbook.texts import decode, parse_json

OUT_OF_MEMORY = "out of memory"
NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "CUDA error: out of memory",
    "_STATUS_ALLOC_FAILED",  # of CUDA's libraries, cuBLAS for one
)
"""What an error says, in the words of the CPU and of CUDA."""


class Item(Protocol):
    """What is measured: anything with a name, and a digest that changes with its content."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def digest(self) -> str:
        """The digest of its content."""


AnItem = TypeVar("AnItem", bound=Item)


def digest(*parts: Any) -> str:
    """Sixteen hexadecimal digits that change when any part does."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


@dataclass
class Store:
    """One file of measurements.

    Parameters
    ----------
    folder : Path
        Where it lies.
    name : str
        What its name begins with, to be read by people.
    header : dict
        Everything that a measurement depends on, beside the item.
    """

    folder: Path
    name: str
    header: dict

    @property
    def path(self) -> Path:
        """``<name>-<hash of the header>.jsonl``"""
        readable = re.sub(r"[^\w.=,-]+", "_", self.name)[:80]
        return Path(self.folder) / f"{readable}-{digest(self.header)[:10]}.jsonl"

    @property
    def times(self) -> Path:
        """Seconds of every measurement, a line each."""
        return self.path.with_suffix(".seconds")

    def complete(
        self,
        items: Sequence[AnItem],
        measure: Callable[[Sequence[AnItem]], list[dict]],
        *,
        batch: int = 1,
        advance: Callable[[int], None] = lambda count: None,
    ) -> list[dict]:
        """`complete_together` for one file: ``measure`` takes a batch of items, and returns a record
        (of JSON's types) for each."""
        [records] = complete_together(
            [self], items, lambda part, which: [measure(part)], batch=batch, advance=advance
        )
        return records

    def seconds(self) -> dict[str, float]:
        """What each item took when it was measured last, its share of the batch; an item is missing
        when the file of times was lost."""
        return {
            row["id"]: row["seconds"] for row in _lines(self.times, {"id": str, "seconds": float})
        }

    def alone(self) -> AbstractContextManager:
        """Only one process works on a file; the others wait, and then find it done."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultError(f"cannot write to {self.path.parent}: {error.strerror}") from None
        lock = FileLock(self.path.with_suffix(".lock"))
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting for another process that writes {self.path.name}", file=sys.stderr)
            return lock.acquire()
        except OSError as error:
            raise ResultError(f"cannot write to {self.path.parent}: {error.strerror}") from None

    def read(self, items: Sequence[Item]) -> dict[str, dict]:
        """The records that are still valid, by item; all others are taken out of the file.

        A record is not valid where its item has changed since, or where memory ran out.

        Raises
        ------
        ResultError
            The file is damaged, has another header, has an item twice, or cannot be written.
        """
        _cut_torn(self.path)
        _cut_torn(self.times)
        rows = _lines(self.path, {"id": str, "digest": str}, header=True)
        if not rows:
            write_whole(self.path, json.dumps(self.header, ensure_ascii=False) + "\n")
            return {}
        if rows[0] != json.loads(json.dumps(self.header)):  # a tuple comes back as a list
            raise ResultError(
                f"{self.path} does not begin with what it was measured with: move it away, "
                "and it is measured again"
            )
        names = Counter(row["id"] for row in rows[1:])
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice is not None:
            raise ResultError(
                f"{self.path} has two lines of item {twice!r}: take one of them out, or move the "
                "file away, and it is measured again"
            )
        now = {one.id: one.digest for one in items}
        good = [
            row
            for row in rows[1:]
            if now.get(row["id"], row["digest"]) == row["digest"] and "error" not in row
        ]
        order = {one.id: place for place, one in enumerate(items)}
        good.sort(key=lambda row: order.get(row["id"], len(order)))  # others stay behind, in order
        if good != rows[1:]:
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [rows[0], *good])
            write_whole(self.path, text)
        return {row["id"]: row for row in good}

    def add(
        self, part: Sequence[Item], records: Sequence[dict], seconds: float, known: dict[str, dict]
    ) -> None:
        """Append the records of a batch to the file, and the seconds to the file of times.

        Parameters
        ----------
        part, records : sequence
            The items, and a record for each.
        seconds : float
            What each item took.
        known : dict of str to dict
            The records that the file has already, by item. These are not written again; the new
            ones are put into this dictionary.
        """
        found = {
            one.id: {"id": one.id, "digest": one.digest} | record
            for one, record in zip(part, records, strict=True)
        }
        new = {name: row for name, row in found.items() if name not in known}
        # times first: whatever interrupts, a record never lacks its time
        self._append(self.times, [{"id": one.id, "seconds": seconds} for one in part])
        self._append(self.path, list(new.values()))
        known |= new

    def _append(self, path: Path, rows: list[dict]) -> None:
        """Whole lines, or none: a full disk leaves what was there before."""
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        before = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if path.exists():
                os.truncate(path, before)
            raise ResultError(
                f"cannot write {path}: {error.strerror}; what was measured before is kept, and "
                "the same command goes on from there"
            ) from None


def complete_together(
    stores: Sequence[Store],
    items: Sequence[AnItem],
    measure: Callable[[Sequence[AnItem], list[int]], list[list[dict]]],
    *,
    batch: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> list[list[dict]]:
    """Measure what is missing in several files of the same items, together where several lack it.

    Parameters
    ----------
    stores : sequence of Store
        A file each; other processes wait until it is done.
    items : sequence of Item
        Cut into batches from the first one on, so that a resumed run forms the same
        batches as an uninterrupted one.
    measure : callable
        Takes a batch and the places of the stores that lack something of it; returns, by store and
        by item, a record of JSON's types. A batch that runs out of memory is tried store by store,
        then item by item. An item that runs out of memory alone is recorded as such, and the next
        run tries it again.
    batch : int
        Items a batch.
    advance : callable
        Called with the number of records so far, for a progress line.

    Returns
    -------
    list of list of dict
        By store, all items' records in order.

    Raises
    ------
    ResultError
        A file cannot be written, is damaged in its middle, or has an item twice.
    """
    by_path = {store.path.resolve(): place for place, store in enumerate(stores)}
    with ExitStack() as locks:
        for path in sorted(by_path):  # in one order, so that no two processes wait for each other
            locks.enter_context(stores[by_path[path]].alone())
        known = {place: stores[place].read(items) for place in by_path.values()}
        for start in range(0, len(items), batch):
            part = items[start : start + batch]
            which = [
                place
                for place, records in known.items()
                if any(one.id not in records for one in part)
            ]
            if which:
                started = time.perf_counter()
                found = _measure(part, which, measure)
                seconds = (time.perf_counter() - started) / (len(part) * len(which))
                for place, records in zip(which, found, strict=True):
                    stores[place].add(part, records, seconds, known[place])
            advance(len(part) * len(stores))
    places = [by_path[store.path.resolve()] for store in stores]
    return [[known[place][one.id] for one in items] for place in places]


def _measure(part: Sequence[Item], which: list[int], measure: Callable) -> list[list[dict]]:
    """Records by store and item; what runs out of memory together is tried apart."""
    try:
        return measure(part, which)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(which) > 1:
        return [_measure(part, [place], measure)[0] for place in which]
    if len(part) > 1:
        return [[_measure([one], which, measure)[0][0] for one in part]]
    return [[{"error": OUT_OF_MEMORY}]]


def _cut_torn(path: Path) -> None:
    """Take out a last line that an interruption left unfinished."""
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


def _lines(path: Path, needed: dict[str, type], header: bool = False) -> list[dict]:
    """The rows of a file, of which each has what is ``needed``, but for a header; none when
    there is no file."""
    rows: list[dict] = []
    for number, line in enumerate(path.read_bytes().split(b"\n") if path.exists() else [], 1):
        if not line.strip():
            continue
        try:
            row = dict(parse_json(decode(line)))
            if rows or not header:
                for key, kind in needed.items():
                    if not isinstance(row[key], kind):
                        raise TypeError(key)
            rows.append(row)
        except (ValueError, TypeError, LookupError):
            raise ResultError(
                f"{path}, line {number} is damaged: take that line out, and what it told is measured "
                "again or unknown; or move the file away"
            ) from None
    return rows
