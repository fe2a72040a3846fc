"""How large a KV cache grows, on paper and in a run."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.engine.attach import Run
from kvbook.lm.costs import ModelShape, kv_bytes
from kvbook.show.drawing import key
from kvbook.show.said import Said, bullets, say
from kvbook.show.tables import table

MiB = 2**20


def cache_table(shapes: Mapping[str, ModelShape], contexts: Sequence[int], caption: str) -> HTML:
    """Models by what decides their cache, and its size at some lengths, in bfloat16."""
    rows = [
        {
            "model": name,
            "layers": shape.layers,
            "KV heads": shape.kv_heads,
            "head size": shape.head_dim,
            "bytes a token": f"{kv_bytes(shape, 1):,}",
        }
        | {f"{n:,} tokens": f"{kv_bytes(shape, n) / MiB:,.0f} MiB" for n in contexts}
        for name, shape in shapes.items()
    ]
    return table(rows, "computed", caption)


def cache_and_weights(shapes: Mapping[str, ModelShape], contexts: Sequence[int]) -> Figure:
    """The cache over its tokens as a line, the weights as a dashed one, in bfloat16."""
    figure, axes = plt.subplots()
    for (name, shape), colour in zip(shapes.items(), ("#0072B2", "#D55E00"), strict=True):
        sizes = [kv_bytes(shape, n) / MiB for n in contexts]
        axes.plot(contexts, sizes, marker="o", color=colour, label=f"{name}: cache")
        weights = shape.parameters * 2 / MiB
        axes.axhline(weights, linestyle="--", color=colour, label=f"{name}: weights")
    axes.set(xscale="log", yscale="log", xlabel="tokens in the cache", ylabel="MiB")
    key(figure)
    return figure


def cache_sentence(shapes: Mapping[str, ModelShape], contexts: Sequence[int]) -> Said:
    """What `cache_and_weights` shows: what a token costs, and the cache beside the weights at the most
    tokens."""
    template = (
        "{model}: {token:,} bytes a token; at {tokens:,} tokens the cache has {times:.1f} times the bytes of "
        "the weights."
    )
    return bullets(
        [
            say(
                template,
                model=name,
                token=kv_bytes(shape, 1),
                tokens=max(contexts),
                times=kv_bytes(shape, max(contexts)) / (2 * shape.parameters),
            )
            for name, shape in shapes.items()
        ]
    )


def record_table(run: Run, caption: str) -> HTML:
    """What a run holds, and what it took."""
    row = {
        "entries a layer": run.kv_lengths[0],
        "bytes now": f"{run.kv_bytes:,}",
        "most bytes": f"{run.kv_bytes_peak:,}",
        "prefill": f"{run.prefill_seconds:.2f} s",
        "decode": f"{1000 * run.decode_seconds / run.decode_tokens:.0f} ms a token",
    }
    return table([row], "measured", caption)
