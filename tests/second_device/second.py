"""``make_second()``: PyTorch has a device named ``"second"``, on any machine with a C++ compiler.

It computes what the CPU computes, in the CPU's memory, and refuses to mix tensors of both where CUDA
refuses. `Waits` counts where a GPU would make the host wait. See ``second.cpp``.

It cannot show what CUDA's own kernels round, how much memory they take, or a branch of the
code that asks for ``"cuda"`` by name.
"""

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import types
from collections import Counter
from contextlib import nullcontext
from functools import cache
from importlib.resources import files
from pathlib import Path

import torch
import transformers
import yaml
from filelock import FileLock
from torch.utils import cpp_extension

from kvbook.places import PACKAGE, cache_dir

SOURCE = Path(__file__).with_name("second.cpp")
NAME = "second"
COMPILE_SECONDS = 600
WHERE = (str(PACKAGE), str(Path(transformers.__file__).parent))
LISTENER = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


class NoCompilerError(Exception):
    """There is no C++ compiler, or it does not take the source: another PyTorch, perhaps."""


@cache
def make_second() -> torch.device:
    """The device, compiled once for a PyTorch and a source, and once a process made known.

    Raises
    ------
    NoCompilerError
    """
    try:
        library = ctypes.CDLL(str(compile_second()))
    except OSError as error:
        raise NoCompilerError(f"{SOURCE.name} does not load here: {error}") from None
    torch.utils.rename_privateuse1_backend(NAME)
    for name in _take_scalars():
        library.second_takes_scalars(name.encode())
    library.second_start()
    torch._register_device_module(NAME, _module())
    Waits.library = library
    return torch.device(NAME)


def load_models_there() -> None:
    """From now on `kvbook.load_model` takes this device where a machine with a GPU takes that."""
    from kvbook.lm import models

    named = models.resolve_device
    models.resolve_device = lambda device: make_second() if device == "auto" else named(device)


def compile_second() -> Path:
    """The library in this user's cache; 20 seconds the first time, for whoever asks first.

    Raises
    ------
    NoCompilerError
    """
    words = os.environ.get("CXX") or "c++"
    compiler = shlex.split(words)
    if os.name != "posix" or not shutil.which(compiler[0]):
        raise NoCompilerError(f"no C++ compiler {words!r} here")
    includes = [f"-I{path}" for path in cpp_extension.include_paths()]
    links = [f"-L{path}" for path in cpp_extension.library_paths()]
    if sys.platform == "darwin":
        links += ["-undefined", "dynamic_lookup"]
    flags = ["-std=c++20", "-O1", "-w", "-fPIC", "-shared"]
    command = [*compiler, *flags, *includes, str(SOURCE), *links, "-ltorch", "-ltorch_cpu", "-lc10"]
    what = SOURCE.read_bytes() + repr((command, torch.__version__)).encode()
    name = f"second-{hashlib.sha256(what).hexdigest()[:16]}"
    folder = cache_dir() / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / (name + sysconfig.get_config_var("SHLIB_SUFFIX"))
    with FileLock(folder / f"{name}.lock"):
        if not made.exists():
            part = made.with_suffix(".part")
            done = subprocess.run(
                [*command, "-o", str(part)], capture_output=True, text=True, timeout=COMPILE_SECONDS
            )
            if done.returncode:
                errors = [line for line in done.stderr.splitlines() if "error" in line]
                raise NoCompilerError(f"{SOURCE.name} does not compile here: {errors[:1] or done}")
            part.rename(made)
    return made


def _take_scalars() -> list[str]:
    """The operators that accept a zero-dimensional CPU tensor beside a device's: those whose check
    PyTorch's own list leaves to the kernel."""
    listed = files("torchgen") / "packaged/ATen/native/native_functions.yaml"
    found = yaml.load(listed.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    named = [one["func"].split("(")[0] for one in found if one.get("device_check") == "NoCheck"]
    return [f"aten::{name}" for name in named]


def _module() -> types.ModuleType:
    """What PyTorch calls of a device in Python."""
    module = types.ModuleType(f"torch.{NAME}")
    vars(module).update(
        is_available=lambda: False,  # only who names it gets it
        is_initialized=lambda: True,
        device_count=lambda: 1,
        current_device=lambda: 0,
        set_device=lambda device: None,
        device=lambda device=None: nullcontext(),
        synchronize=lambda device=None: None,
        manual_seed=lambda seed: None,  # its generator is the CPU's
        manual_seed_all=lambda seed: None,
        get_rng_state=lambda device=None: torch.get_rng_state(),
        set_rng_state=lambda state, device=None: torch.set_rng_state(state),
        get_amp_supported_dtype=lambda: [torch.float16, torch.bfloat16],
        _is_in_bad_fork=lambda: False,
        _lazy_init=lambda: None,
    )
    return module


class Waits:
    """Within ``with Waits() as waits``, count what would make the host wait for a GPU.

    Attributes
    ----------
    count : int
        How often.
    places : Counter of str
        Where: the operator, and the line of kvbook or of transformers.
    """

    library = None

    def __enter__(self) -> "Waits":
        self.places = Counter[str]()
        self._heard = LISTENER(self._note)  # held, for C++ does not
        self.library.second_listen(self._heard)
        return self

    def __exit__(self, *error) -> None:
        self.library.second_listen(None)

    @property
    def count(self) -> int:
        return self.places.total()

    def _note(self, why: bytes) -> None:
        frame = sys._getframe(1)
        while frame.f_back and not frame.f_code.co_filename.startswith(WHERE):
            frame = frame.f_back
        place = Path(frame.f_code.co_filename)
        where = place.relative_to(PACKAGE) if place.is_relative_to(PACKAGE) else place.name
        self.places[f"{why.decode()} at {where}:{frame.f_lineno}"] += 1
