"""What methods are asked to do: LongBench's tasks, the needle, fidelity to full KV, conversations.

>>> from kvbook.tasks import evaluate
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"evaluation": ["TaskResult", "evaluate"]}
)
