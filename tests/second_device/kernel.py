"""Chapters in one Jupyter kernel, in turn, with their models on the second device: starting a kernel and
importing torch takes longer than most chapters.

Where that device does not compile, they are on the CPU.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from second_device.second import NoCompilerError, compile_second

from kvbook.chapters.execute import _this_interpreter
from kvbook.places import place

ON_SECOND = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from second_device.second import load_models_there
load_models_there()
"""


def start() -> Iterator[KernelManager]:
    """A kernel for as long as it is asked for."""
    first = [ON_SECOND]
    try:
        compile_second()
    except NoCompilerError:
        if os.environ.get("CI"):  # there somebody has to run them on it
            raise
        first = []
    with _this_interpreter():
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel()
    failed = execute(manager, first)
    assert not failed, failed
    yield manager
    manager.shutdown_kernel(now=True)


def execute(manager, cells):
    """Run cells, of source or of a notebook, in a kernel that runs; what failed, or nothing."""
    new = nbformat.v4.new_code_cell
    made = [new(cell) if isinstance(cell, str) else cell for cell in cells]
    client = NotebookClient(nbformat.v4.new_notebook(cells=made), km=manager, timeout=600)
    try:
        client.execute()
    except CellExecutionError as error:
        return re.sub(r"\x1b\[[\d;]*m", "", str(error))
    finally:
        if client.kc:  # the kernel may have died
            client.kc.stop_channels()
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
