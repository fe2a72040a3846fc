"""What one method kept in every layer."""

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from IPython.display import HTML

from kvbook.engine.run import Run
from kvbook.show.explorers.frame import LOOK, explorer
from kvbook.show.style import KEPT

WORDS = {
    "head": "KV head {head}",
    "layer": "layer {layer}",
    "position": "position in the prompt",
}


def kept_explorer(run: Run, tokens: Sequence[str], name: str = "kept") -> HTML:
    """`kept_map` to move through: a slider over the layers, and the token under the pointer.

    Parameters
    ----------
    run : kvbook.engine.run.Run
        After a prompt; the first row of its batch is drawn.
    tokens : sequence of str
        The prompt's tokens as text.
    name : str
        Unique on its page.
    """
    heads, n = run.kept_positions[0].shape[1], len(tokens)
    grids = np.zeros((len(run.kept_positions), heads, n), dtype=int)
    for layer, kept in enumerate(run.kept_positions):
        for head, positions in enumerate(kept[0]):
            grids[layer, head, positions[positions >= 0].tolist()] = 1
    label = [f"{i}: {html.escape(repr(token))}" for i, token in enumerate(tokens)]
    heatmap = go.Heatmap(
        z=grids[0].tolist(),
        text=[label] * heads,
        y=list(range(heads)),
        hovertemplate="%{text}<br>%{y}<extra></extra>",
        colorscale=[[0, "rgba(128,136,144,0.15)"], [1, KEPT]],
        zmin=0,
        zmax=1,
        showscale=False,
    )
    steps = [
        {"label": str(layer), "method": "restyle", "args": [{"z": [grid.tolist()]}]}
        for layer, grid in enumerate(grids)
    ]
    figure = go.Figure(heatmap).update_layout(
        LOOK,
        height=280,
        margin={"l": 80, "r": 10, "t": 10, "b": 40},
        xaxis_showgrid=False,
        yaxis_showgrid=False,
        sliders=[{"steps": steps, "pad_t": 45}],
    )
    return explorer(
        name,
        '<div class="kv-plot" role="img" aria-label="Kept entries of one layer, with a slider over '
        'the layers; the picture above shows all layers at once"></div>',
        "kept",
        figure.to_plotly_json(),
        WORDS,
        "This figure needs JavaScript; the picture above shows the same.",
        plotly=True,
    )


def kept_by(run: Run, prompt_length: int) -> np.ndarray:
    """How many KV heads of each layer keep each prompt token: ``[layers, tokens]``."""
    counts = np.zeros((len(run.kept_positions), prompt_length), dtype=int)
    for layer, kept in enumerate(run.kept_positions):
        for positions in kept[0]:
            counts[layer, positions[positions >= 0].tolist()] += 1
    return counts
