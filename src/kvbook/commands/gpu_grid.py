"""Methods on a GPU, compared with the CPU and then measured within a time, into one file that a cut
leaves whole."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from kvbook import results
from kvbook.commands.grid import make_grid
from kvbook.errors import ExecutionError, ParameterError, ResultError
from kvbook.files import check_writable
from kvbook.lm.models import load_model, resolve_device, resolve_dtype
from kvbook.methods import Method
from kvbook.places import PACKAGE
from kvbook.profiling.agreement import Agreement, check_agreement, compare_with_cpu
from kvbook.profiling.gpu import GpuReport
from kvbook.profiling.hardware import Hardware, describe_device, measure_hardware
from kvbook.profiling.profile import Profiled
from kvbook.profiling.within import NO_TIME, Within
from kvbook.tasks.store import is_out_of_memory

DEPENDS_ON = ("python", "torch", "transformers", "kvbook")
"""The versions that a measurement cannot go on without."""


class GpuGrid:
    """What is asked for, checked; `measure` does it.

    Parameters
    ----------
    methods, contexts : sequence of str
        Words of a command line.
    budget : str
        Entries, or a fraction.
    new_tokens, repeats : int
        Tokens of every run, and runs of every method at every context.
    minutes : float
        Minutes in which all must be done, from now on.
    model, dtype, device : str
        As in `kvbook.load_model`; ``"auto"`` is CUDA.
    output : Path
        The file.

    Raises
    ------
    ParameterError
        No such device, method or file, or a context that is no number; before anything runs.
    """

    def __init__(
        self,
        methods: Sequence[str],
        contexts: Sequence[str],
        budget: str,
        *,
        new_tokens: int,
        repeats: int,
        minutes: float,
        model: str,
        dtype: str,
        device: str,
        output: Path,
    ):
        self.until = time.monotonic() + 60 * minutes
        self.budget, self.output = budget, output
        self.methods = self._make(methods)
        wrong = [one for one in contexts if not one.isdecimal() or int(one) < 1]
        if wrong or not contexts:
            raise ParameterError(
                f"--contexts {','.join(wrong)}: give numbers of tokens with commas between, such "
                "as 8192,32768"
            )
        self.contexts = sorted({int(one) for one in contexts})
        if output.is_dir() or output.suffix != ".json":
            raise ParameterError(f"--output {output}: give a file that ends in .json")
        self.device = find_device(device)
        self.model, self.dtype = model, resolve_dtype(dtype, self.device)
        self.new_tokens, self.repeats, self.minutes = new_tokens, repeats, minutes
        check_writable(output.parent)
        self.notes: list[str] = []
        self.failed = False

    @property
    def header(self) -> dict[str, Any]:
        """What every number depends on: with another one, measuring begins anew."""
        versions = results.versions()
        return {
            "model": self.model,
            "files": files_digest(self.model),
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": describe_device(self.device),
            "versions": {name: versions[name] for name in DEPENDS_ON},
            "code": code_digest(),
            "budget": self.budget,
            "new_tokens": self.new_tokens,
        }

    def measure(self) -> GpuReport:
        """Compare, then measure what is not in the file yet.

        Raises
        ------
        ExecutionError
            The device computes something else than the CPU.
        """
        header, earlier = self.header, self._earlier()
        agreement: dict[str, Any] = dict(earlier.agreement) if earlier else {}
        hardware = earlier.hardware if earlier else None
        done = earlier.measurements if earlier else []
        if new := {name: one for name, one in self.methods.items() if name not in agreement}:
            found = self._compare(new)
            check_agreement(found, header["device"]["name"])
            agreement |= {name: asdict(one) for name, one in found.items()}
        lm = load_model(self.model, dtype=self.dtype, device=str(self.device))
        limit = lm.model.config.max_position_embeddings
        if max(self.contexts) + self.new_tokens > limit:
            self.notes.append(
                f"{max(self.contexts):,} tokens are beyond the {limit:,} positions of this model: "
                "its times and bytes there are as true, its words are not"
            )
        hardware = hardware or measure_hardware(lm)
        measured = {one.method for one in done}
        methods = (self._make(sorted(measured)) if measured else {}) | self.methods
        within = Within(lm, methods, self.new_tokens, hardware, done)

        def keep() -> None:
            self._save(header, agreement, hardware, within)

        keep()
        within.measure(list(self.methods), self.contexts, self.repeats, self.until, keep)
        self.failed = any(one.why != NO_TIME for one in within.left_out)
        return GpuReport.read(results.load(self.output.stem, self.output.parent).data)

    def _make(self, names: Sequence[str]) -> dict[str, Method]:
        return {one.name: one for one in make_grid(names, budgets=[self.budget]).methods}

    def _compare(self, methods: dict[str, Method]) -> dict[str, Agreement]:
        lm = load_model(self.model, dtype="float32", device="cpu")
        try:
            return compare_with_cpu(lm, methods, self.device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        raise ExecutionError(
            f"{self.model} does not fit into memory in float32, in which the device is compared "
            "with the CPU: give a smaller --model, or a larger device"
        )

    def _earlier(self) -> GpuReport | None:
        """What the file has, if all that it depends on is the same; if not, it makes room."""
        try:
            file = results.find(self.output.stem, self.output.parent)
        except ResultError as error:
            aside = self.output.with_name(f"{self.output.stem}.damaged.json")
            self.output.replace(aside)
            self.notes.append(f"beginning anew: {error}; it is in {aside} now")
            return None
        if file is None:
            return None
        header = self.header
        before = file.data.get("header")
        if before == header:
            report = GpuReport.read(file.data)
            count = sum(len(one.end_to_end) for one in report.measurements)
            runs = f"{count} run{'s' * (count != 1)}"
            self.notes.append(f"going on after the {runs} that {self.output} has")
            return report
        known = before if isinstance(before, dict) else {}
        changed = ", ".join(key for key in header if known.get(key) != header[key])
        begun = file.provenance.started[:19].replace(":", "-")
        aside = self.output.with_name(f"{self.output.stem}.{begun}.json")
        self.output.replace(aside)
        self.notes.append(
            f"beginning anew, for these are no longer the same: {changed}; the earlier numbers are "
            f"in {aside}"
        )
        return None

    def _save(self, header: dict, agreement: dict, hardware: Hardware, within: Within) -> None:
        found = Profiled(within.measurements, within.predictions, hardware)
        asked = {
            "model": self.model,
            "methods": list(self.methods),
            "contexts": self.contexts,
            "budget": self.budget,
            "new_tokens": self.new_tokens,
            "repeats": self.repeats,
            "minutes": self.minutes,
        }
        results.save(
            self.output.stem,
            found.data()
            | {
                "header": header,
                "agreement": agreement,
                "left_out": [str(one) for one in within.left_out],
            },
            parameters=asked,
            directory=self.output.parent,
        )


def files_digest(model: str) -> str:
    """A digest of the files in a model's folder, by their names and sizes and by the text of
    ``config.json``; empty where ``model`` is no folder."""
    folder, seen = Path(model), hashlib.sha256()
    if not folder.is_dir():
        return ""
    for path in sorted(one for one in folder.iterdir() if one.is_file()):
        seen.update(f"{path.name} {path.stat().st_size}".encode())
        seen.update(path.read_bytes() if path.name == "config.json" else b"")
    return seen.hexdigest()[:12]


def find_device(device: str) -> torch.device:
    """A device that is there; ``"auto"`` is CUDA, for a report on a GPU is what is asked for.

    Raises
    ------
    ParameterError
        There is no CUDA, with what to do about it.
    """
    asked = "cuda" if device == "auto" else device
    if asked.startswith("cuda") and not torch.cuda.is_available():
        why = (
            "this PyTorch was built without CUDA"
            if torch.version.cuda is None
            else f"built for CUDA {torch.version.cuda}, it finds no GPU, or no driver"
        )
        raise ParameterError(
            f"--device {device}: PyTorch {torch.__version__} sees no CUDA device ({why}). On a "
            "machine without one, `kvbook gpu-report --device cpu --model tiny-random --contexts "
            "128,256 --new-tokens 8` tries the command"
        )
    return resolve_device(asked)


def code_digest() -> str:
    """A digest of the package's own modules: numbers of two versions of the code are not put
    together."""
    seen = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        seen.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return seen.hexdigest()[:12]
