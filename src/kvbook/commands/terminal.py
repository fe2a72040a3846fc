"""What the commands say: tables, paths and notes, and a word after Ctrl-C."""

import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

out, err = Console(emoji=False), Console(stderr=True, emoji=False)
ProfileOption = Annotated[str, typer.Option(help="smoke (seconds), laptop (the book), or gpu.")]


PATIENCE = 10.0
"""Seconds after Ctrl-C in which a command tidies up."""
ALARM = getattr(signal, "SIGALRM", None)
"""None on Windows."""


@contextmanager
def interruptible(kept: str) -> Iterator[None]:
    """Ctrl-C ends a command with what is kept, and with the shell's code for it.

    A library may catch the interruption and raise an error of its own: whatever ends the block
    after Ctrl-C is an interruption. Or it may go on as if nothing had been, as Python does in the
    callbacks of weak references: then it is interrupted again, unless it is tidying up (Windows has
    no alarm for that).
    """
    pressed = []

    def press(number, frame):
        pressed.append(number)
        alarm(PATIENCE)
        raise KeyboardInterrupt

    def press_again(number, frame):
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):  # which is being handled
            raise KeyboardInterrupt

    def alarm(seconds):
        if ALARM:
            signal.setitimer(signal.ITIMER_REAL, seconds, seconds)

    signals = {signal.SIGINT: press} | ({ALARM: press_again} if ALARM else {})
    before = {number: signal.signal(number, handler) for number, handler in signals.items()}
    try:
        yield
    except BaseException as error:
        alarm(0)
        if not pressed and not isinstance(error, KeyboardInterrupt):
            raise
        err.print(f"[yellow]interrupted[/]: {kept}", soft_wrap=True)
        sys.exit(130)
    finally:
        alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


def print_table(rows: list[dict[str, str]], gap: int = 1) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, gap, 0, 0))
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    out.print(table)


def print_paths(**paths: Path | None) -> None:
    """A line each: what it is, and where."""
    for label, path in paths.items():
        if path:
            out.print(f"  {label:9}{escape(str(path))}", soft_wrap=True, highlight=False)


def print_notes(notes: list[str]) -> None:
    for note in notes:
        err.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True, highlight=False)


def split_words(values: list[str]) -> list[str]:
    """What an option got, each time with commas between, as one list."""
    return [one.strip() for value in values for one in value.split(",") if one.strip()]


def stack_heads(row: dict[str, str]) -> dict[str, str]:
    """Columns narrow enough for a terminal: heads in short lines."""
    heads = ["\n".join(textwrap.fill(part, 7) for part in head.split(", ")) for head in row]
    return dict(zip(heads, row.values(), strict=True))


def stack_row(row: dict[str, str]) -> dict[str, str]:
    """`stack_heads`, and in every cell the spread below its median."""
    return {
        head: cell.replace(" (", "\n").replace(" to ", "–\n").rstrip(")")
        for head, cell in stack_heads(row).items()
    }
