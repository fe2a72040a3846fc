"""`kvbook compare`: one prompt, all methods, while the class looks on."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from kvbook.commands.terminal import (
    interruptible,
    print_notes,
    print_paths,
    print_table,
    split_words,
    stack_heads,
)


def compare(
    text: Annotated[
        str | None, typer.Argument(help="The prompt; - is what is piped in.", show_default=False)
    ] = None,
    prompt_file: Annotated[
        Path | None, typer.Option(help="A file that holds the prompt.", show_default=False)
    ] = None,
    method: Annotated[
        list[str],
        typer.Option(
            "--method",
            "--methods",
            help="Methods, with commas between, or all; may be repeated. Left out: all but summarykv, "
            "which takes about as long as the others together.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    budget: Annotated[
        list[str],
        typer.Option(
            "--budget",
            "--budgets",
            help="Entries (64) or fractions (0.1), with commas between; may be repeated.",
        ),
    ] = ["64,128"],  # noqa: B006
    parameter: Annotated[
        list[str],
        typer.Option("-p", "--parameter", help="name=value, for the methods that have it."),
    ] = [],  # noqa: B006
    new_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 16,
    model: Annotated[
        str, typer.Option(help="smollm2-135m, a hub id, or a folder.")
    ] = "smollm2-135m",
    page: Annotated[Path, typer.Option(help="File for the page, with the slider.")] = Path(
        "kvbook-runs/compare.html"
    ),
    open_page: Annotated[
        bool, typer.Option("--open", help="Also open the page in the browser.")
    ] = False,
) -> None:
    """One prompt through all methods: what each says, keeps and costs, and a page with a slider
    over the budgets. Methods that only choose what stays share one reading of the prompt."""
    with interruptible("nothing is kept; fewer --method, --budget or --new-tokens take less time"):
        from kvbook.catalogue import compared_methods
        from kvbook.commands.comparison import compare_on

        done = compare_on(
            text,
            prompt_file,
            split_words(method) if method else compared_methods(),
            split_words(budget),
            parameter,
            new_tokens=new_tokens,
            model=model,
            page=page,
        )
    print_table([stack_heads(row) for row in done.rows], gap=0)
    print_notes(done.notes)
    print_paths(page=page)
    if open_page:
        webbrowser.open(page.resolve().as_uri())
