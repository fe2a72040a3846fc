"""Run one chapter: check its parameters, execute it with papermill, and say what it was run on."""

import codecs
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import nbformat

from kvbook.chapters.inputs import inputs_key
from kvbook.chapters.page import make_page
from kvbook.chapters.registry import get_chapter
from kvbook.chapters.resolve import resolve_parameters
from kvbook.errors import ExecutionError, ParameterError
from kvbook.files import check_writable, write_whole
from kvbook.places import place
from kvbook.results import collect_provenance, cpu_seconds
from kvbook.texts import decode, parse_json
from kvbook.threads import waiting

START_SECONDS = 300
"""For a kernel to start; it takes two, and on a machine with much else to do some more."""
START_TRIES = 3
"""Two kernels that start at once may be given the same port; the one that comes second dies."""


@dataclass(frozen=True)
class Executed:
    """What a run leaves.

    Attributes
    ----------
    notebook, results : Path
        The executed notebook, and the results file of the chapter.
    page : Path or None
        A page to open in a browser.
    seconds : float
        How long the notebook ran.
    """

    notebook: Path
    results: Path
    page: Path | None
    seconds: float


def run_chapter(
    name: str,
    overrides: dict | None = None,
    *,
    profile: str = "laptop",
    output: Path | None = None,
    page: bool = True,
    progress: bool = True,
) -> Executed:
    """Execute one chapter with parameters of your own.

    Parameters
    ----------
    name : str
        A chapter of `kvbook.chapters.registry.CHAPTERS`.
    overrides : dict, optional
        Parameters that differ from the profile's.
    profile : {"smoke", "laptop", "gpu"}
        What sets all other parameters.
    output : Path, optional
        A folder for the notebook, its page and its results; ``kvbook-runs/<name>`` by default.
    page : bool
        Also make ``<name>.html``.
    progress : bool
        Show a line with the cells done.

    Raises
    ------
    ParameterError
        Before a kernel starts: an unknown chapter or parameter, a wrong value, a notebook that
        is missing or damaged, or an output folder that cannot be written.
    ExecutionError
        A cell failed, or its process ended; the notebook up to there is kept as
        ``<name>.partial.ipynb``.
    """
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillException, PapermillExecutionError

    chapter = get_chapter(name)
    parameters = resolve_parameters(chapter, profile, overrides)
    _check_notebook(chapter.notebook)
    output = Path(output or Path("kvbook-runs") / name).resolve()
    check_writable(output)
    partial, final = output / f"{name}.partial.ipynb", output / f"{name}.ipynb"
    _resolve_paths(parameters)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    run = {
        "chapter": name,
        "profile": profile,
        "parameters": parameters,
        "started": started,
        "key": inputs_key(chapter, parameters),
    }
    begin, used = time.perf_counter(), cpu_seconds()
    with _environment(run, output):
        try:
            with _this_interpreter():
                _execute(
                    str(chapter.notebook),
                    str(partial),
                    parameters=parameters,
                    cwd=str(output),
                    kernel_name="python3",
                    language="python",
                    start_timeout=START_SECONDS,
                    progress_bar={"desc": name, "unit": "cell"} if progress else False,
                    log_output=False,
                )
        except PapermillExecutionError as error:
            words = f"cell {error.exec_count} failed with {error.ename}: {error.evalue}"
            raise ExecutionError(_failure(name, words, error.source, partial)) from None
        except DeadKernelError:
            raise ExecutionError(_failure(name, *_where_it_died(partial), partial)) from None
        except (OSError, RuntimeError, PapermillException) as error:  # full disk, no kernel
            raise ExecutionError(f"{name} cannot be executed in {output}: {error}") from None
        provenance = collect_provenance().model_dump()
        provenance["cpu_seconds"] -= used  # of this chapter: its kernel has ended
    seconds = time.perf_counter() - begin
    notebook = nbformat.read(partial, as_version=4)
    notebook.metadata["kvbook"] = provenance
    notebook.metadata.pop("papermill", None)  # absolute paths of one machine
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"].append("hide-input")
    write_whole(final, nbformat.writes(notebook))
    partial.unlink()
    made = make_page(final) if page else None
    return Executed(final, output / "results" / f"{name}.json", made, seconds)


def _resolve_paths(parameters: dict) -> None:
    """Files and folders from where the user is: the notebook runs in its output folder.

    Raises
    ------
    ParameterError
        One is not there.
    """
    from kvbook.lm.models import is_folder  # which takes seconds to import

    wanted: dict[str, tuple[str, Callable[[str], bool]]] = {
        "prompt_file": ("file", os.path.isfile),
        "data": ("file or folder", os.path.exists),
        "model": ("folder", os.path.isdir),
    }
    for key, (kind, is_there) in wanted.items():
        name = parameters.get(key)
        if not name or (key, name) == ("data", "hub") or (key == "model" and not is_folder(name)):
            continue
        path = os.path.realpath(os.path.expanduser(name))
        if not is_there(path):
            raise ParameterError(f"{key}: there is no {kind} {path}")
        parameters[key] = path


@contextmanager
def _environment(run: dict, output: Path) -> Iterator[None]:
    """What the notebook's process needs to know; the caller's environment comes back afterwards."""
    ours = {
        "KVBOOK_RUN": json.dumps(run),
        "KVBOOK_RESULTS": str(output / "results"),
        "KVBOOK_DATA": str(place("data")),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONWARNINGS": "ignore:IProgress not found",  # progress bars are plain text here
    } | waiting()
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _execute(*paths: str, **options) -> None:
    """papermill's, once more where the kernel died before any cell."""
    import papermill

    for tries_left in reversed(range(START_TRIES)):
        try:
            papermill.execute_notebook(*paths, **options)
            return
        except RuntimeError as error:
            if "died before replying" not in str(error) or not tries_left:
                raise


@contextmanager
def _this_interpreter() -> Iterator[None]:
    """A kernel named ``python3`` that is this Python, whatever is installed for this user."""
    with tempfile.TemporaryDirectory(prefix="kvbook-kernel-") as folder:
        spec = Path(folder) / "kernels" / "python3"
        spec.mkdir(parents=True)
        command = [
            sys.executable,
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
            "--log-level=50",
        ]
        kernel = {"argv": command, "display_name": "Python 3", "language": "python"}
        (spec / "kernel.json").write_text(json.dumps(kernel))
        before = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))
        try:
            yield
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before


def _check_notebook(path: Path) -> None:
    if not path.is_file():
        raise ParameterError(f"the notebook {path} is missing: restore it, or set KVBOOK_NOTEBOOKS")
    try:
        raw = path.read_bytes()
        parse_json(decode(raw))
        if raw.startswith(codecs.BOM_UTF8):  # papermill reads the file itself
            raise ValueError("a byte order mark; save it as UTF-8 without one")
        nbformat.validate(nbformat.reads(raw.decode(), as_version=4))
    except (nbformat.ValidationError, ValueError, LookupError, AttributeError, TypeError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ParameterError(
            f"{path} is damaged, and no notebook any more ({why}): restore it"
        ) from None


def _where_it_died(partial: Path) -> tuple[str, str]:
    """Of a kernel that ended without a word: the cell, and its source."""
    code = [cell for cell in nbformat.read(partial, as_version=4).cells if cell.cell_type == "code"]
    begun = [cell for cell in code if cell.metadata.papermill.get("start_time")]
    words = f"the kernel died in cell {len(begun)}; too little memory is the usual reason"
    return words, begun[-1].source


def _failure(name: str, words: str, source: str, partial: Path) -> str:
    lines = "\n".join(f"    {line}" for line in source.strip().splitlines()[-6:])
    return f"{name}: {words}\n{lines}\nThe notebook up to there is kept: {partial}"
