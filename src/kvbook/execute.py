"""Run one chapter: check its parameters, execute it with papermill, and say what it was run on."""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import files
from pathlib import Path

import nbformat

from kvbook.chapters import get_chapter, resolve_parameters
from kvbook.errors import ExecutionError, ParameterError
from kvbook.places import place
from kvbook.results import collect_provenance, write_whole


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
        A chapter of `kvbook.chapters.CHAPTERS`.
    overrides : dict, optional
        Parameters that differ from the profile's.
    output : Path, optional
        A folder for the notebook, its page and its results; ``kvbook-runs/<name>`` by default.
    page : bool
        Also make ``<name>.html``.
    progress : bool
        Show a line with the cells done.

    Raises
    ------
    ParameterError
        Before a kernel starts: an unknown chapter or parameter, or a wrong value.
    ExecutionError
        A cell failed; the notebook up to there is kept as ``<name>.partial.ipynb``.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    chapter = get_chapter(name)
    parameters = resolve_parameters(chapter, profile, overrides)
    if not chapter.notebook.is_file():
        raise ParameterError(
            f"the notebook {chapter.notebook} is missing: restore it, or set KVBOOK_NOTEBOOKS"
        )
    output = Path(output or Path("kvbook-runs") / name).resolve()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(
            f"cannot write to {output} ({error.strerror}): give another --output"
        ) from None
    partial, final = output / f"{name}.partial.ipynb", output / f"{name}.ipynb"
    for key, given in (("prompt_file", "file"), ("data", "file or folder")):
        where = parameters.get(key)
        if where and (key, where) != ("data", "hub"):
            path = Path(where).resolve()  # the notebook runs in its output folder
            if not (path.is_file() or (path.is_dir() and key == "data")):
                raise ParameterError(f"{key}: there is no {given} {path}")
            parameters[key] = str(path)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    run = {"chapter": name, "profile": profile, "parameters": parameters, "started": started}
    begin = time.perf_counter()
    with _environment(run, output):
        try:
            with _this_interpreter():
                papermill.execute_notebook(
                    str(chapter.notebook),
                    str(partial),
                    parameters=parameters,
                    cwd=str(output),
                    kernel_name="python3",
                    language="python",
                    progress_bar={"desc": name, "unit": "cell"} if progress else False,
                    log_output=False,
                )
        except PapermillExecutionError as error:
            raise ExecutionError(_failure(name, error, partial)) from None
        except OSError as error:
            raise ExecutionError(f"{name}: {error}; what was executed is in {partial}") from None
        provenance = collect_provenance().model_dump()
    seconds = time.perf_counter() - begin
    notebook = nbformat.read(partial, as_version=4)
    notebook.metadata["kvbook"] = provenance
    notebook.metadata.pop("papermill", None)  # absolute paths of one machine
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"].append("hide-input")
    write_whole(final, nbformat.writes(notebook))
    partial.unlink()
    made = _page(final) if page else None
    return Executed(final, output / "results" / f"{name}.json", made, seconds)


@contextmanager
def _environment(run: dict, output: Path) -> Iterator[None]:
    """What the notebook's process needs to know; the caller's environment comes back afterwards."""
    ours = {
        "KVBOOK_RUN": json.dumps(run),
        "KVBOOK_RESULTS": str(output / "results"),
        "KVBOOK_DATA": str(place("data")),
        "OMP_WAIT_POLICY": "passive",  # threads that spin steal the cores they wait for
        "GOMP_SPINCOUNT": "0",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONWARNINGS": "ignore:IProgress not found",  # progress bars are plain text here
    }
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


@contextmanager
def _this_interpreter() -> Iterator[None]:
    """A kernel named ``python3`` that is this Python, whatever is installed for this user."""
    import tempfile

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


def _failure(name: str, error, partial: Path) -> str:
    source = "\n".join(f"    {line}" for line in error.source.strip().splitlines()[-6:])
    return (
        f"{name}: cell {error.exec_count} failed with {error.ename}: {error.evalue}\n{source}\n"
        f"The notebook up to there is kept: {partial}"
    )


FENCE = re.compile(r"^(`{3,})\{(\w+)\} *(.*?)\n((?::\w+:[^\n]*\n)*)(.*?)^\1 *$", re.M | re.S)
"""A directive of the book: its fence, name, title, options and text."""


def plain_markdown(text: str) -> str:
    """The book's markdown for a page of its own: directives as plain text and folded
    solutions, no links to chapters that are not beside it."""

    def directive(match: re.Match) -> str:
        _, name, title, _, body = match.groups()
        if name == "solution":
            return f"<details><summary>Solution</summary>\n\n{body}\n</details>\n"
        return f"**{title if name == 'admonition' else name.capitalize()}**\n\n{body}"

    text = FENCE.sub(directive, text)
    text = re.sub(r"\{cite:\w+\}`([^`]+)`", r"(\1)", text)
    text = re.sub(r"\$\$ \([\w-]+\)$", "$$", text, flags=re.M)
    text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.M)
    return re.sub(r"\[([^\]]+)\]\(\w+\.(?:ipynb|md)\)", r"\1", text)


def _page(notebook: Path) -> Path:
    """The notebook as one page that loads nothing from outside."""
    from nbconvert import HTMLExporter
    from plotly.offline import get_plotlyjs
    from traitlets.config import Config

    from kvbook.explorer import PLOTLY

    config = Config()
    for url in ("mathjax", "require_js", "jquery", "mermaid_js", "widget_renderer"):
        setattr(config.HTMLExporter, f"{url}_url", "")
    config.HTMLExporter.exclude_input_prompt = True
    config.HTMLExporter.exclude_output_prompt = True
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = {"remove-cell"}
    config.TagRemovePreprocessor.remove_input_tags = {"hide-input"}
    config.HTMLExporter.preprocessors = ["nbconvert.preprocessors.TagRemovePreprocessor"]
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "markdown":
            cell.source = plain_markdown(cell.source)
    body, _ = HTMLExporter(config=config).from_notebook_node(content)
    style = place("book") / "_static" / "custom.css"
    head = f"<style>{style.read_text(encoding='utf-8')}</style>" if style.is_file() else ""
    formulas = "window.MathJax = {tex: {inlineMath: [['$', '$']]}};"
    head += f"<script>{formulas}</script><script>{mathjax().read_text(encoding='utf-8')}</script>"
    body = body.replace("</head>", head + "</head>", 1)
    reference = f'<script src="{PLOTLY}"></script>'
    if reference in body:  # a page of its own has no book beside it: the library goes into it
        body = body.replace(reference, f"<script>{get_plotlyjs()}</script>", 1)
        body = body.replace(reference, "")
    page = notebook.with_suffix(".html")
    write_whole(page, body)
    return page


def mathjax() -> Path:
    """MathJax as one file, from the package that brings it."""
    found = next(path for path in files("sphinx-mathjax-offline") if path.name == "tex-svg.js")
    return Path(found.locate())
