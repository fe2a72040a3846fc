"""The peak of a process's memory: every run gets a fresh process, which has nothing to reuse.

In a process that has run before, an allocator may serve a run from memory that it never gave
back, and the run looks cheaper than it is. So a small server loads the model, once, and forks
for every run: ``python -m kvbook.profiling.memory``.
"""

import contextlib
import ctypes
import gc
import json
import os
import pickle
import re
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

import cloudpickle
import torch
from torch import Tensor

from kvbook.errors import ExecutionError
from kvbook.files import disk_errors
from kvbook.lm.models import LoadedModel, check_loaded, load_model, quiet
from kvbook.methods.base import Method
from kvbook.profiling.one_run import WARM_UP, or_stock, run_once
from kvbook.tasks.store import is_out_of_memory

STEADY = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "262144"}
"""The C library gives large blocks back as soon as they are free, so that the peak is what a run
holds and not what an allocator keeps for later."""
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measures_memory() -> bool:
    """Whether this system can tell the peak of a process: Linux can."""
    return STATUS.exists() and CLEAR.exists() and hasattr(os, "fork")


class FreshProcesses:
    """A context in which `peaks` measures one run after another, each in a process of its own.

    Parameters
    ----------
    lm : LoadedModel
        On the CPU; it is saved to a temporary folder for the processes to read.
    """

    def __init__(self, lm: LoadedModel):
        check_loaded(lm)
        self.lm = lm

    def __enter__(self) -> "FreshProcesses":
        self._folder = tempfile.TemporaryDirectory(prefix="kvbook-memory-")
        try:
            with quiet(), disk_errors():
                self.lm.model.save_pretrained(self._folder.name)
                self.lm.tokenizer.save_pretrained(self._folder.name)
        except OSError as error:
            self._folder.cleanup()
            raise ExecutionError(
                f"cannot put the model aside to measure its memory ({error.strerror}): free some "
                "disk, set TMPDIR to another one, or measure with memory=()"
            ) from None
        dtype = str(self.lm.model.dtype).removeprefix("torch.")
        command = [sys.executable, "-m", "kvbook.profiling.memory", self._folder.name, dtype]
        self._server = subprocess.Popen(
            [*command, str(torch.get_num_threads())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | STEADY,
            start_new_session=True,  # Ctrl-C is for us: we end, and the server sees that
        )
        try:
            self._server.stdout.readline()  # it is ready: what is measured now has the machine alone
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._server.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(timeout=5)
        self._server.kill()
        self._server.wait()
        self._server.stdout.close()
        self._folder.cleanup()

    def peaks(
        self, method: Method | None, ids: Tensor, new_tokens: int, runs: int = 1
    ) -> tuple[int, ...] | None:
        """Most bytes above the level before, of ``runs`` runs one after the other in one new
        process; None when memory was not enough.

        Raises
        ------
        ExecutionError
            The run failed for another reason.
        """
        job = cloudpickle.dumps((or_stock(method), ids.tolist(), new_tokens, runs))
        try:
            self._server.stdin.write(len(job).to_bytes(8, "big") + job)
            self._server.stdin.flush()
            said = json.loads(self._server.stdout.readline())
        except (OSError, ValueError):
            raise ExecutionError(
                "the process that measures memory ended; its words are above"
            ) from None
        if "error" in said:
            raise ExecutionError(f"the run that measures memory failed: {said['error']}")
        return tuple(said["bytes"]) if said["bytes"] else None


def fresh_processes(lm: LoadedModel) -> AbstractContextManager[FreshProcesses | None]:
    """`FreshProcesses` where the memory of a process is what counts: on a CPU, under Linux. None
    elsewhere: on CUDA the allocator says its own peak."""
    check_loaded(lm)
    can = lm.model.device.type == "cpu" and measures_memory()
    return FreshProcesses(lm) if can else contextlib.nullcontext()


# ---- in the server -------------------------------------------------------------------------------


def serve(folder: str, dtype: str, threads: int) -> None:
    """Load the model and say so; then read jobs from standard input, run each in a fork, and write a line
    of JSON for each. When standard input is closed, all ends at once, also a run."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    torch.set_num_threads(1)  # a pool of threads would not survive a fork
    lm = load_model(folder, dtype=dtype, device="cpu")
    gc.freeze()  # a child's collections look at what it makes, and write into no page of ours
    answers.write("ready\n")
    answers.flush()
    while size := sys.stdin.buffer.read(8):
        job = sys.stdin.buffer.read(int.from_bytes(size, "big"))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            torch.set_num_threads(threads)
            with os.fdopen(writing, "w") as out:
                out.write(json.dumps(_run(lm, job)))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            ready, _, _ = select.select([pipe, sys.stdin], [], [])
            if pipe not in ready:  # no job comes before an answer: who asked is gone
                os.kill(child, signal.SIGKILL)
                return
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        if not said:  # killed: by the system, for its memory, or by a fault
            code = os.waitstatus_to_exitcode(status)
            said = json.dumps({"bytes": []} if code == -9 else {"error": f"it ended with {code}"})
        answers.write(said + "\n")
        answers.flush()


def _run(lm: LoadedModel, job: bytes) -> dict:
    """Warm up; then for every run note the level, run, and say by how much the peak is above
    it. No bytes: memory was not enough."""
    peaks = []
    try:
        method, ids, new_tokens, runs = pickle.loads(job)
        ids = torch.tensor(ids)
        run_once(lm, method, ids[:, :WARM_UP], 2)
        for _ in range(runs):
            gc.collect()
            _give_back()
            level = _status("VmRSS")
            CLEAR.write_text("5")  # the high-water mark starts again from here
            if run_once(lm, method, ids, new_tokens) is None:
                return {"bytes": []}
            peaks.append(_status("VmHWM") - level)
    except Exception as error:
        if is_out_of_memory(error):
            return {"bytes": []}
        return {"error": f"{type(error).__name__}: {error}"}
    return {"bytes": peaks}


def _give_back() -> None:
    """Let the allocator return what it holds but does not use, where it can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(name: str) -> int:
    """A line of this process's status, in bytes."""
    return 1024 * int(re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(), re.M).group(1))


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
