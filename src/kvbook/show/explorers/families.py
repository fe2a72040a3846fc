"""What all methods kept of one prompt, side by side."""

import html
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from IPython.display import HTML

from kvbook.engine.run import Run
from kvbook.show.explorers.frame import LOOK, explorer, slider
from kvbook.show.explorers.kept import kept_by
from kvbook.show.style import KEPT

SCALE = [
    [0, "rgba(128,136,144,0.10)"],
    [0.001, "rgba(0,114,178,0.35)"],
    [1, KEPT],
]
"""Share of a layer's KV heads that keep a token: none, some, all."""
WORDS = {
    "layer": "layer {layer}: {kept} of {heads} heads",
    "kept_by": "position {position}, kept by {share} % of the heads",
}


def families_explorer(
    runs: Mapping[str, Sequence[Run]],
    budgets: Sequence[int],
    tokens: Sequence[str],
    columns: Sequence[Sequence[str]],
    start: int = 0,
    name: str = "families",
) -> HTML:
    """All methods side by side: which tokens they keep in every layer, with a slider over the
    budget, and the prompt's own text under it.

    Parameters
    ----------
    runs : mapping of str to sequence of Run
        By method, a run a budget.
    budgets : sequence of int
        As the slider shows them.
    tokens : sequence of str
        The prompt's tokens as text.
    columns : two sequences of str
        The methods of the left and of the right column.
    start : int
        Which budget is shown first.
    name : str
        Unique on its page.
    """
    heads = next(iter(runs.values()))[0].kept_positions[0].shape[1]
    data = {
        "kept": {
            method: [
                ["".join(map(str, row)) for row in kept_by(run, len(tokens)).tolist()]
                for run in of_budgets
            ]
            for method, of_budgets in runs.items()
        },
        "methods": [method for methods in columns for method in methods],
        "figure": _panels(columns, heads).to_plotly_json(),
        "heads": heads,
        "budgets": [str(budget) for budget in budgets],
        "start": start,
        "tokens": [f"{i}: {html.escape(repr(token))}" for i, token in enumerate(tokens)],
        "text": list(tokens),
    }
    options = "".join(f"<option>{method}</option>" for method in runs)
    return explorer(
        name,
        f"{slider('budget', len(budgets) - 1, unit=' entries')}"
        '<div class="kv-plot" role="img" aria-label="For every method, which prompt tokens each layer keeps '
        'at the chosen budget; the picture above shows one budget"></div>'
        f'<label>text as kept by <select class="kv-select">{options}</select></label>'
        '<div class="kv-text kv-words"></div>',
        "families",
        data,
        WORDS,
        "This figure needs JavaScript; the picture above shows one budget of it.",
        plotly=True,
    )


def _panels(columns: Sequence[Sequence[str]], heads: int) -> go.Figure:
    """A panel a method, still without what it kept: the script has that once, for the text, too."""
    rows = max(map(len, columns))
    figure = go.Figure().update_layout(
        LOOK, height=190 * rows, margin={"l": 30, "r": 10, "t": 20, "b": 20}, font_size=12
    )
    places = [(m, c, r) for c, methods in enumerate(columns) for r, m in enumerate(methods)]
    for number, (method, column, row) in enumerate(places, 1):
        figure.add_heatmap(
            colorscale=SCALE,
            zmin=0,
            zmax=heads,
            showscale=False,
            xaxis=f"x{number}",
            yaxis=f"y{number}",
        )
        left, top = column * 0.53, 1 - row / rows - 0.06
        bare = {"showgrid": False, "zeroline": False}
        across = {"domain": [left, left + 0.47], "anchor": f"y{number}", **bare}
        down = {"domain": [1 - (row + 1) / rows + 0.06, top], "anchor": f"x{number}", **bare}
        figure.update_layout(
            {f"xaxis{number}": across, f"yaxis{number}": {**down, "autorange": "reversed"}}
        )
        figure.add_annotation(
            text=method,
            x=left,
            y=top,
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
        )
    return figure
