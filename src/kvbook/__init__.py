"""kvbook: KV-cache compression methods on transformers models, and the book that explains them.

>>> from kvbook import load_model, create_method
"""

from importlib import import_module

__version__ = "0.1.0"
__all__ = ["create_method", "load_model"]

_HOME = {"create_method": "kvbook.methods", "load_model": "kvbook.models"}


def __getattr__(name: str):
    """Import torch only when it is needed: the command line stays quick."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'kvbook' has no attribute {name!r}")
