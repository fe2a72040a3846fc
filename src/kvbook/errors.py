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
