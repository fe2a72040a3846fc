"""A conversation of many turns on one cache, whatever method bounds it.

>>> from kvbook.chat import Chat
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"chat": ["Chat"], "saved": ["Contents", "Turn"]}
)
