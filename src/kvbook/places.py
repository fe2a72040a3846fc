"""Where the book's files are: in a clone beside the package, in an installed wheel inside it, or where the environment says; and where what is fetched or measured once is kept."""

import os
from pathlib import Path

from platformdirs import user_cache_path

from kvbook.errors import ParameterError

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parents[1]
"""The clone, where there is one."""
INSTALLED = PACKAGE / "_book"
"""What `pyproject.toml` puts into a wheel; a clone has no such folder."""


def place(name: str) -> Path:
    """The folder ``name`` (``"data"``, ``"notebooks"``, ``"book"``): ``$KVBOOK_<NAME>``, or the
    clone's, or the wheel's.

    Raises
    ------
    ParameterError
        It is not there.
    """
    variable = f"KVBOOK_{name.upper()}"
    home = INSTALLED if INSTALLED.is_dir() else REPOSITORY
    path = Path(os.environ.get(variable) or home / name).resolve()
    if not path.is_dir():
        raise ParameterError(f"no folder {path}: restore it, or set {variable} to another {name}/")
    return path


def clone(what: str) -> Path:
    """The clone of the repository, for ``what`` is only done there.

    Raises
    ------
    ParameterError
        This package was installed without one.
    """
    if INSTALLED.is_dir():
        raise ParameterError(
            f"{what} needs a clone of the repository, and this kvbook is installed without one "
            f"({PACKAGE}): run it in a clone"
        )
    return REPOSITORY


def python_of(environment: str) -> Path:
    """The Python of an environment beside the book's, as make.py lays it: ``"llamacpp"``, say."""
    folder = REPOSITORY / f".venv-{environment}"
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment_of_another_python() -> dict[str, str]:
    """The environment variables for a process of another Python, which has packages of its own.

    ``PYTHONPATH`` and ``MPLBACKEND`` are left out: they name our packages and a notebook's drawing
    backend, which the other Python would look for in vain.
    """
    ours = ("PYTHONPATH", "MPLBACKEND")
    return {key: value for key, value in os.environ.items() if key not in ours}


def cache_dir() -> Path:
    """Where models and what was measured of this machine are cached: ``$KVBOOK_CACHE``, or this
    user's cache folder."""
    return Path(os.environ.get("KVBOOK_CACHE") or user_cache_path("kvbook")).expanduser()
