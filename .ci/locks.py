"""The locks of make.py's environments, resolved by uv, in whose environment this runs.

`make lock` writes them, for each Python and system that make.py accepts. Versions that are locked
stay, but for what pyproject.toml or an option of uv asks for: `make lock OPTIONS="-P numpy"`.
`make resolve` asks whether each of them has a wheel for every locked package; nothing is installed.
"""

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

from uv import find_uv_bin

HOME = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOME))
from make import LOCKS, OLDEST, SYSTEMS, pythons  # noqa: E402

ASKS = {
    "": ["pyproject.toml", "--extra", "dev"],
    "kvpress": ["kvpress==0.5.5", "gguf"],
    "llamafactory": [
        *("torch==2.13.0", "transformers==5.5.4", "peft==0.18.1", "trl==0.24.0"),
        *("datasets==4.0.0", "accelerate==1.11.0", "matplotlib", "scipy"),
        *("jieba", "nltk", "omegaconf", "rouge-chinese"),
    ],
    "llamacpp": ["xllamacpp==2026.10.11549"],
    "nbgrader": ["nbgrader==0.9.6"],
}
"""What each environment is to have: uv's words for the book's, packages for the others."""
CUDA = re.compile(r"^(cuda|nvidia|triton)[\w-]*==.*\n", re.MULTILINE)
"""Not locked: PyTorch for Linux asks for exact versions of these itself, and its CPU build for none."""
OF_SOURCE = {"connection-pool", "fire", "jieba", "rouge-score", "sqlitedict", "word2number"}
"""Pure Python without a wheel: pip makes one."""
COMPILE = [find_uv_bin(), "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
GLIBC = "manylinux_{}_{}".format(*OLDEST["glibc"])
SYSTEMS_OF_UV = {
    "Linux x86_64": f"x86_64-{GLIBC}",
    "Linux aarch64": f"aarch64-{GLIBC}",
    "Darwin arm64": "aarch64-apple-darwin",
    "Windows AMD64": "x86_64-pc-windows-msvc",
}


def write(*options: str) -> None:
    """All locks anew."""
    for name, lock in LOCKS.items():
        command = [*COMPILE, "--universal", "--python-version", pythons()[0], "-o", lock, *options]
        command += ["-"] if name else ASKS[name]
        subprocess.run(command, cwd=HOME, input="\n".join(ASKS[name]), text=True, check=True)
        text = CUDA.sub("", (HOME / lock).read_text("utf-8"))
        head = (
            f"# Exact versions for Python {pythons()[0]} to {pythons()[-1]}. Made by: make lock\n"
        )
        (HOME / lock).write_text(head + re.sub(r"(?m)^ *#.*\n", "", text), "utf-8")


def check(*environments: str) -> None:
    """The locks of some environments, or of all, for each Python and system."""
    locks = [LOCKS[name] for name in environments or LOCKS]
    lacking = 0
    for lock, python, system in product(locks, pythons(), SYSTEMS):
        why = resolve(lock, python, system)
        print(lock, python, system, why or "resolves", sep=", ", flush=True)
        lacking += bool(why)
    sys.exit(f"{lacking} do not resolve" if lacking else None)


def resolve(lock: str, python: str, system: str) -> str:
    """What a Python and a system have no wheel for; empty where they have all."""
    command = [*COMPILE, lock, "--no-deps"]  # uv wrote down all that the packages ask for
    command += ["--python-version", python, "--python-platform", SYSTEMS_OF_UV[system]]
    locked = re.findall(r"(?m)^[\w.-]+(?===)", (HOME / lock).read_text("utf-8"))
    for name in sorted(set(locked) - OF_SOURCE):
        command += ["--only-binary", name]
    oldest = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "{}.{}".format(*OLDEST["macOS"])}
    for where in (["--offline"], []):  # uv's cache has what was asked for an earlier system
        asked = subprocess.run(
            [*command, *where], cwd=HOME, env=oldest, capture_output=True, text=True
        )
        if not asked.returncode:
            return ""
    return asked.stderr.strip()


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](*sys.argv[2:])
