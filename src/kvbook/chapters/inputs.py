"""What decides a chapter's numbers, but for the machine. Snakemake and the key of a run ask here.

A notebook's imports are followed through the package. Where that leaves a doubt, too many files
count rather than too few: a chapter executed in vain costs minutes, a stale number costs trust.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import grimp

from kvbook.chapters.registry import Chapter
from kvbook.errors import ResultError
from kvbook.places import PACKAGE, REPOSITORY, place
from kvbook.results import GPU_REPORT
from kvbook.texts import read_json, read_text

RESOURCES = (".js", ".css", ".yaml", ".j2")
"""What else of a folder counts with any module in it: scripts of pictures, keys of a training."""
NOT_IMPORTED = {
    "kvbook.catalogue": ["kvbook.methods"],  # reads their sources
    "kvbook.profiling.beside_kvpress": ["kvbook.profiling.kvpress_peer"],  # executes the file
    "kvbook.ondevice.cost": ["kvbook.ondevice.torch_peer"],  # likewise
    "kvbook.ondevice.process": [  # likewise
        "kvbook.ondevice.peer.__main__",
        "kvbook.ondevice.peer.capi",
        "kvbook.ondevice.peer.status",
    ],
}
"""By module: others that it reaches, but by name."""
EXECUTES = {"kvbook.chapters.execute", "kvbook.threads"}
"""Set the environment of a notebook's process; what else they import has no part in the numbers."""

READS_GPU = "profiling/gpu.py"
"""Whoever uses this module shows the file of ``kvbook gpu-report``."""
ASKS_LLAMACPP = "ondevice/process.py"
"""Whoever uses this module measures more where llama.cpp's environment is."""


def inputs_key(chapter: Chapter, parameters: dict) -> str:
    """A short name of all that decides a chapter's numbers, but for the machine: its parameters
    and `chapter_inputs`.

    Parameters
    ----------
    parameters : dict
        As `kvbook.chapters.resolve.resolve_parameters` gives them.
    """
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for name, path in sorted(chapter_inputs(chapter).items()):
        digest.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def chapter_inputs(chapter: Chapter) -> dict[str, Path]:
    """The files that decide a chapter's numbers, each by a name that is the same in every copy of
    the book: its notebook, what it uses of the package, the data, and the locked versions.

    Kept results are not among them, for a run may write these itself; but that of a GPU, which no
    run of the book writes, counts for the chapters that can read it. No chapter reads the checks
    of its exercises.
    """
    files = {"notebook": chapter.notebook}
    package = _files(_followed(_used(_code(chapter.notebook))) | EXECUTES)
    files |= {f"package/{path.relative_to(PACKAGE)}": path for path in package}
    data = place("data")
    for path in data.rglob("*"):
        name = path.relative_to(data)
        if path.is_file() and name.parts[0] not in ("results", "checks", "README.md"):
            files[f"data/{name}"] = path
    gpu = data / "results" / f"{GPU_REPORT}.json"
    if gpu.is_file() and f"package/{READS_GPU}" in files:
        files[f"data/results/{gpu.name}"] = gpu
    if f"package/{ASKS_LLAMACPP}" in files:
        files["package/ondevice/llamacpp.lock"] = PACKAGE / "ondevice" / "llamacpp.lock"
        ready = REPOSITORY / ".venv-llamacpp" / ".ready"
        if ready.is_file():
            files["llama.cpp is here"] = ready
    lock = REPOSITORY / "requirements.lock"
    return files | ({"lock": lock} if lock.is_file() else {})  # a wheel has none


def imported_files(*scripts: Path) -> set[Path]:
    """The files of the package that some Python files use, however far away, and the resources beside
    them. Whatever is made by these files is made anew when one of them has changed."""
    return _files(_followed(*(_used(read_text(path, ResultError)) for path in scripts)))


def _followed(*used: set[str]) -> set[str]:
    """Modules, and what they use, however far away."""
    modules = set().union(*used)
    return modules.union(*map(_graph().find_upstream_modules, modules))


def _files(modules: set[str]) -> set[Path]:
    """The files of modules, and the resources beside them."""
    files = {_file(module) for module in modules}
    folders = {file.parent for file in files}
    return files | {
        path for folder in folders for path in folder.iterdir() if path.suffix in RESOURCES
    }


@functools.cache
def _graph() -> grimp.ImportGraph:
    """Who imports whom, within functions, too; and who uses whom without an import."""
    graph = grimp.build_graph("kvbook", cache_dir=None)
    used = [(module, other) for module, others in NOT_IMPORTED.items() for other in others]
    for module in graph.modules:
        for importer in graph.find_modules_that_directly_import(module):
            used += [(importer, other) for other in _offered(module).values()]
        if module != "kvbook":
            used.append((module, module.rpartition(".")[0]))  # a package's __init__ runs first
    for module, other in used:
        graph.add_import(importer=module, imported=other)
    return graph


def _code(notebook: Path) -> str | None:
    """The code of a notebook's cells; None where the file is damaged."""
    try:
        cells = read_json(notebook, ResultError)["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    except (OSError, ResultError, LookupError, TypeError):
        return None


def _used(code: str | None) -> set[str]:
    """The modules that some code imports itself; all but the commands where that cannot be read
    off it: damaged, with magics, ``import kvbook``, ``import *``, or a string with one of our names."""
    everything = {name for name in _graph().modules if not name.startswith("kvbook.commands")}
    try:
        tree = ast.parse(code) if code is not None else None
    except (SyntaxError, ValueError):
        tree = None
    if tree is None:
        return everything
    used: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names) if any(_is_ours(alias.name) for alias in names):
                return everything
            case ast.Constant(str(text)) if "kvbook." in text:
                return everything
            case ast.ImportFrom(str(module), [ast.alias("*")]) if _is_ours(module):
                return everything
            case ast.ImportFrom(str(module), names) if module in _graph().modules:
                for alias in names:
                    used |= _imported(module, alias, tree)
    return used


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == "kvbook"


def _imported(package: str, alias: ast.alias, tree: ast.Module) -> set[str]:
    """The modules behind ``from package import alias``, and what the notebook asks of them."""
    module = f"{package}.{alias.name}"
    if module not in _graph().modules:
        return {_offered(package).get(alias.name, package)}
    offered = _offered(module)
    name = alias.asname or alias.name
    mentioned = [one for one in ast.walk(tree) if isinstance(one, ast.Name) and one.id == name]
    asked = [
        one.attr
        for one in ast.walk(tree)
        if isinstance(one, ast.Attribute) and one.value in mentioned
    ]
    if len(asked) < len(mentioned) or not offered.keys() >= set(asked):
        return {module, *offered.values()}  # handed on as a whole
    return {module, *(offered[one] for one in asked)}


@functools.cache
def _offered(module: str) -> Mapping[str, str]:
    """What a package offers without importing it (`lazy_loader`): the module of each name."""
    file = _file(module)
    if file.name != "__init__.py":
        return {}
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.keyword) and node.arg == "submod_attrs":
            offered = ast.literal_eval(node.value)
            return {name: f"{module}.{part}" for part, names in offered.items() for name in names}
    return {}


def _file(module: str) -> Path:
    path = PACKAGE.parent / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
