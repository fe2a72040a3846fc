"""All methods on somebody's prompt: rows for the terminal, and a page that opens from disk."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from kvbook.chapters.page import make_sheet
from kvbook.commands.grid import make_methods
from kvbook.errors import ParameterError
from kvbook.files import check_writable, write_whole
from kvbook.lm.models import load_model
from kvbook.lm.text import check_text
from kvbook.methods import METHODS
from kvbook.methods.base import resolve_budget
from kvbook.show import families_explorer, table
from kvbook.tasks.header import describe_method
from kvbook.tasks.side_by_side import Compared, try_side_by_side
from kvbook.tasks.trial import Example, as_example
from kvbook.texts import decode, read_text

PIPED = "-"
"""The text that means: what is piped in."""


@dataclass(frozen=True)
class Comparison:
    """What a comparison says.

    Attributes
    ----------
    rows : list of dict of str to str
        A row a method and budget.
    notes : list of str
        What belongs under the table.
    """

    rows: list[dict[str, str]]
    notes: list[str]


def compare_on(
    text: str | None,
    prompt_file: Path | None,
    methods: Sequence[str],
    budgets: Sequence[str],
    parameters: Sequence[str] = (),
    *,
    new_tokens: int,
    model: str,
    page: Path,
) -> Comparison:
    """Compare methods on a prompt, from the words of a command line; the page is written to ``page``.

    Raises
    ------
    ParameterError
        No prompt or two, one that is empty or no text, an unknown method or parameter, a budget
        that a method refuses, a page that cannot be written: before a model is loaded. A prompt
        that is longer than the positions of the model: before it is read.
    """
    prompt = read_prompt(text, prompt_file)
    names = METHODS if "all" in methods else tuple(dict.fromkeys(methods))
    if not names or not budgets:
        raise ParameterError(
            f"nothing to do: give a --method of {', '.join(METHODS)}, or all, and a --budget"
        )
    made = make_methods(names, list(dict.fromkeys(budgets)), parameters)
    if page.suffix != ".html" or page.is_dir():
        raise ParameterError(f"--page {page}: give a file that ends in .html")
    check_writable(page.parent, "--page")
    with tqdm(total=len(made), unit="answer", file=sys.stderr, dynamic_ncols=True) as bar:
        bar.set_description("loading the model")
        lm = load_model(model)
        example = as_example(lm, prompt)
        limit = lm.model.config.max_position_embeddings
        if example.length + new_tokens > limit:
            raise ParameterError(
                f"a prompt of {example.length} tokens and {new_tokens} new ones are more than the "
                f"{limit} positions of {model}: give a shorter prompt"
            )
        bar.set_description(f"reading {example.length} tokens")
        done = try_side_by_side(lm, made, example, new_tokens, bar.update)
    rows = [_row(one, example.length) for one in done]
    notes = _notes(done)
    write_whole(page, _page(done, rows, notes, example))
    return Comparison(rows, notes)


def read_prompt(text: str | None, prompt_file: Path | None) -> str:
    """The prompt of a command line: its text, what is piped in, or a file's.

    Raises
    ------
    ParameterError
        None of them or two, a file that cannot be read, bytes that are no text, nothing in it.
    """
    if (text is None) == (prompt_file is None):
        raise ParameterError(
            'give one prompt: a text in quotes, - for what is piped in, or --prompt-file "file.txt"'
        )
    if prompt_file is not None:
        try:
            prompt = read_text(prompt_file)
        except OSError as error:
            raise ParameterError(
                f"--prompt-file {prompt_file} cannot be read: {error.strerror}"
            ) from None
    elif text == PIPED:
        try:
            prompt = decode(sys.stdin.buffer.read()).replace("\r\n", "\n")
        except ValueError as wrong:
            raise ParameterError(f"what is piped in is {wrong}") from None
    else:
        prompt = check_text(text, "the prompt")
    if not prompt.strip():
        raise ParameterError("the prompt is empty: give it at least one word")
    return prompt


def _row(one: Compared, length: int) -> dict[str, str]:
    run, method = one.trial.run, one.trial.method
    kept = [positions.shape[-1] for positions in run.kept_positions]
    entries = sum(kept) / len(kept)
    mark = "*" if one.readers > 1 else ""
    return {
        "method": method.name,
        "budget": str(getattr(method, "budget", "–")),
        "entries": f"{entries:.0f}",
        "share": f"{100 * entries / length:.0f}%",
        "MiB": f"{run.prompt_bytes / 2**20:.2f}",
        "prefill, s": f"{run.prefill_seconds:.2f}{mark}",
        "ms, token": f"{1000 * run.decode_seconds / run.decode_tokens:.0f}{mark}"
        if run.decode_tokens
        else "–",
        "says": repr(one.trial.text),
    }


def _notes(done: Sequence[Compared]) -> list[str]:
    notes = []
    shared = max(one.readers for one in done)
    if shared > 1:
        notes.append(
            f"* one reading of the prompt, and one batch of new tokens, for {shared} rows: the times "
            "are those of all of them together"
        )
    if not all(one.trial.text.strip() for one in done):
        notes.append(
            "'' is an answer of no words: the model completes the text, and found it complete; let the "
            "prompt end with the beginning of the answer, such as: The key is under the"
        )
    for one in done:
        notes += one.trial.run.notes
        if one.trial.run.summaries:
            told = describe_method(one.trial.method)
            notes.append(f"{told}: holds a summary, which is no part of the prompt; not in the map")
    return notes


def _page(
    done: Sequence[Compared], rows: list[dict[str, str]], notes: list[str], example: Example
) -> str:
    """The table, and the explorer of what is kept: a method without a budget is the same at each."""
    summarised = {one.trial.method.name for one in done if one.trial.run.summaries}
    by_method: dict[str, list[Compared]] = {}
    for one in done:
        if one.trial.method.name not in summarised:
            by_method.setdefault(one.trial.method.name, []).append(one)
    parts = [table(rows, "measured", f"a prompt of {example.length} tokens"), *notes]
    if by_method:
        longest = max(by_method.values(), key=len)
        budgets = [
            resolve_budget(getattr(one.trial.method, "budget", example.length), example.length)
            for one in longest
        ]
        runs = {
            name: [one.trial.run for one in (of if len(of) == len(longest) else of * len(longest))]
            for name, of in by_method.items()
        }
        left = [name for name, of in by_method.items() if of[0].readers > 1]
        right = [name for name in by_method if name not in left]
        if not left or not right:
            half = (len(by_method) + 1) // 2
            left, right = list(by_method)[:half], list(by_method)[half:]
        parts.append(families_explorer(runs, budgets, example.tokens, [left, right]))
    return make_sheet("What each method keeps", *parts)
