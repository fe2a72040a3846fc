"""Pictures to move through: plotly, from a file beside the page, so that they work from disk."""

import html
import json
from collections.abc import Mapping, Sequence

import numpy as np
from IPython.display import HTML

from kvbook.attach import Run
from kvbook.chat import Turn
from kvbook.figures import INK, KEPT

PLOTLY = "plotly/plotly.min.js"
"""Where a page finds plotly: beside the book's pages, so that nothing is loaded from outside."""


def kept_explorer(run: Run, tokens: Sequence[str], name: str = "kept") -> HTML:
    """`kept_map` to move through: a slider over the layers, and the token under the pointer.

    Parameters
    ----------
    run : kvbook.attach.Run
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

FAMILIES_SCRIPT = """
(() => {
  const page = document.getElementById(NAME);
  const [plot, slider, label, select, words] =
    ["plot", "slider", "label", "select", "words"].map(part => page.querySelector(".kv-" + part));
  const cells = (method, budget) => DATA.kept[method][budget].map(row => [...row].map(Number));
  const panels = DATA.panels;
  const traces = panels.map(([method, column, row], i) => ({
    type: "heatmap", z: cells(method, 0), text: DATA.kept[method][0].map(() => DATA.tokens),
    hovertemplate: "%{text}<br>layer %{y}: %{z} of " + DATA.heads + " heads<extra>" + method + "</extra>",
    colorscale: DATA.scale, zmin: 0, zmax: DATA.heads, showscale: false,
    xaxis: "x" + (i + 1), yaxis: "y" + (i + 1)}));
  const layout = Object.assign({}, DATA.layout);
  panels.forEach(([method, column, row], i) => {
    const x = [column * 0.53, column * 0.53 + 0.47];
    const y = [1 - (row + 1) / DATA.rows + 0.06, 1 - row / DATA.rows - 0.06];
    layout["xaxis" + (i + 1)] = {domain: x, anchor: "y" + (i + 1), showgrid: false, zeroline: false};
    layout["yaxis" + (i + 1)] = {domain: y, anchor: "x" + (i + 1), autorange: "reversed", showgrid: false, zeroline: false};
    layout.annotations.push({text: method, x: x[0], y: y[1], xref: "paper", yref: "paper",
      xanchor: "left", yanchor: "bottom", showarrow: false});
  });
  Plotly.newPlot(plot, traces, layout, {responsive: true, displaylogo: false});
  words.replaceChildren(...DATA.text.map((token, i) => {
    const span = document.createElement("span");
    span.textContent = token;
    return span;
  }));
  const shade = () => {
    const rows = DATA.kept[select.value][slider.value], spans = words.children;
    for (let i = 0; i < spans.length; i++) {
      const kept = rows.reduce((sum, row) => sum + Number(row[i]), 0) / (rows.length * DATA.heads);
      spans[i].style.background = "rgba(0,114,178," + (0.65 * kept).toFixed(2) + ")";
      spans[i].className = kept ? "" : "kv-dropped";
      spans[i].title = "position " + i + ", kept by " + Math.round(100 * kept) + " % of the heads";
    }
  };
  const update = () => {
    label.textContent = DATA.budgets[slider.value];
    Plotly.restyle(plot, {z: panels.map(([method]) => cells(method, slider.value))});
    shade();
  };
  slider.addEventListener("input", update);
  select.addEventListener("change", shade);
  slider.value = DATA.start;
  update();
})();
"""


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
    script = "(() => {" + constants + FAMILIES_SCRIPT + "})();"
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


SESSION_SCRIPT = """
(() => {
  const page = document.getElementById(NAME), find = part => page.querySelector(".kv-" + part);
  const slider = find("slider");
  const update = () => {
    const turn = TURNS[slider.value];
    find("label").textContent = slider.value;
    for (const part of ["user", "assistant", "sinks", "summary", "recent"])
      find("part-" + part).textContent = turn[part] || "(nothing)";
    find("count").textContent = turn.count;
  };
  slider.addEventListener("input", update);
  slider.value = TURNS.length - 1;
  update();
})();
"""


def session_explorer(turns: Sequence[Turn], name: str = "session") -> HTML:
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
    script = "(() => {" + constants + SESSION_SCRIPT + "})();"
    return HTML(
        f'<div id="{name}" class="kv-explorer"><label>turn <input class="kv-slider" type="range" min="0" '
        f'max="{len(turns) - 1}" step="1"> <output class="kv-label"></output></label>'
        f'{rows}<p class="kv-count"></p></div><script>{script.replace("</", "<" + chr(92) + "/")}</script>'
        "<noscript>This picture needs JavaScript; the figure above shows how full the cache was.</noscript>"
    )


CALCULATOR_SCRIPT = """
(() => {
  const page = document.getElementById(NAME), find = part => page.querySelector(".kv-" + part);
  const [model, machine, context, budget, answer] =
    ["model", "machine", "context", "budget", "answer"].map(find);
  const options = (select, names) => select.replaceChildren(
    ...names.map((name, i) => new Option(name, i)));
  options(model, DATA.models);
  options(machine, DATA.machines);
  const bytes = x => x < 2**30 ? (x / 2**20).toPrecision(3) + " MiB" : (x / 2**30).toPrecision(3) + " GiB";
  const seconds = x => x < 0.1 ? (1000 * x).toPrecision(2) + " ms" : x.toPrecision(3) + " s";
  const update = () => {
    const tokens = DATA.contexts[context.value], share = DATA.budgets[budget.value];
    find("context-label").textContent = tokens.toLocaleString("en") + " tokens";
    find("budget-label").textContent = Math.round(100 * share) + " %: " + Math.round(share * tokens).toLocaleString("en") + " entries";
    const length = 2 ** answer.value;
    find("answer-label").textContent = length + " tokens";
    find("rows").replaceChildren(...DATA.methods.map((method, i) => {
      const of = DATA.cells[model.value][i];
      const cell = of[of.length == 1 ? 0 : budget.value][context.value];
      const [prefill, decode] = cell.slice(2 + 2 * machine.value, 4 + 2 * machine.value);
      const fits = cell[1] <= DATA.memory[machine.value];
      const row = document.createElement("tr");
      [method, bytes(cell[0]), bytes(cell[1]) + (fits ? "" : " (does not fit)"), seconds(prefill),
       seconds(decode), seconds(prefill + decode * (length - 1))].forEach(text => {
        const column = document.createElement("td");
        column.textContent = text;
        row.append(column);
      });
      if (!fits) row.className = "kv-dropped";
      return row;
    }));
  };
  for (const one of [model, machine, context, budget, answer]) one.addEventListener("input", update);
  model.value = START.model; machine.value = START.machine; context.value = START.context; budget.value = START.budget;
  update();
})();
"""


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
    script = ("(() => {" + constants + CALCULATOR_SCRIPT + "})();").replace("</", "<\\/")
    return HTML(
        f'<div id="{name}" class="kv-explorer">{selects}{sliders}<table class="kv-table"><caption>'
        f'<span class="kv-computed">computed on paper</span></caption><thead><tr>{head}</tr></thead>'
        f'<tbody class="kv-rows"></tbody></table></div><script>{script}</script>'
        "<noscript>The calculator needs JavaScript; kvbook.profiling.predict gives the same.</noscript>"
    )
