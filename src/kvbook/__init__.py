"""kvbook: KV-cache compression methods on transformers models, and the book that explains them.

>>> from kvbook import load_model, create_method
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach(  # torch is imported only when it is needed
    __name__,
    submod_attrs={
        "engine.panel": ["Panel"],
        "methods": ["create_method"],
        "lm.models": ["load_model"],
    },
)
