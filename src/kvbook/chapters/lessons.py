"""How long the commands of the teacher's page take, one after the other, on an idle machine.

``python -m kvbook.chapters.lessons`` runs all of them and keeps their times; the page shows the kept ones.
"""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from IPython.display import HTML
from tqdm import tqdm

from kvbook import results
from kvbook.errors import ExecutionError
from kvbook.lm.models import EMBEDDED
from kvbook.places import place
from kvbook.results import ResultFile
from kvbook.show.tables import code, table
from kvbook.tasks.needle import read_essays
from kvbook.texts import read_text

NAME = "lessons"
"""Of the results file."""
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.M | re.S)
PROGRAM = ".venv/bin/kvbook"
PROMPT_FILE, PROMPT_WORDS = "class.txt", 350
"""What the page calls the class's own prompt, and how many words of an essay stand for it: a page."""
FACT = "The key of the old library lies under the blue stone."


def lesson_commands(page: str) -> list[list[str]]:
    """The commands of `kvbook` in a page, in its order, without what only opens a browser; each once.

    >>> lesson_commands("```bash\\n.venv/bin/kvbook run h2o -p x=1  # first\\nls\\n```")
    [['run', 'h2o', '-p', 'x=1']]
    """
    found: dict[tuple[str, ...], None] = {}
    for block in BLOCK.findall(page):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == [PROGRAM]:
                found[tuple(word for word in words[1:] if word != "--open")] = None
    return [list(command) for command in found]


def time_commands(commands: Sequence[Sequence[str]], prompt: str) -> list[dict]:
    """Run commands in an empty folder, each in a process of its own.

    Parameters
    ----------
    prompt : str
        What stands in the file `PROMPT_FILE`.

    Returns
    -------
    list of dict
        ``command``, ``seconds`` by the clock, and ``cpu_seconds`` of all cores.

    Raises
    ------
    ExecutionError
        A command failed; nothing is kept then.
    """
    taken = []
    with TemporaryDirectory() as folder:
        Path(folder, PROMPT_FILE).write_text(prompt, encoding="utf-8")
        for command in tqdm(commands, desc="lessons", unit="command"):
            started, used = time.perf_counter(), results.cpu_seconds()
            program = [sys.executable, "-m", "kvbook.commands", *command]
            done = subprocess.run(program, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                raise ExecutionError(f"kvbook {shlex.join(command)} failed:\n{done.stderr[-2000:]}")
            taken.append(
                {
                    "command": shlex.join(command),
                    "seconds": time.perf_counter() - started,
                    "cpu_seconds": results.cpu_seconds() - used,
                }
            )
    return taken


def class_prompt(words: Sequence[str]) -> str:
    """A text as a class may write it: the first words of an essay, an odd fact in their middle, and behind
    them a question with the beginning of its answer."""
    half = PROMPT_WORDS // 2
    first, second = " ".join(words[:half]), " ".join(words[half:PROMPT_WORDS])
    return f"{first} {FACT} {second}\n\nQuestion: Where does the key lie?\nAnswer: The key lies under the"


def times_table(kept: ResultFile) -> HTML:
    """How long each command took, as a table."""
    machine, started = kept.provenance.machine, kept.provenance.started
    commands: Any = kept.data["commands"]
    rows = [
        {
            "command": code(f"kvbook {one['command']}"),
            "by the clock": f"{one['seconds']:.0f} s",
            "CPU time": f"{one['cpu_seconds']:.0f} s",
        }
        for one in commands
    ]
    caption = f"one run each, {machine['cpu']}, {machine['cores']} cores, {started:.10}"
    return table(rows, "measured", caption)


def main() -> None:
    """Time the commands of the teacher's page and keep what they took."""
    commands = lesson_commands(read_text(place("book") / "teaching.md"))
    asked = {"model": EMBEDDED, "seed": 0, "prompt_words": PROMPT_WORDS}
    taken = time_commands(commands, class_prompt(" ".join(read_essays(place("data"))).split()))
    results.save(NAME, {"commands": taken}, parameters=asked, directory=results.kept_dir())


if __name__ == "__main__":
    main()
