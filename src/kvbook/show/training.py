"""LoRA: the matrices that it trains, the losses meanwhile, and what became of a weight."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML, Markdown
from matplotlib.figure import Figure

from kvbook.finetune.matrices import kind_of, lora_numbers
from kvbook.finetune.train import Trained
from kvbook.show.drawing import key
from kvbook.show.said import Said, say
from kvbook.show.style import INK, KEPT, WIDE
from kvbook.show.tables import table

GiB = 2**30
TRAINED = 12
"""Bytes more for each number that is trained: a gradient and AdamW's two means, in float32."""
SMALL, HELD_IN = "#D55E00", "#E69F00"
"""The colours of B and of the rank, and of the loss of the training rows."""


def lora_shapes(d_out: int, d_in: int, rank: int) -> Figure:
    """A frozen matrix and the two that are trained beside it, to scale."""
    height, width = d_out + rank + d_out / 3, d_in + d_out / 2 + rank + d_out / 3
    figure, axes = plt.subplots(figsize=(WIDE, WIDE * height / width))
    gap = d_out / 6

    def draw(x: float, y: float, width: float, height: float, colour: str) -> None:
        alpha = 0.35 if colour == INK else 1
        axes.add_patch(plt.Rectangle((x, y), width, height, color=colour, alpha=alpha))

    draw(0, 0, d_in, d_out, INK)
    axes.text(d_in / 2, d_out / 2, f"W, frozen\n{d_out} × {d_in}", ha="center", va="center")
    above = d_out + gap
    draw(0, above, d_in, rank, KEPT)
    name = f"A: {rank} × {d_in}"
    axes.text(d_in / 2, above + rank + gap / 6, name, ha="center", va="bottom", color=KEPT)
    beside = d_in + gap
    draw(beside, 0, rank, d_out, SMALL)
    name = f"B: {d_out} × {rank}"
    axes.text(beside + rank + gap / 6, d_out / 2, name, rotation=90, va="center", color=SMALL)
    axes.set(
        xlim=(-gap / 4, d_in + 2.4 * gap + rank),
        ylim=(-gap / 4, d_out + 2.2 * gap + rank),
        aspect="equal",
    )
    axes.axis("off")
    return figure


def lora_kinds(layers: Mapping[str, torch.nn.Linear], rank: int, model: str) -> HTML:
    """Every kind of matrix, and what LoRA has beside it.

    Parameters
    ----------
    layers : mapping of str to Linear
        From `kvbook.finetune.matrices.linear_layers`.
    """
    kinds: dict[str, list[torch.nn.Linear]] = {}
    for name, layer in layers.items():
        kinds.setdefault(kind_of(name), []).append(layer)
    rows = []
    for kind, (one, *others) in kinds.items():
        whole, few = one.weight.numel(), lora_numbers(one, rank)
        rows.append(
            {
                "matrix": kind,
                "d_out × d_in": f"{one.out_features} × {one.in_features}",
                "how many": 1 + len(others),
                "numbers in W": f"{whole:,}",
                "in A and B": f"{few:,}",
                "share": f"{few / whole:.1%}",
            }
        )
    caption = f"{model}, rank {rank}: every linear layer of attention and MLP"
    return table(rows, "computed", caption)


def kinds_sentence(layers: Mapping[str, torch.nn.Linear], rank: int) -> Said:
    """For which kind of matrix LoRA is the largest and the smallest share of its numbers."""
    shares = {
        kind_of(name): lora_numbers(layer, rank) / layer.weight.numel()
        for name, layer in layers.items()
    }
    most, least = (choose(shares, key=lambda kind: shares[kind]) for choose in (max, min))
    return say(
        "$A$ and $B$ have {large:.1%} as many numbers as the matrix in `{most}`, and {small:.1%} in `{least}`: the larger both sides of a matrix are, the more LoRA saves.",
        most=most,
        large=shares[most],
        least=least,
        small=shares[least],
    )


def lora_memory(counts: Mapping[str, tuple[int, int]], rank: int) -> HTML:
    """Memory that training needs beside the weights: if everything is trained, and with LoRA.

    Parameters
    ----------
    counts : mapping of str to (int, int)
        By model: all its numbers, and those of its LoRA.
    """
    rows = [
        {
            "model": name,
            "numbers": f"{every / 1e6:,.0f} M",
            "trained by LoRA": f"{few / 1e6:.1f} M",
            "share": f"{few / (every + few):.1%}",
            "weights in bfloat16": f"{2 * every / GiB:.2f} GiB",
            "training everything adds": f"{TRAINED * every / GiB:.2f} GiB",
            "LoRA adds": f"{(4 + TRAINED) * few / GiB:.2f} GiB",
        }
        for name, (every, few) in counts.items()
    ]
    caption = f"rank {rank}; gradients and AdamW's means in float32, and A and B themselves; without activations"
    return table(rows, "computed", caption)


def memory_sentence(counts: Mapping[str, tuple[int, int]]) -> Said:
    """What training adds to the last model of `lora_memory`."""
    name, (every, few) = list(counts.items())[-1]
    return say(
        "Training all of {name} adds {times:.0f} times the memory of its weights; LoRA adds {share:.0%} of it.",
        name=name,
        times=TRAINED / 2,
        share=(4 + TRAINED) * few / (2 * every),
    )


def yaml_file(path: Path) -> Markdown:
    """A file of settings, as it is in the package."""
    text = path.read_text(encoding="utf-8")
    return Markdown(f"```yaml\n{text}```\n*From* `{path.parent.name}/{path.name}`")


# ---- training ------------------------------------------------------------------------------------


def training_sentence(trained: Trained, batch: int) -> Said:
    """How long a training took, and how much it trained."""
    return say(
        "{steps} steps of {batch} rows took **{seconds:.0f} s**; {trainable:,} numbers are trained, **{share:.2%}** of the model with its adapter.",
        steps=trained.steps,
        batch=batch,
        seconds=trained.seconds,
        trainable=trained.trainable,
        share=trained.share,
    )


def loss_curves(trained: Trained, every: int, held_out: int) -> Figure:
    """The losses of a training.

    Parameters
    ----------
    every : int
        Steps over which a training loss is the mean.
    held_out : int
        Rows whose loss is measured meanwhile.
    """
    figure, axes = plt.subplots()
    axes.plot(
        *zip(*trained.train_losses, strict=True),
        color=HELD_IN,
        marker="o",
        markersize=3,
        label=f"training rows, mean of {every} steps",
    )
    axes.plot(
        *zip(*trained.held_out_losses, strict=True),
        color=KEPT,
        marker="s",
        label=f"{held_out} test rows, never trained on",
    )
    axes.set(xlabel="step", ylabel="loss, nats a token")
    key(figure)
    return figure


def held_out_sentence(losses: Sequence[tuple[int, float]]) -> Said:
    """Where the loss of the held-out rows began and ended, and whether it was still falling."""
    (_, first), *_, (final, last) = losses
    best, _ = min(losses, key=lambda one: one[1])
    text = say(
        "On rows that the model never saw, its loss went from **{first:.2f}** to **{last:.2f}** nats a token: it gave the right next token the (geometric) mean probability {before:.1%} at the start, and {after:.1%} at the end.",
        first=first,
        last=last,
        before=math.exp(-first),
        after=math.exp(-last),
    )
    if best == final:
        return say(
            "{text} The lowest held-out loss is the last: the model was still learning when the training stopped.",
            text=text,
        )
    return say(
        "{text} The lowest held-out loss is that of step {best}: after it, the loss of these rows fell no further.",
        text=text,
        best=best,
    )


def again_sentence(seconds: float, same: bool) -> Said:
    """How long the call of a finished training takes, and whether it gives the same losses."""
    if same:
        return say(
            "The same call again took {seconds:.1f} s and gave the same losses.", seconds=seconds
        )
    return say(
        "The same call again took {seconds:.1f} s and gave **other** losses.", seconds=seconds
    )


# ---- what it changed -----------------------------------------------------------------------------


def layer_sentence(name: str, theirs: torch.Tensor, ours: torch.Tensor) -> Said:
    """How far peft's layer and the formula are apart."""
    return say(
        "`{name}`: peft's layer and the formula differ by {difference:.1e} at most, in values up to {largest:.2f}.",
        name=name,
        difference=float((theirs - ours).abs().max()),
        largest=float(ours.abs().max()),
    )


def singular_values(values: Mapping[str, torch.Tensor], rank: int, title: str) -> Figure:
    """The singular values of a matrix and of its change, by name, in falling order."""
    figure, axes = plt.subplots()
    for (name, of), colour in zip(values.items(), (INK, KEPT), strict=True):
        numbers, shown = range(1, len(of) + 1), of.clamp(min=1e-9)
        axes.plot(numbers, shown, color=colour, marker=".", linestyle="none", label=name)
    axes.axvline(rank + 0.5, color=SMALL, linewidth=1, label=f"rank {rank}")
    axes.set(
        xscale="log",
        yscale="log",
        ylim=(1e-2, None),
        xlabel="number of the singular value",
        ylabel="its size",
        title=title,
    )
    key(figure)
    return figure


def dimensions_sentence(values: Mapping[str, torch.Tensor], dimensions: int, rank: int) -> Said:
    """How large the change of a matrix is, and how concentrated.

    Parameters
    ----------
    values : mapping
        Singular values, in falling order, of the matrix and then of its change.
    dimensions : int
        How many of them carry nine tenths of the change.
    """
    whole, change = values.values()
    return say(
        "The largest singular value of the change is {share:.1%} of the matrix's. Of the {rank} dimensions of the change, {dimensions} carry nine tenths of its squared size.",
        share=float(change[0] / whole[0]),
        rank=rank,
        dimensions=dimensions,
    )


def change_map(sizes: Mapping[str, Sequence[float]]) -> Figure:
    """`kvbook.finetune.matrices.change_sizes`, a row a kind of matrix and a column a layer."""
    figure, axes = plt.subplots(figsize=(WIDE, 2.8))
    image = axes.imshow(np.array([*sizes.values()]), aspect="auto", cmap="cividis")
    axes.set_yticks(range(len(sizes)), list(sizes))
    axes.set(xlabel="layer", title="size of the change, as a share of the matrix (Frobenius norms)")
    figure.colorbar(image)
    return figure


def change_sentence(sizes: Mapping[str, Sequence[float]]) -> Said:
    """How much the matrices changed on average, and which changed most.

    Parameters
    ----------
    sizes : mapping
        From `kvbook.finetune.matrices.change_sizes`.
    """
    every = [(size, kind, layer) for kind, of in sizes.items() for layer, size in enumerate(of)]
    largest, kind, layer = max(every, key=lambda one: one[0])
    return say(
        "Over all matrices the change is {mean:.1%} of the matrix on average. It is largest in `{kind}` of layer {layer}, with {largest:.1%}.",
        mean=float(np.mean([size for size, *_ in every])),
        kind=kind,
        layer=layer,
        largest=float(largest),
    )


def file_sizes(sizes: Mapping[str, int]) -> HTML:
    """What there is to ship, in bytes by name."""
    rows = [{"file": name, "MiB": f"{size / 2**20:.1f}"} for name, size in sizes.items()]
    caption = "files to ship; GGUF is the format of llama.cpp, which runs on a phone"
    return table(rows, "measured", caption)


def sizes_sentence(sizes: Mapping[str, int], adapter: str) -> Said:
    """What the adapter takes beside the smallest file of a whole model.

    Parameters
    ----------
    sizes : mapping of str to int
        As for `file_sizes`.
    adapter : str
        The name of the only file there that is no whole model.
    """
    smallest = min((name for name in sizes if name != adapter), key=lambda name: sizes[name])
    return say(
        "The smallest whole model is {smallest}, with {mib:.1f} MiB. The adapter has {share:.0%} of that, and needs the base model beside it.",
        smallest=smallest,
        mib=sizes[smallest] / 2**20,
        share=sizes[adapter] / sizes[smallest],
    )


def stock_phrase_sentence(answers: Sequence[Mapping[str, str]], word: str, in_english: str) -> Said:
    """How many answers have a word that is frequent in the data.

    Parameters
    ----------
    answers : sequence of mapping
        Texts ``before`` and ``after`` the training, and the ``reference``.
    """
    counts = {
        part: sum(word in one[part] for one in answers) for part in ("before", "after", "reference")
    }
    return say(
        "The word {word} ({in_english}) is in {before} of {all} answers before the training and in {after} after it; it is in {reference} of the references.",
        word=word,
        in_english=in_english,
        all=len(answers),
        **counts,
    )
