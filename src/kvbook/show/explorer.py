"""Pictures to move through: plotly, from a file beside the page, so that they work from disk."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from IPython.display import HTML

from kvbook.chat.saved import Turn
from kvbook.engine.run import Run
from kvbook.show.style import INK, KEPT

PLOTLY = "plotly/plotly.min.js"
"""Where a page finds plotly: beside the book's pages, so that nothing is loaded from outside."""


def _script(name: str) -> str:
    """The JavaScript beside this file."""
    return Path(__file__).with_name(f"{name}.js").read_text(encoding="utf-8")


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
    trace = {
        "type": "heatmap",
        "z": grids[0].tolist(),
        "text": [label] * heads,
        "y": [f"KV head {head}" for head in range(heads)],
        "hovertemplate": "%{text}<br>%{y}<extra></extra>",
        "colorscale": [[0, "rgba(128,136,144,0.15)"], [1, KEPT]],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
    }
    steps = [
        {"label": str(layer), "method": "restyle", "args": [{"z": [grid.tolist()]}]}
        for layer, grid in enumerate(grids)
    ]
    layout = {
        "height": 280,
        "margin": {"l": 80, "r": 10, "t": 10, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK},
        "xaxis": {"title": {"text": "position in the prompt"}},
        "sliders": [{"steps": steps, "currentvalue": {"prefix": "layer "}, "pad": {"t": 45}}],
    }
    figure = json.dumps([[trace], layout, {"responsive": True, "displaylogo": False}])
    figure = figure.replace("</", "<\\/")  # a token must not close the script
    return HTML(
        f'<div id="{name}" role="img" aria-label="Kept entries of one layer, with a slider over '
        f'the layers; the picture above shows all layers at once"></div>'
        f'<script src="{PLOTLY}"></script><script>Plotly.newPlot("{name}", ...{figure});</script>'
        "<noscript>This figure needs JavaScript; the picture above shows the same.</noscript>"
    )


SCALE = [
    [0, "rgba(128,136,144,0.10)"],
    [0.001, "rgba(0,114,178,0.35)"],
    [1, KEPT],
]
"""Share of a layer's KV heads that keep a token: none, some, all."""


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
    heads, n = next(iter(runs.values()))[0].kept_positions[0].shape[1], len(tokens)
    data = {
        "kept": {
            method: [
                ["".join(map(str, row)) for row in kept_by(run, n).tolist()] for run in of_budgets
            ]
            for method, of_budgets in runs.items()
        },
        "panels": [(m, c, r) for c, methods in enumerate(columns) for r, m in enumerate(methods)],
        "rows": max(map(len, columns)),
        "heads": heads,
        "budgets": [str(budget) for budget in budgets],
        "start": start,
        "tokens": [f"{i}: {html.escape(repr(token))}" for i, token in enumerate(tokens)],
        "text": list(tokens),
        "scale": SCALE,
        "layout": {
            "height": 190 * max(map(len, columns)),
            "margin": {"l": 30, "r": 10, "t": 20, "b": 20},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": INK, "size": 11},
            "annotations": [],
        },
    }
    options = "".join(f"<option>{method}</option>" for method in runs)
    constants = f"const NAME = {json.dumps(name)}, DATA = {json.dumps(data)};"
    script = "(() => {" + constants + _script("families") + "})();"
    return HTML(
        f'<div id="{name}" class="kv-explorer"><label>budget <input class="kv-slider" type="range" min="0" '
        f'max="{len(budgets) - 1}" step="1"> <output class="kv-label"></output> entries</label>'
        f'<div class="kv-plot" role="img" aria-label="For every method, which prompt tokens each layer keeps '
        f'at the chosen budget; the picture above shows one budget"></div>'
        f'<label>text as kept by <select class="kv-select">{options}</select></label>'
        f'<div class="kv-text kv-words"></div></div><script src="{PLOTLY}"></script>'
        f"<script>{script.replace('</', '<' + chr(92) + '/')}</script>"
        "<noscript>This figure needs JavaScript; the picture above shows one budget of it.</noscript>"
    )


def kept_by(run: Run, prompt_length: int) -> np.ndarray:
    """How many KV heads of each layer keep each prompt token: ``[layers, tokens]``."""
    counts = np.zeros((len(run.kept_positions), prompt_length), dtype=int)
    for layer, kept in enumerate(run.kept_positions):
        for positions in kept[0]:
            counts[layer, positions[positions >= 0].tolist()] += 1
    return counts


def chat_explorer(turns: Sequence[Turn], name: str = "chat") -> HTML:
    """A chat to move through: what was said in a turn, and what the cache held after it.

    Parameters
    ----------
    turns : sequence of kvbook.chat.Turn
        As a chat has them.
    name : str
        Unique on its page.
    """
    data = [
        {
            "user": turn.user,
            "assistant": turn.assistant,
            "sinks": turn.contents.sinks,
            "summary": turn.contents.summary,
            "recent": turn.contents.recent,
            "count": f"{turn.contents.entries} entries; {turn.contents.waiting} evicted tokens wait for the next summary",
        }
        for turn in turns
    ]
    rows = "".join(
        f'<div class="kv-row"><b>{part}</b><div class="kv-text kv-part-{part}"></div></div>'
        for part in ("user", "assistant", "sinks", "summary", "recent")
    )
    constants = f"const NAME = {json.dumps(name)}, TURNS = {json.dumps(data)};"
    script = "(() => {" + constants + _script("chat") + "})();"
    return HTML(
        f'<div id="{name}" class="kv-explorer"><label>turn <input class="kv-slider" type="range" min="0" '
        f'max="{len(turns) - 1}" step="1"> <output class="kv-label"></output></label>'
        f'{rows}<p class="kv-count"></p></div><script>{script.replace("</", "<" + chr(92) + "/")}</script>'
        "<noscript>This picture needs JavaScript; the figure above shows how full the cache was.</noscript>"
    )


def calculator(
    table: Mapping,
    model: str = "",
    machine: str = "",
    context: int = 0,
    budget: float = 0.0,
    name: str = "calculator",
) -> HTML:
    """What every method costs, for a model, a machine, a context, a budget and an answer to
    choose: bytes and seconds on paper.

    Parameters
    ----------
    table : mapping
        Of `kvbook.profiling.calculator.tabulate`.
    model, machine, context, budget
        What is shown first; one of the table's, or else its first.
    name : str
        Unique on its page.
    """

    def place(axis: str, value) -> int:
        return table[axis].index(value) if value in table[axis] else 0

    start = {
        "model": place("models", model),
        "machine": place("machines", machine),
        "context": place("contexts", context),
        "budget": place("budgets", budget),
    }
    selects = "".join(
        f'<label>{part} <select class="kv-{part}"></select></label>'
        for part in ("model", "machine")
    )
    sliders = "".join(
        f'<label>{part} <input class="kv-slider kv-{part}" type="range" min="{least}" max="{most}" '
        f'step="1" value="{least}"> <output class="kv-{part}-label"></output></label>'
        for part, least, most in (
            ("context", 0, len(table["contexts"]) - 1),
            ("budget", 0, len(table["budgets"]) - 1),
            ("answer", 3, 11),
        )
    )
    columns = ("method", "KV cache", "memory, at least", "prefill", "a token", "end to end")
    head = "".join(f"<th>{column}</th>" for column in columns)
    constants = (
        f"const NAME = {json.dumps(name)}, DATA = {json.dumps(table)}, START = {json.dumps(start)};"
    )
    script = ("(() => {" + constants + _script("calculator") + "})();").replace("</", "<\\/")
    return HTML(
        f'<div id="{name}" class="kv-explorer">{selects}{sliders}<table class="kv-table"><caption>'
        f'<span class="kv-computed">computed on paper</span></caption><thead><tr>{head}</tr></thead>'
        f'<tbody class="kv-rows"></tbody></table></div><script>{script}</script>'
        "<noscript>The calculator needs JavaScript; kvbook.profiling.predict gives the same.</noscript>"
    )
