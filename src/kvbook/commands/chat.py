"""`kvbook chat`: a conversation in the terminal, on a cache that a method bounds."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kvbook.commands.terminal import interruptible
from kvbook.errors import ParameterError

ON_THE_DEVICE = ("weights", "cache", "how", "summarizer")
"""Options that only llama.cpp has."""


def chat(
    engine: Annotated[
        Literal["torch", "llamacpp"],
        typer.Option(help="PyTorch, or llama.cpp, as a phone runs it (needs make llamacpp)."),
    ] = "torch",
    method: Annotated[
        str | None,
        typer.Option(help="A method; llamacpp has fullkv, streamingllm and summarykv. [summarykv]"),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Entries that a layer holds. [512]", show_default=False)
    ] = None,
    parameter: Annotated[
        list[str], typer.Option("-p", "--parameter", help="name=value, of the method.")
    ] = [],  # noqa: B006
    model: Annotated[
        str, typer.Option(help="smollm2-135m, a folder, a hub id (torch) or a .gguf (llamacpp).")
    ] = "smollm2-135m",
    new_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 128,
    weights: Annotated[
        str | None, typer.Option(help="llamacpp: q4_1, q8_0, f16 or f32. [q4_1]")
    ] = None,
    cache: Annotated[
        str | None, typer.Option(help="llamacpp: the cache in f16, f32, q8_0 or q4_0. [f16]")
    ] = None,
    how: Annotated[
        str | None,
        typer.Option(
            help="llamacpp: shift entries or reread the first ones when some leave. [shift]"
        ),
    ] = None,
    summarizer: Annotated[
        str | None, typer.Option(help="llamacpp: model or lexical. [model]")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="A saved chat to go on with: its method and settings are its own."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="File that is written after every turn.")
    ] = None,
) -> None:
    """Talk to a model whose cache a method bounds, a line a turn; /help says what else there is."""
    own = {
        name: value
        for name, value in zip(ON_THE_DEVICE, (weights, cache, how, summarizer), strict=True)
        if value is not None
    }
    if own and engine == "torch":
        raise ParameterError(f"--{next(iter(own))} is of llama.cpp: give --engine llamacpp, too")
    chosen = [
        name for name, one in (("method", method), ("budget", budget), *own.items()) if one
    ] + ["parameter"] * bool(parameter)
    if resume and chosen:
        raise ParameterError(
            f"--resume has the method and settings of the saved chat: leave out --{chosen[0]}"
        )
    with interruptible("the conversation is over; what was saved is kept"):
        from kvbook.commands.talk import begin, go_on, talk

        if resume:
            made = go_on(engine, resume, model)
        else:
            made = begin(engine, method or "summarykv", budget or "512", parameter, model, own)
        talk(made, new_tokens, save or resume)
