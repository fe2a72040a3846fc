"""Output that cannot fail what was computed: any terminal's encoding, and a pipe that nobody reads.

``kvbook evaluate ... | head -3`` closes its output long before the last item is measured. What is
printed then is lost, what is measured is not, and the exit code is that of the work.
"""

import codecs
import io
import sys
from typing import TextIO

SIGNS = {"–": "-", "—": "-", "−": "-", "…": "...", "×": "x", "≈": "~", "≥": ">=", "≤": "<="}
"""What a terminal without Unicode is shown instead; other letters are shown as ``\\u4e2d``."""
PLAIN = "kvbook-plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    shown = (SIGNS.get(one, one.encode("ascii", "backslashreplace").decode()) for one in letters)
    return "".join(shown), error.end


class _Unfailing(io.FileIO):
    """A file that never fails what writes to it: it remembers the first error."""

    lost: OSError | None = None

    def write(self, data) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.lost = self.lost or error
            return len(data)


def make_steady() -> None:
    """Let `sys.stdout` and `sys.stderr` take every letter, and outlive their readers."""
    codecs.register_error(PLAIN, _plain)
    sys.stdout, sys.stderr = _steady(sys.stdout), _steady(sys.stderr)


def flush() -> OSError | None:
    """Write out what waits, and tell why something of it could not be: a full disk, but not a
    reader who has gone."""
    if sys.stdout is None:
        return None
    sys.stdout.flush()
    lost = getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "lost", None)
    return None if isinstance(lost, BrokenPipeError) else lost


def _steady(stream: TextIO) -> TextIO:
    try:
        number = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return stream  # none, or a test's
    stream.flush()
    raw = _Unfailing(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=PLAIN,
        line_buffering=stream.isatty() or stream is sys.stderr,
    )
