"""The commands of the teacher's page, and how long they took."""

import shlex

import pytest

from kvbook import results
from kvbook.chapters.lessons import (
    FACT,
    NAME,
    class_prompt,
    lesson_commands,
    time_commands,
    times_table,
)
from kvbook.errors import ExecutionError
from kvbook.places import place

PAGE = """
```bash
.venv/bin/kvbook list  # all of them
make slides
.venv/bin/kvbook compare --prompt-file class.txt --open
```

.venv/bin/kvbook run h2o
"""


def test_commands_are_those_of_the_page_that_run_kvbook():
    assert lesson_commands(PAGE) == [["list"], ["compare", "--prompt-file", "class.txt"]]


def test_the_prompt_of_the_class_has_its_fact_between_the_words_and_ends_as_the_answer_begins():
    before, _, after = class_prompt(["word"] * 1000).partition(FACT)
    assert before.count("word") == after.count("word") == 175
    assert after.endswith("lies under the")


def test_each_command_has_its_time_and_finds_the_prompt_of_the_class():
    taken = time_commands([["list"], ["compare", "--prompt-file", "class.txt", "--help"]], "Words.")
    assert [one["command"] for one in taken] == ["list", "compare --prompt-file class.txt --help"]
    assert all(one["seconds"] > 0 and one["cpu_seconds"] > 0 for one in taken)


def test_a_command_that_fails_ends_it_with_its_words():
    with pytest.raises(ExecutionError, match="no-such-chapter"):
        time_commands([["run", "no-such-chapter"]], "Words.")


def test_the_kept_times_are_those_of_the_commands_on_the_page():
    kept = results.load(NAME, results.kept_dir())
    page = lesson_commands((place("book") / "teaching.md").read_text(encoding="utf-8"))
    assert [one["command"] for one in kept.data["commands"]] == [shlex.join(one) for one in page]


def test_the_table_has_a_row_a_command():
    kept = results.load(NAME, results.kept_dir())
    shown = times_table(kept).data
    assert all(one["command"].split()[1] in shown for one in kept.data["commands"])
