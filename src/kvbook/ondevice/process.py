"""llama.cpp as a peer process: one model in it, and the contexts that are opened on it."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from kvbook.errors import ExecutionError, ParameterError
from kvbook.places import environment_of_another_python, python_of
from kvbook.threads import waiting

CacheType = Literal["f32", "f16", "q8_0", "q4_0"]
Logits = Literal["last", "all", "none"]
BATCH = 512
"""Tokens that are read in one batch; llama.cpp's own size of a step."""
PEER = Path(__file__).parent / "peer" / "__main__.py"
"""What runs there."""
QUIET = {"PYTHONDONTWRITEBYTECODE": "1", "GGML_NO_BACKTRACE": "1"}
"""The process writes nothing beside our sources, and an assertion calls no debugger."""
BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Bytes of a number in a cache: a block of 32 has a scale of 16 bits beside it."""


def find_llamacpp() -> Path | None:
    """The Python of llama.cpp's environment: ``$KVBOOK_LLAMACPP``, or what `make llamacpp` made.

    Raises
    ------
    ExecutionError
        ``KVBOOK_LLAMACPP`` names no file.
    """
    given = os.environ.get("KVBOOK_LLAMACPP")
    python = Path(given or python_of("llamacpp"))
    if python.is_file():
        return python
    if given:
        raise ExecutionError(f"KVBOOK_LLAMACPP={given}: there is no such Python; make llamacpp")
    return None


class LlamaCpp:
    """A model in llama.cpp, in a ``with`` block: the process of llama.cpp runs within it.

    Parameters
    ----------
    gguf : str or Path
        The model: see `kvbook.ondevice.weights.gguf_of`.
    threads : int, optional
        Threads that compute together; as many as torch has here when left out.

    Attributes
    ----------
    facts : dict
        ``version`` of the wheel, ``vocabulary`` (tokens), ``weights_bytes``, ``context_length``
        (tokens that it was trained for) and ``ends`` (tokens that end an answer).

    Raises
    ------
    ParameterError
        There is no such file, or ``threads`` is below 1.
    ExecutionError
        There is no environment, another version in it, no AVX2, or the file is no model.

    Examples
    --------
    >>> with LlamaCpp(gguf_of(lm)) as llama:
    ...     context = llama.open(1024, cache="q8_0")
    ...     logits = context.read(llama.tokenize("What is a KV cache?"), start=0)
    """

    def __init__(self, gguf: str | Path, threads: int | None = None):
        self.gguf = Path(gguf).expanduser()
        if not self.gguf.is_file():
            raise ParameterError(f"there is no file {self.gguf}: give a model in GGUF")
        if threads is not None and threads < 1:
            raise ParameterError(f"threads={threads}: give at least 1")
        self.threads = threads or _threads()
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> "LlamaCpp":
        python = find_llamacpp()
        if python is None:
            raise ExecutionError(
                "llama.cpp's environment is not there: run `make llamacpp` in the clone (seconds, no "
                "compiler), or set KVBOOK_LLAMACPP to a Python that has it"
            )
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [str(python), str(PEER), str(self.gguf)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment_of_another_python() | waiting() | QUIET,
            start_new_session=True,  # Ctrl-C is for us: we end, and it sees that
        )
        try:
            self.facts = self._hear()[0]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            with contextlib.suppress(OSError):  # what was not written, nobody waits for
                stream.close()

    def ask(self, do: str, data: bytes = b"", **job) -> tuple[Any, bytes]:
        """One of the peer's calls: what it answers, and bytes that go with it.

        Raises
        ------
        ParameterError
            llama.cpp refuses it.
        ExecutionError
            The process has ended.
        """
        line = json.dumps({"do": do, "bytes": len(data)} | job).encode() + b"\n" + data
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise ExecutionError(self._end()) from None
        return self._hear()

    def _hear(self) -> tuple[Any, bytes]:
        line = self._process.stdout.readline()
        if not line:
            raise ExecutionError(self._end())
        words = json.loads(line)
        if "error" in words:
            kind = ParameterError if self.facts else ExecutionError  # those of the call, or of all
            raise kind(words["error"])
        return words["ok"], self._process.stdout.read(words["bytes"])

    def _end(self) -> str:
        """Why the process is no more."""
        if self._said.closed:
            return "llama.cpp's process is over: talk to it within its `with` block"
        code = self._process.wait()
        why = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        assertion = [line for line in lines if "ASSERT" in line]
        return f"llama.cpp ended by {why}: {(assertion or lines[-1:] or ['it said nothing'])[0]}"

    def tokenize(self, text: str, special: bool = True) -> list[int]:
        """Token ids of a text; ``special``: whether ``<|im_end|>`` in it is a token."""
        return self.ask("tokenize", text=text, special=special)[0]

    def pieces(self, ids: Sequence[int], special: bool = False) -> list[bytes]:
        """The bytes of each token: one may be half a character."""
        found = self.ask("pieces", ids=list(ids), special=special)[0]
        return [piece.encode("latin-1") for piece in found]

    def text(self, ids: Sequence[int], special: bool = False) -> str:
        """What tokens say; ``special``: whether ``<|im_end|>`` is shown."""
        return b"".join(self.pieces(ids, special)).decode(errors="replace")

    def memory(self, forget: bool = False) -> dict[str, int]:
        """Bytes of the process: ``now``, and the ``most`` since it began, or since ``forget``."""
        return self.ask("memory", forget=forget)[0]

    def open(
        self,
        entries: int,
        cache: CacheType = "f16",
        *,
        flash: Literal["auto", "on", "off"] = "auto",
        batch: int = BATCH,
    ) -> "Context":
        """A new cache, empty.

        Parameters
        ----------
        entries : int
            That it has room for; llama.cpp rounds up to a multiple of 256.
        cache : {"f32", "f16", "q8_0", "q4_0"}
            What keys and values are stored in. Quantised values need flash attention.
        flash : {"auto", "on", "off"}
            Flash attention; ``"auto"`` is llama.cpp's choice.
        batch : int
            Most tokens that are read in one step.

        Raises
        ------
        ParameterError
            Another type, no room at all, or what llama.cpp refuses.
        """
        if cache not in get_args(CacheType):
            raise ParameterError(
                f"cache={cache!r}: give {', '.join(map(repr, get_args(CacheType)))}"
            )
        if flash not in ("auto", "on", "off"):
            raise ParameterError(f"flash={flash!r}: give 'auto', 'on' or 'off'")
        for name, value in {"entries": entries, "batch": batch}.items():
            if type(value) is not int or value < 1:
                raise ParameterError(f"{name}={value!r}: give a whole number of at least 1")
        settings: dict[str, Any] = dict(
            entries=entries, batch=min(batch, entries), keys=cache, values=cache
        )
        number, _ = self.ask("open", **settings, flash=flash, threads=self.threads)
        return Context(self, number, entries, cache, flash)


@dataclass(frozen=True)
class Spent:
    """What reading took: seconds of the clock and of all cores, and how many tokens it was."""

    seconds: float
    cpu: float
    tokens: int


class Context:
    """A cache in llama.cpp, and what its C API can do to it. Sequence 0 is the conversation.

    Attributes
    ----------
    entries : int
        That it has room for.
    cache : str
        What they are stored in.
    flash : str
        Flash attention, as it was asked for.
    spent : list of Spent
        One for every `read`.
    """

    def __init__(self, llama: LlamaCpp, number: int, entries: int, cache: CacheType, flash: str):
        self.llama, self.number = llama, number
        self.entries, self.cache, self.flash = entries, cache, flash
        self.spent: list[Spent] = []

    def _ask(self, do: str, data: bytes = b"", **job) -> tuple[Any, bytes]:
        return self.llama.ask(do, data, context=self.number, **job)

    def read(
        self, ids: Sequence[int], start: int, *, sequence: int = 0, logits: Logits = "last"
    ) -> np.ndarray:
        """Read tokens at position ``start`` and after (``llama_decode``).

        Parameters
        ----------
        ids : sequence of int
            At least one.
        start : int
            Positions of a sequence only go on: behind its last one.
        sequence : int
            1 to read something that is to go between the conversation's entries.
        logits : {"last", "all", "none"}
            Which are wanted.

        Returns
        -------
        ndarray [vocabulary], or [tokens, vocabulary]
            The logits, float32; empty for ``"none"``.

        Raises
        ------
        ParameterError
            No room, or positions that do not go on.
        """
        job: dict[str, Any] = dict(
            ids=[int(i) for i in ids], start=start, sequence=sequence, logits=logits
        )
        spent, data = self._ask("read", **job)
        self.spent.append(Spent(spent["seconds"], spent["cpu"], len(ids)))
        rows = np.frombuffer(data, np.float32).reshape(-1, self.llama.facts["vocabulary"])
        return rows[-1] if logits == "last" else rows

    def remove(self, start: int, stop: int = -1, sequence: int = 0) -> None:
        """Take the entries at ``start`` to before ``stop`` out; to the end where ``stop`` is -1."""
        self._ask("remove", start=start, stop=stop, sequence=sequence)

    def shift(self, start: int, steps: int) -> None:
        """Move all entries from ``start`` on by ``steps`` positions: their keys are rotated when
        something is read next."""
        self._ask("shift", start=start, stop=-1, steps=steps)

    def copy(self, source: int, target: int, start: int = -1, stop: int = -1) -> None:
        """Let entries of one sequence be of another, too: their bytes are not copied."""
        self._ask("copy", source=source, target=target, start=start, stop=stop)

    def clear(self) -> None:
        """Forget all entries."""
        self._ask("clear")

    def span(self) -> tuple[int, int]:
        """The least and the greatest position; -1 where there is none."""
        least, greatest = self._ask("span")[0]
        return least, greatest

    def state_bytes(self) -> int:
        """Bytes of the entries as llama.cpp writes them, with its few words about them."""
        return self._ask("state_bytes")[0]

    def state(self) -> bytes:
        """The entries, as llama.cpp writes them; with no shift pending, see `kvbook.ondevice.bounded`."""
        return self._ask("state")[1]

    def set_state(self, data: bytes) -> None:
        """Put entries back.

        Raises
        ------
        ParameterError
            They do not fit: another type of cache, another attention, or less room.
        """
        if not self._ask("set_state", data)[0]:
            raise ParameterError(
                f"llama.cpp does not take these entries into a cache of type {self.cache} with room for "
                f"{self.entries}"
            )

    def close(self) -> None:
        """Give its memory back."""
        self.llama.ask("close", context=self.number)


def _threads() -> int:
    import torch

    return torch.get_num_threads()
