"""Errors whose message is meant for the user: what was given, what is allowed, what to do."""


class KvbookError(Exception):
    """Base of all errors that kvbook raises on purpose."""


class ModelError(KvbookError):
    """A model cannot be found, downloaded or read."""


class ParameterError(KvbookError, ValueError):
    """A parameter has an unknown name, or a value that is not allowed."""


class ResultError(KvbookError):
    """A results file is missing, damaged, or of another schema."""


class ExecutionError(KvbookError):
    """A notebook failed while it was executed."""


class UnsupportedError(KvbookError, ValueError):
    """A model or a call that the engine cannot serve."""


class BrowserError(KvbookError):
    """No browser is found, or a page does not work in it."""


def wanted(what: str, given, instead: str) -> ParameterError:
    """The error for something of another kind than a function takes.

    Parameters
    ----------
    what : str
        The kind, such as ``"a method"``.
    given
        What came in its place.
    instead : str
        What to give, as one would type it.
    """
    if isinstance(given, type):
        said = f"the class {given.__name__}"
    elif given is None or isinstance(given, str):
        said = repr(given)
    else:
        said = f"something of type {type(given).__name__}"
    return ParameterError(f"{what} is wanted, not {said}: give {instead}")
