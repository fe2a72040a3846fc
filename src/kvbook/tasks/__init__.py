"""What methods are asked to do: LongBench's tasks, the needle, fidelity to full KV, conversations.

>>> from kvbook.tasks import evaluate
"""

from importlib import import_module

__all__ = ["TaskResult", "evaluate"]


def __getattr__(name: str):
    """Import torch only when it is needed, as `kvbook` does."""
    if name in __all__:
        return getattr(import_module("kvbook.tasks.evaluation"), name)
    raise AttributeError(f"module 'kvbook.tasks' has no attribute {name!r}")
