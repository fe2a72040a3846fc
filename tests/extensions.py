"""The book's own extensions of Sphinx, as modules."""

import importlib.util
from types import ModuleType

from kvbook.places import place


def extension(name: str) -> ModuleType:
    """One of ``book/_ext``, under a name that is not the one which Sphinx gives it."""
    path = place("book") / "_ext" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"book_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
