"""A Jupyter kernel that several notebooks share: starting one and importing torch takes seconds."""

import json
import re
from contextlib import contextmanager

import nbformat
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from kvbook.chapters.execute import _this_interpreter
from kvbook.places import place

REMEMBER = "_chapter = dict(globals()); _chapter['_chapter'] = _chapter"
FORGET = "(lambda names: (globals().clear(), globals().update(names)))(_chapter)"
"""So that no solution lives on what another one has defined."""


@contextmanager
def started():
    """A kernel of this Python, as long as it is needed."""
    with _this_interpreter():
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel()
    try:
        yield manager
    finally:
        manager.shutdown_kernel(now=True)


def run(manager, cells, **options):
    """Run cells, of source or of a notebook, in a kernel that runs; the notebook."""
    new = nbformat.v4.new_code_cell
    made = [new(cell) if isinstance(cell, str) else cell for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=made)
    client = NotebookClient(notebook, km=manager, timeout=600, **options)
    try:
        return client.execute()
    finally:
        if client.kc:  # the kernel may have died
            client.kc.stop_channels()


def execute(manager, cells):
    """The same; what failed, or nothing."""
    try:
        run(manager, cells)
    except CellExecutionError as error:
        return re.sub(r"\x1b\[[\d;]*m", "", str(error))
    return ""


def enter(folder, name, profile, parameters):
    """A cell that does what `kvbook.chapters.execute` does around a chapter, in a used kernel."""
    run = {"chapter": name, "profile": profile, "parameters": parameters}
    settings = {
        "KVBOOK_RUN": json.dumps(run),
        "KVBOOK_RESULTS": str(folder / "results"),
        "KVBOOK_DATA": str(place("data")),
    }
    return f"%reset -f\nimport os\nos.chdir({str(folder)!r})\nos.environ.update({settings!r})"
