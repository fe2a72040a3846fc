"""The digest of a user's code: the same only where what it does is known to be the same."""

import importlib
import os
import subprocess
import sys
from functools import partial

import pytest

from kvbook.tasks.own_code import code_digest

MODULE = """
LIMIT = {limit}


class Mine:
    def keep(self, seen):
        return seen[:LIMIT]


def cut(ids, most, first=0):
    return ids[first:most]


def made(n):
    return lambda ids, most: ids[:n]


class Summarizer:
    def __init__(self, most):
        self.most = most

    def __call__(self, ids, most):
        return ids[: self.most]

    def cut(self, ids, most):
        return ids[: self.most]


class Slots:
    __slots__ = ("most",)
"""
LONG_AGO = (1e9, 1e9)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Import the module with this limit, as a file of some time ago."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(limit=3, times=LONG_AGO):
        path = tmp_path / "written_by_a_user.py"
        path.write_text(MODULE.format(limit=limit))
        os.utime(path, times)
        sys.modules.pop(path.stem, None)
        importlib.invalidate_caches()
        return importlib.import_module(path.stem)

    yield write
    sys.modules.pop("written_by_a_user", None)


def test_the_same_file_has_the_same_digest_in_every_process(written, tmp_path):
    mine = code_digest(written().Mine)
    assert mine == code_digest(written().Mine)
    code = (
        "from kvbook.tasks.own_code import code_digest\n"
        "from written_by_a_user import *; print(code_digest(Mine))"
    )
    where = os.pathsep.join([str(tmp_path), *sys.path])
    for seed in ("1", "2"):
        variables = os.environ | {"PYTHONPATH": where, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=variables
        )
        assert done.stdout.strip() == mine, done.stderr


def test_another_line_anywhere_in_the_file_is_another_digest(written):
    assert code_digest(written(limit=3).Mine) != code_digest(written(limit=4).Mine)


def test_a_file_that_was_changed_since_we_began_may_not_be_what_runs(written):
    mine = written(times=None).Mine
    assert code_digest(mine) != code_digest(mine)


@pytest.mark.parametrize(
    "make",
    [
        lambda module, n: module.made(n),
        lambda module, n: partial(module.cut, first=n),
        lambda module, n: partial(module.made(n), first=1),
        lambda module, n: module.Summarizer(n),
        lambda module, n: module.Summarizer(n).cut,
    ],
)
def test_what_it_was_made_with_counts(written, make):
    module = written()
    assert code_digest(make(module, 3)) == code_digest(make(module, 3))
    assert code_digest(make(module, 3)) != code_digest(make(module, 4))


@pytest.mark.parametrize(
    "thing",
    [
        lambda module: module.Summarizer(module.Summarizer(3)),
        lambda module: partial(module.cut, first=object()),
        lambda module: module.Slots(),
        lambda module: len,
        lambda module: str.split,
    ],
)
def test_what_cannot_be_compared_is_never_the_same(written, thing):
    one = thing(written())
    assert code_digest(one) != code_digest(one)


def test_what_was_typed_in_a_shell_is_never_the_same():
    space = {"__name__": "__console__"}
    exec(MODULE.format(limit=3), space)
    assert code_digest(space["Mine"]) != code_digest(space["Mine"])
