"""Numbers between notebooks: schema-checked JSON files that say where every number comes from."""

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from kvbook.errors import ResultError
from kvbook.files import write_whole
from kvbook.lm.number_format import NumberFormat, remembered
from kvbook.places import REPOSITORY, place
from kvbook.texts import decode, parse_json, read_json

GPU_REPORT = "profiling-gpu"
"""What `kvbook gpu-report` calls its file; among the kept results the book shows it."""
PACKAGES = ("kvbook", "torch", "transformers", "papermill", "jupyter-book", "matplotlib", "numpy")


class Provenance(BaseModel):
    """How a result came to be.

    ``key`` names what it was made from (`kvbook.chapters.inputs.inputs_key`): runs with the same key had
    the same notebook, parameters, modules that it imports, data and locked versions.
    ``seconds`` are of the clock since ``started``, ``cpu_seconds`` of all cores together, with
    processes that were started and have ended; None in older files.
    ``number_format`` is what ``dtype="auto"`` is on the CPU of the machine, as it was measured
    there; None where it was not.
    """

    model_config = ConfigDict(extra="forbid")

    chapter: str
    profile: str
    parameters: dict[str, JsonValue]
    seed: int
    model: str
    started: str
    seconds: float
    cpu_seconds: float | None = None
    commit: str | None
    dirty: bool | None
    key: str | None = None
    machine: dict[str, JsonValue]
    number_format: NumberFormat | None = None
    versions: dict[str, str]


class ResultFile(BaseModel):
    """One results file.

    ``kind`` says whether its numbers were ``"measured"`` by a run, or are those of the ``"report"``
    or of a ``"paper"``. ``data`` are the numbers, with a form of its own for each ``name``.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    name: str
    kind: Literal["measured", "report", "paper"] = "measured"
    provenance: Provenance
    data: dict[str, JsonValue]


def results_dir() -> Path:
    """``$KVBOOK_RESULTS``, or ``results`` in the current folder."""
    return Path(os.environ.get("KVBOOK_RESULTS") or "results")


def save(
    name: str, data: dict, *, parameters: dict | None = None, directory: Path | None = None
) -> Path:
    """Write ``<directory>/<name>.json`` with its provenance: whole, or not at all.

    Parameters
    ----------
    parameters : dict, optional
        The parameters of a run outside of a chapter, with ``model`` and ``seed``. A chapter's own
        are known, and these are then ignored.
    directory : Path, optional
        `results_dir` when left out.

    Raises
    ------
    ResultError
        The data hold something that JSON has not (NaN, an object), or the disk is full.
    """
    try:
        provenance = collect_provenance(_plain(parameters))
        result = ResultFile(name=name, provenance=provenance, data=_plain(data))
        text = json.dumps(result.model_dump(), indent=1, allow_nan=False, ensure_ascii=False)
    except (ValidationError, ValueError, TypeError) as error:
        raise ResultError(f"result {name!r} cannot be saved: {error}") from None
    path = Path(directory or results_dir()) / f"{name}.json"
    write_whole(path, text)
    return path


def load(name: str, directory: Path | None = None) -> ResultFile:
    """Read and check ``<directory>/<name>.json``.

    Raises
    ------
    ResultError
        It is missing, damaged, or of another schema.
    """
    path = Path(directory or results_dir()) / f"{name}.json"
    try:
        return ResultFile.model_validate(parse_json(decode(path.read_bytes())))
    except FileNotFoundError:
        raise ResultError(
            f"no results at {path}: execute that chapter first, `kvbook run {name}`"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ResultError(
            f"{path} is damaged or of another schema ({where}: {first['msg']}): run it again"
        ) from None
    except ValueError as error:
        raise ResultError(
            f"{path} is damaged or of another schema ({error}): run it again"
        ) from None


def find(name: str, directory: Path | None = None) -> ResultFile | None:
    """`load`, or None where there is no such file.

    Raises
    ------
    ResultError
        It is damaged, or of another schema.
    """
    path = Path(directory or results_dir()) / f"{name}.json"
    return load(name, path.parent) if path.is_file() else None


def kept_dir() -> Path:
    """Where the longer runs are that come with the repository: ``data/results``."""
    return place("data") / "results"


def find_kept(prefix: str = "") -> list[ResultFile]:
    """The kept runs whose names begin with ``prefix``, in the order of their names.

    Raises
    ------
    ResultError
        One is damaged, or of another schema.
    """
    paths = sorted(kept_dir().glob(f"{prefix}*.json"))
    return [load(path.stem, path.parent) for path in paths]


def load_report(data: Path | None = None) -> dict[str, Any]:
    """The report's numbers, transcribed: its ``tasks``, ``system`` and ``finetuning``, and the
    ``source``.

    Parameters
    ----------
    data : Path, optional
        The folder of the book's data, if it is another one.
    """
    return read_json((data or place("data")) / "report.json", ResultError)


def report_tasks(data: Path, methods: Sequence[str]) -> list[dict]:
    """Rows of the report's figure 1, left, for `kvbook.show.table`.

    Parameters
    ----------
    data : Path
        The folder of the book's data.
    methods : sequence of str
        Which rows; PyramidInfer has none there.
    """
    rows = load_report(data)["tasks"]["rows"]
    return [{"method": method} | rows[method] for method in methods]


def _plain(value: Any) -> Any:
    """Tensors and numpy scalars as Python's own numbers."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


def collect_provenance(asked: dict | None = None) -> Provenance:
    """What is known of this run: from `kvbook.chapters.execute`, or of an interactive session, with the
    parameters that it asked for."""
    run = json.loads(os.environ.get("KVBOOK_RUN") or "{}")
    started = run.get("started") or _process_start()
    parameters = run.get("parameters", asked or {})
    commit, dirty = _commit()
    return Provenance(
        chapter=run.get("chapter", "interactive"),
        profile=run.get("profile", "interactive"),
        parameters=parameters,
        seed=parameters.get("seed", 0),
        model=parameters.get("model", "unknown"),
        started=started,
        seconds=max(0.0, time.time() - datetime.fromisoformat(started).timestamp()),
        cpu_seconds=cpu_seconds(),
        commit=commit,
        dirty=dirty,
        key=run.get("key"),
        machine=machine(),
        number_format=remembered(),
        versions=versions(),
    )


def cpu_seconds() -> float:
    """CPU seconds of this process, and of those that it started and that have ended, over all
    cores."""
    return sum(os.times()[:4])


def _process_start() -> str:
    import psutil

    return datetime.fromtimestamp(psutil.Process().create_time(), UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Of Python and the packages that matter for a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, JsonValue]:
    """The processor, its cores, the threads that this process may use, the memory (in GB, 10^9
    bytes) and the system."""
    import psutil

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    memory = round(psutil.virtual_memory().total / 1e9)
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "threads": _threads(),
        "memory_gb": memory,
        "os": f"{platform.system()} {platform.machine()}",
    }


def _threads() -> int:
    """Of ``OMP_NUM_THREADS``, the outermost level of ``4,2``; all cores without it."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(asked) if asked.isdecimal() else os.cpu_count() or 1


def _commit() -> tuple[str | None, bool | None]:
    def git(*arguments):
        return subprocess.run(
            ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout

    try:
        if Path(git("rev-parse", "--show-toplevel").strip()) != REPOSITORY:
            return None, None  # an installed wheel, or an archive, inside another repository
        return git("rev-parse", "HEAD").strip(), bool(git("status", "--porcelain").strip())
    except (OSError, subprocess.CalledProcessError):
        return None, None
