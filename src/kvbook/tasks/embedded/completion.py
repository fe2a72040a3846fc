"""Code completion (LongBench's ``lcc``): the next line of a module of Python's standard library.

A line is asked for that a reader can know: with the lines just before it, it stands in the
same module once already, 12 to 90 lines earlier, and the context reaches back to there. A
method that evicts the earlier place cannot copy from it. The modules are those of the Python
that runs the builder, whose version is part of every item's ``_id``. They are quoted under
the Python Software Foundation's licence (``data/tasks/LICENSE-PSF.txt``).
"""

import io
import platform
import random
import sysconfig
import tokenize
from functools import cache
from pathlib import Path

from kvbook.tasks.embedded import row

MODULES = ["_pydecimal", "_pyio", "aifc", "argparse", "ast", "asynchat", "base64", "bdb", "calendar", "cgi", "chunk", "cmd", "codecs", "compileall", "configparser", "contextlib", "copy", "csv", "dataclasses", "datetime", "difflib", "dis", "doctest", "enum", "filecmp", "fileinput", "fractions", "ftplib", "functools", "gettext", "gzip", "heapq", "imaplib", "inspect", "ipaddress", "lzma", "mailbox", "mimetypes", "netrc", "nntplib", "ntpath", "optparse", "os", "pathlib", "pdb", "pickle", "pickletools", "platform", "plistlib", "poplib", "posixpath", "pprint", "profile", "pstats", "pyclbr", "pydoc", "queue", "random", "sched", "selectors", "shelve", "shlex", "shutil", "smtplib", "socket", "socketserver", "statistics", "string", "subprocess", "symtable", "tarfile", "telnetlib", "tempfile", "textwrap", "threading", "timeit", "tokenize", "trace", "traceback", "turtle", "typing", "unittest/case", "unittest/mock", "uuid", "wave", "weakref", "xdrlib", "zipfile"]  # fmt: skip
NEAR, FAR = 12, 90
"""How many lines earlier the same line stands."""
SAME = 3
"""Lines before it that are the same there, too."""
LINES = (45, 100)
"""How much is read at least, and at most."""
CHARACTERS = (1800, 3600)
"""The same in characters: 500 to 1200 tokens."""
LONG = 20
"""Characters of the line that is asked for, without blanks."""
PER_MODULE, APART = 2, 100
"""Items of one module at most, and the lines between them at least."""
UNWANTED = ("@", "http", "author", "copyright", "contributed", "written by", "windows", "microsoft", "buildout", "command.com", "linux", "knuth", "/usr")  # fmt: skip
"""What no context holds: addresses, names of people and of products."""


def make(count: int, rng: random.Random) -> list[dict]:
    """Items of this task.

    Parameters
    ----------
    count : int
        How many; no more than two of a module.
    rng : random.Random
        What they are drawn from.
    """
    places = [(module, end, start) for module in MODULES for end, start in _places(_read(module))]
    rng.shuffle(places)
    version = platform.python_version()
    taken: dict[str, list[int]] = {}
    rows: list[dict] = []
    for module, end, earlier in places:
        if len(rows) == count:
            break
        lines = _read(module)
        start = _start(lines, end, earlier)
        answer, context = lines[end], "\n".join(lines[start:end])
        wanted = not any(word in context.lower() for word in UNWANTED)
        new = answer not in [one["answers"][0] for one in rows]
        others = taken.setdefault(module, [])
        apart = len(others) < PER_MODULE and all(abs(end - other) > APART for other in others)
        if start is None or not (wanted and new and apart):
            continue
        others.append(end)
        number = f"{len(rows):02}_{module.replace('/', '.')}_{end + 1}_python{version}"
        rows.append(row("lcc", number, context, [answer], language="python"))
    return rows


@cache
def _read(module: str) -> list[str]:
    """A module's lines; none if this Python has no such module."""
    path = Path(sysconfig.get_path("stdlib")) / f"{module}.py"
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _places(lines: list[str]) -> list[tuple[int, int]]:
    """Every line that is a repetition, and where it stood before.

    Left out are comments, text, and lines whose predecessors are followed by something else
    in between: they could not be known.
    """
    code, found = _code(lines), []
    for i in range(LINES[0], len(lines)):
        before = lines[i - SAME : i]
        if i not in code or len("".join(lines[i].split())) < LONG or not lines[i - 1].strip():
            continue
        same = [j for j in range(max(SAME, i - FAR), i) if lines[j - SAME : j] == before]
        if same and max(same) <= i - NEAR and {lines[j] for j in same} == {lines[i]}:
            found.append((i, max(same)))
    return found


def _code(lines: list[str]) -> set[int]:
    """The lines on which a statement goes on or begins, without comments and long strings."""
    code: set[int] = set()
    text: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
        rows = range(token.start[0] - 1, token.end[0])
        long = token.type == tokenize.STRING and len(rows) > 1
        if token.type == tokenize.COMMENT or long or token.line.strip().startswith(('"', "'")):
            text.update(rows)
        elif token.string.strip():
            code.update(rows)
    return code - text


def _start(lines: list[str], end: int, earlier: int) -> int | None:
    """Where to begin reading: a line before the earlier place, so that the length is right."""
    first = earlier - SAME - 5
    for start in range(max(0, end - LINES[1]), min(first, end - LINES[0]) + 1):
        size = len("\n".join(lines[start:end]))
        if lines[start].strip() and CHARACTERS[0] <= size <= CHARACTERS[1]:
            return start
    return None
