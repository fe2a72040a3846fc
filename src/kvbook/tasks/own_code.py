"""What code of yours does, as a digest: nothing that an older version measured is taken again.

Code in a file is known by the file's text. What was typed in a notebook or a shell has none, and
changes while a session lasts: it is never the same as before, so it is measured anew.
"""

import functools
import hashlib
import json
import sys
import uuid
from pathlib import Path
from types import MethodType

import psutil

from kvbook.tasks.store import digest

STARTED = psutil.Process().create_time()


def code_digest(thing) -> str:
    """Sixteen hexadecimal digits that identify a function, class or object of yours.

    They change when anything in its file changes. They also change with the values that an object
    holds, and with those that a partial or a closure was made with.

    Where such a change cannot be seen, each call gives other digits: there is no file; or the file
    was changed since this process began, so that the code that runs may be older; or a value is
    something else than a number, a text, a list or a dictionary.
    """
    named = thing.func if isinstance(thing, functools.partial) else thing
    named = named if hasattr(named, "__qualname__") else type(named)
    file = getattr(sys.modules.get(getattr(named, "__module__", "")), "__file__", None)
    try:
        path = Path(file or "")
        if path.stat().st_mtime < STARTED:
            text = hashlib.sha256(path.read_bytes()).hexdigest()
            return digest(text, named.__qualname__, json.dumps(_held(thing), sort_keys=True))
    except (OSError, TypeError, ValueError, RecursionError):
        pass
    return uuid.uuid4().hex[:16]


def _held(thing) -> list:
    """What a partial, a closure, a bound method or an object was made with."""
    if isinstance(thing, type):
        return []
    if isinstance(thing, functools.partial):
        return [_held(thing.func), thing.args, thing.keywords]
    if isinstance(thing, MethodType):
        return [_held(thing.__self__)]
    if hasattr(thing, "__qualname__"):
        return [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
    return [vars(thing)]
