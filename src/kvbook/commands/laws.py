"""`kvbook laws`: a student's method through the laws."""

import contextlib
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from kvbook.commands.terminal import interruptible
from kvbook.errors import ParameterError

MODULE = "kvbook_laws_file"
"""What the file is called among Python's modules, whatever its own name: no other is hidden."""


def laws(
    method: Annotated[
        str,
        typer.Argument(
            metavar="FILE.py:CLASS",
            help="A file, and the class in it. The file is executed as your own program would be: "
            "read a stranger's before you run it.",
            show_default=False,
        ),
    ],
    budget: Annotated[
        str, typer.Option(help="Entries (12) or a fraction (0.4); prompts are about twice as long.")
    ] = "12",
    against: Annotated[
        str | None,
        typer.Option(
            help="Also compare it with the naive rule of one of the book's methods, such as snapkv."
        ),
    ] = None,
) -> None:
    """Put a method of your own through the laws that every method keeps, on a tiny random model in
    seconds: each with "pass", a small counter-example, or why it does not apply. Exit code 1: a
    law fails."""
    with interruptible("nothing was written"):
        size = read_size(budget)
        path, name = split(method)
        from kvbook.laws.against_naive import against_naive, check_name
        from kvbook.laws.check import check

        if against is not None:
            check_name(against)
        mine = find_class(load(path), name)
        reports = [check(mine, size)]
        if against is not None:
            reports.append(against_naive(against, mine, size))
    if not all(one.passed for one in reports):
        raise typer.Exit(1)


def read_size(text: str) -> int | float:
    """A budget as it was typed: what is no number is refused here, what is no budget by the laws."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    raise ParameterError(f"--budget {text}: give entries, such as 12, or a fraction, such as 0.4")


def split(method: str) -> tuple[Path, str]:
    """``FILE.py:CLASS`` as the two.

    Raises
    ------
    ParameterError
        Not of this form, or no such file.
    """
    file, _, name = method.rpartition(":")
    if not file or not name.isidentifier():
        raise ParameterError(f"{method}: give FILE.py:CLASS, for example mine.py:MySnapKV")
    path = Path(file)
    if not path.is_file():
        raise ParameterError(f"there is no file {file}")
    return path, name


def load(path: Path):
    """Execute a file, which may import its neighbours, as a module.

    Raises
    ------
    ParameterError
        It fails: with the last line that Python says of it.
    """
    spec = importlib.util.spec_from_file_location(MODULE, path.resolve())
    if spec is None or spec.loader is None:
        raise ParameterError(f"{path} is no file of Python: give one that ends with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename) == path.resolve()
        ]
        if isinstance(error, SyntaxError):
            lines.append(error.lineno)
        at = f", line {lines[-1]}" if lines else ""
        said = traceback.format_exception_only(error)[-1].strip()
        raise ParameterError(f"{path} fails when it is imported{at}: {said}") from None
    return module


def find_class(module, name: str):
    """A class of a module that is a method.

    Raises
    ------
    ParameterError
        No such class, or it is none; with those that there are.
    """
    from kvbook.methods import Method

    file = Path(module.__file__).name
    own = [
        key
        for key, one in vars(module).items()
        if isinstance(one, type) and issubclass(one, Method) and one.__module__ == MODULE
    ]
    there = f"its methods are: {', '.join(own)}" if own else "there is no method in it"
    found = getattr(module, name, None)
    if found is None:
        raise ParameterError(f"{file} has no class {name}; {there}")
    if not isinstance(found, type) or not issubclass(found, Method):
        raise ParameterError(
            f"{name} in {file} is no method: begin it with `class {name}(Method):`, where Method is "
            f"from kvbook.methods; {there}"
        )
    return found
