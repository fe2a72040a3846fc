"""Where the book's files are: in the repository beside the package, or where the environment says."""

import os
from pathlib import Path

from kvbook.errors import ParameterError

REPOSITORY = Path(__file__).resolve().parents[2]


def place(name: str) -> Path:
    """The folder ``name`` (``"data"``, ``"notebooks"``, ``"book"``): ``$KVBOOK_<NAME>``, or
    the repository's.

    Raises
    ------
    ParameterError
        It is not there.
    """
    variable = f"KVBOOK_{name.upper()}"
    path = Path(os.environ.get(variable) or REPOSITORY / name)
    if not path.is_dir():
        raise ParameterError(
            f"no folder {path}: run from a clone of the repository, or set {variable} to its {name}/ folder"
        )
    return path
