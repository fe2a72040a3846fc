"""The command line: ``kvbook list | run | check | compare | chat | evaluate | finetune | profile |
gpu-report | bench | book | slides | translation | assignment | laws | doctor``.

A command is a file of this folder, with its options. What takes time to import is imported when it
is needed, so that help comes at once.
"""

import os
import signal
import sys
from typing import Annotated

import typer
from rich.markup import escape

from kvbook import __version__
from kvbook.commands.assignment import assignment
from kvbook.commands.bench import bench
from kvbook.commands.book import book
from kvbook.commands.chat import chat
from kvbook.commands.check import check
from kvbook.commands.compare import compare
from kvbook.commands.doctor import doctor
from kvbook.commands.evaluate import evaluate
from kvbook.commands.finetune import finetune
from kvbook.commands.gpu_report import gpu_report
from kvbook.commands.laws import laws
from kvbook.commands.list import list_chapters
from kvbook.commands.profile import profile
from kvbook.commands.run import run
from kvbook.commands.slides import slides
from kvbook.commands.streams import flush, make_steady
from kvbook.commands.terminal import err, interruptible, out
from kvbook.commands.translation import translation
from kvbook.errors import KvbookError, ParameterError
from kvbook.threads import waiting

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="KV-cache compression methods, and the book that explains them.",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"kvbook {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    pass


app.command("list")(list_chapters)
app.command(add_help_option=False)(run)
for command in (
    compare,
    chat,
    evaluate,
    finetune,
    profile,
    gpu_report,
    bench,
    book,
    slides,
    check,
    translation,
    assignment,
    laws,
    doctor,
):
    app.command()(command)


def main() -> None:
    """The entry point: errors of ours are one message, never a traceback (``KVBOOK_DEBUG=1`` shows it)."""
    os.environ.update(waiting())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as tidy as after Ctrl-C
    make_steady()
    try:
        with interruptible("what was written before is kept"):
            app()
    except KvbookError as error:
        if os.environ.get("KVBOOK_DEBUG"):
            raise
        err.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(2 if isinstance(error, ParameterError) else 1)
    finally:
        if lost := flush():
            print(f"error: the output cannot be written: {lost.strerror}", file=sys.stderr)
            sys.exit(1)


if __name__ == "__main__":
    main()
