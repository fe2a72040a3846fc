"""`kvbook finetune`: from files of dialogues to a merged model."""

from pathlib import Path
from typing import Annotated

import typer

from kvbook.commands.terminal import interruptible, out, print_notes, print_paths, print_table


def finetune(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Rows to learn, .jsonl or .json (Alpaca's, ShareGPT's or OpenAI's form); "
            "left out: the embedded medical ones.",
            show_default=False,
        ),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Rows to ask; goes with --data.", show_default=False)
    ] = None,
    general: Annotated[
        Path | None,
        typer.Option(
            help="Rows of other kinds, to see what is forgotten. Left out: the embedded ones "
            "beside the embedded data.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="smollm2-135m, a hub id, or a folder.")
    ] = "smollm2-135m",
    output: Annotated[
        Path, typer.Option(help="Folder for adapter, checkpoints, merged model and scores.")
    ] = Path("kvbook-runs/finetune"),
    backend: Annotated[str, typer.Option(help="trl or llamafactory.")] = "trl",
    config: Annotated[
        Path | None,
        typer.Option(help="Training keys; left out: kvbook's lora.yaml.", show_default=False),
    ] = None,
    parameter: Annotated[
        list[str],
        typer.Option("-p", "--parameter", help="key=value, in place of the file's; repeatable."),
    ] = [],  # noqa: B006
    items: Annotated[int, typer.Option(min=1, help="Test rows to ask, from the first.")] = 64,
    gguf: Annotated[
        str | None,
        typer.Option(help="Also export model.gguf: f32, f16, bf16 or q8_0.", show_default=False),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete what is in the folder, and begin anew.")
    ] = False,
) -> None:
    """Fine-tune a chat model with LoRA, merge it, and say what it gained and forgot; resumed
    after an interruption."""
    with interruptible("training is kept up to its last checkpoint; the same command goes on"):
        from kvbook.commands.finetune_prepare import prepare_finetuning
        from kvbook.commands.finetune_run import run_finetuning

        prepared = prepare_finetuning(
            data=data,
            test=test,
            general=general,
            model=model,
            output=output,
            backend=backend,
            config=config,
            keys=parameter,
            items=items,
            gguf=gguf,
        )
        print_notes(prepared.notes)
        print_table(prepared.rows)
        out.print(prepared.share, highlight=False)
        done = run_finetuning(prepared, fresh=fresh)
    out.print(done.losses, highlight=False)
    print_table(done.rows)
    print_notes(done.notes)
    print_paths(
        adapter=done.trained.adapter, model=done.merged, gguf=done.gguf, numbers=done.numbers
    )
