"""Files and folders that are written whole, or not at all."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from kvbook.errors import ParameterError, ResultError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name, then rename it; a text as UTF-8.

    Raises
    ------
    ResultError
        The disk is full, the folder cannot be written, or the text has characters that UTF-8 cannot
        hold (half of a surrogate pair).
    """
    temporary = None
    try:
        content = content.encode() if isinstance(content, str) else content
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".writing-", delete=False) as file:
            temporary = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise ResultError(
            f"cannot write {path}: {error.strerror}; what was there before is unchanged"
        ) from None
    except UnicodeEncodeError as error:
        raise ResultError(f"cannot write {path}: its text is not Unicode ({error})") from None
    finally:  # also after an interruption
        if temporary:
            Path(temporary).unlink(missing_ok=True)


@contextmanager
def disk_errors() -> Iterator[None]:
    """In this block a full disk raises `OSError`, also where a library raises another error.

    Safetensors raises a class of its own. PyTorch raises a `RuntimeError`, because its archive is
    shorter than what it has written.
    """
    try:
        yield
    except SafetensorError as error:
        if number := re.search(r"\(os error (\d+)\)", str(error)):
            code = int(number[1])
            raise OSError(code, os.strerror(code)) from None
        raise
    except RuntimeError as error:
        if "inline_container" not in str(error):
            raise
        code = errno.ENOSPC if "unexpected pos" in str(error) else errno.EIO
        raise OSError(code, os.strerror(code)) from None


def check_writable(folder: Path, option: str = "--output") -> None:
    """Make the folder and try to write into it, before long work whose results go there.

    Parameters
    ----------
    option : str
        The option that a user gave the folder with, for the message.

    Raises
    ------
    ParameterError
        The folder can neither be made nor written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ParameterError(
            f"cannot write to {folder} ({error.strerror}): give another {option}"
        ) from None


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``path`` when the block ends, unless it fails.

    What is left of a process that was killed in such a block is deleted, so only one at a time
    may be at work on ``path``.

    Raises
    ------
    OSError
        The disk is full (also where a library says it otherwise, see `disk_errors`), or the folder
        above cannot be written.
    """
    prefix = f".writing-{path.name}-"
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    try:
        new = work / path.name  # which others may read, unlike a temporary folder
        new.mkdir()
        with disk_errors():
            yield new
        shutil.rmtree(path, ignore_errors=True)
        os.replace(new, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def disk_bytes(*paths: Path) -> int:
    """What files and folders take, with all that is in them; links do not count."""
    inside = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in inside if file.is_file() and not file.is_symlink())
