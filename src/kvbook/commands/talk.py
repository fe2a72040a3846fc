"""What `kvbook chat` does: read a line, stream an answer, and show what the cache holds."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from kvbook.chat import Chat
from kvbook.chat.saved import Contents
from kvbook.commands.grid import make_methods
from kvbook.commands.terminal import err, out
from kvbook.errors import KvbookError, ParameterError
from kvbook.files import check_writable
from kvbook.lm.models import load_model
from kvbook.ondevice import DeviceChat

HELP = """  /cache        what the cache holds now
  /save FILE    write the conversation to a file; go on with kvbook chat --resume FILE
  /quit         end (so does the end of input)"""


def begin(
    engine: str,
    method: str,
    budget: str,
    parameters: Sequence[str],
    model: str,
    settings: dict[str, str],
) -> Chat | DeviceChat:
    """A new chat from the words of a command line; everything is checked before a model is loaded."""
    [made] = make_methods([method], [budget], parameters)
    if engine == "llamacpp":
        return DeviceChat(made, model, **settings)
    return Chat(load_model(model), made)


def go_on(engine: str, path: Path, model: str) -> Chat | DeviceChat:
    """A saved chat."""
    if engine == "llamacpp":
        return DeviceChat.load(path, model)
    return Chat.load(path, load_model(model))


def talk(chat: Chat | DeviceChat, new_tokens: int, save: Path | None = None) -> None:
    """Answer a line after another until input ends.

    Parameters
    ----------
    new_tokens : int
        Most of an answer.
    save : Path, optional
        Written after every turn.
    """
    if save:
        check_writable(save.parent)
    asks = sys.stdin.isatty()
    with chat:
        err.print(f"[dim]{escape(_opening(chat))}; /help for more[/]", highlight=False)
        for turn in chat.turns[-1:]:
            err.print(f"[dim]… {escape(turn.user)}\n{escape(turn.assistant)}[/]", highlight=False)
        while True:
            if asks:
                err.print("[bold]> [/]", end="")
            line = sys.stdin.readline()
            if not line:
                return
            text = line.strip()
            if text in ("/quit", "/exit"):
                return
            try:
                if text.startswith("/"):
                    _command(chat, text)
                elif text:
                    _turn(chat, text, new_tokens, save)
            except KvbookError as error:  # this line was not for it; the next one may be
                if not asks:
                    raise
                err.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)


def _opening(chat: Chat | DeviceChat) -> str:
    engine = "llama.cpp" if isinstance(chat, DeviceChat) else "PyTorch"
    budget = getattr(chat.method, "budget", None)
    bound = f", at most {budget} entries a layer" if budget else ""
    return f"{engine}, {chat.method.name}{bound}"


def _turn(chat: Chat | DeviceChat, text: str, new_tokens: int, save: Path | None) -> None:
    def show(piece: str) -> None:
        print(piece, end="", flush=True)

    chat.say(text, max_new_tokens=new_tokens, stream=show)
    print(flush=True)
    if save:
        chat.save(save)


def _command(chat: Chat | DeviceChat, line: str) -> None:
    try:
        word, *rest = shlex.split(line)
    except ValueError as error:
        raise ParameterError(f"{line}: {error}") from None
    if word == "/help":
        out.print(HELP, highlight=False)
    elif word == "/cache":
        _show(chat.contents())
    elif word == "/save" and len(rest) == 1:
        chat.save(Path(rest[0]))
        out.print(f"saved to {escape(rest[0])}", highlight=False)
    else:
        raise ParameterError(f"{line}: there is no such command; they are:\n{HELP}")


def _show(held: Contents) -> None:
    """The parts of a cache, as text."""
    waiting = f", {held.waiting} evicted tokens wait for a summary" if held.waiting else ""
    out.print(f"{held.entries} entries, {held.kv_bytes / 2**20:.2f} MiB{waiting}", highlight=False)
    for name in ("sinks", "summary", "recent"):
        if text := getattr(held, name):
            out.print(f"[bold]{name:8}[/]{escape(repr(text))}", soft_wrap=True, highlight=False)
