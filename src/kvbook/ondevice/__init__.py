"""The methods in llama.cpp, as a phone runs them: a peer process, bounded caches, conversations.

>>> from kvbook.ondevice import DeviceChat
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bounded": [
            "BoundedCache",
            "FullCache",
            "RereadCache",
            "ShiftedCache",
            "open_cache",
            "write",
        ],
        "chat": ["DeviceChat"],
        "process": ["Context", "LlamaCpp", "find_llamacpp"],
        "summaries": ["ByModel", "Lexical"],
        "weights": ["gguf_of"],
    },
)
