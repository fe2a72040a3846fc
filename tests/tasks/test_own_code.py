"""The digest of a user's code: it changes when what the code does changes, and only then."""

import subprocess
import sys
from functools import partial

import pytest

from kvbook.tasks.own_code import code_digest

SHELL = """
LIMIT = {limit}


def helper(n):
    return {helper}


class Mine:
    def keep(self, seen):
        "A sentence."
        return [helper(one) for one in seen if one in {{"a", "b", "c"}}][:LIMIT]

    @property
    def chunk(self):
        return {chunk}


def made(n):
    return lambda ids: ids[:n]
"""


def typed(limit=3, helper="n + 1", chunk="8"):
    """What was typed in a shell: there is no file of it."""
    space = {"__name__": "typed_in_a_shell"}
    exec(SHELL.format(limit=limit, helper=helper, chunk=chunk), space)
    return space


def test_the_same_words_have_the_same_digest():
    assert code_digest(typed()["Mine"]) == code_digest(typed()["Mine"])


@pytest.mark.parametrize("change", [{"limit": 4}, {"helper": "n + 2"}, {"chunk": "16"}])
def test_a_change_in_what_is_used_is_another_digest(change):
    assert code_digest(typed(**change)["Mine"]) != code_digest(typed()["Mine"])


def test_what_a_function_was_made_with_counts():
    made = typed()["made"]
    assert code_digest(made(3)) != code_digest(made(4))
    helper = typed()["helper"]
    assert code_digest(partial(helper, 3)) != code_digest(partial(helper, 4))
    assert code_digest(partial(helper, 3)) == code_digest(partial(helper, 3))


def test_objects_that_are_called_differ_by_their_state_and_their_class():
    class Summarizer:
        def __init__(self, most):
            self.most = most

        def __call__(self, ids, most):
            return ids[: self.most]

    assert code_digest(Summarizer(3)) == code_digest(Summarizer(3))
    assert code_digest(Summarizer(3)) != code_digest(Summarizer(4))


def test_another_process_gives_the_same_digest():
    """Although its sets have another order."""
    code = f"from kvbook.tasks.own_code import code_digest\nspace = {{'__name__': 'typed_in_a_shell'}}\nexec({SHELL.format(limit=3, helper='n + 1', chunk='8')!r}, space)\nprint(code_digest(space['Mine']))"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed},
        )
        assert done.stdout.strip() == code_digest(typed()["Mine"]), done.stderr
