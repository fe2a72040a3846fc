"""A Jupyter kernel whose models are on the second device.

Where that device does not compile, they are on the CPU.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client import KernelManager
from kernels import execute, started
from second_device.second import NoCompilerError, compile_second

ON_SECOND = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from second_device.second import load_models_there
load_models_there()
"""


@contextmanager
def started_on_second() -> Iterator[KernelManager]:
    """A kernel, as long as it is needed."""
    first = [ON_SECOND]
    try:
        compile_second()
    except NoCompilerError:
        if os.environ.get("CI"):  # there somebody has to run them on it
            raise
        first = []
    with started() as manager:
        failed = execute(manager, first)
        assert not failed, failed
        yield manager
