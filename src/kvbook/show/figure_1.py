"""Figure 1, the report's and ours: its panels, its tables, and what the two say side by side."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from IPython.display import HTML
from markupsafe import Markup
from matplotlib.figure import Figure

from kvbook.show.curves import score_panels
from kvbook.show.said import Said, bullets, say
from kvbook.show.tables import Cell, Kind, linked, table, tag
from kvbook.stats import show_interval

Interval = tuple[float, float, float]


def sources_table(rows: Sequence[Mapping[str, Any]], caption: str) -> HTML:
    """The files that numbers come from.

    Parameters
    ----------
    rows : sequence of mapping
        Of every file its ``letter``, ``address``, the ``kind`` of its numbers, how it is
        ``called``, its ``model``, when it was ``begun``, and ``how much``.
    """
    shown = [
        {
            "": linked(row["letter"], row["address"]),
            "file": linked(row["address"].removeprefix("results/"), row["address"]),
            "what": tag(row["kind"]) + (" " + row["called"] if row["called"] else ""),
            **{column: row[column] for column in ("model", "begun", "how much")},
        }
        for row in rows
    ]
    return table(shown, None, caption)


def figure_1_panels(
    measured: Mapping[str, Mapping[str, Interval]],
    report: Mapping[str, Mapping[str, float]],
    tasks: Sequence[str],
    costs: Sequence[str],
) -> Figure:
    """Two columns of tasks, and one of costs, as shares of FullKV: see `score_panels`."""
    panels = [
        one for row, cost in enumerate(costs) for one in (*tasks[2 * row : 2 * row + 2], cost)
    ]
    figure = score_panels(measured, report, panels, widest=1.7)
    for axes, name in zip(figure.axes, panels, strict=False):
        axes.set_title(f"{'system' if name in costs else 'task'}: {name}")
    return figure


def two_notes(measured: Sequence[str], report: str) -> HTML:
    """Under a figure: what is ours in it, and what the report's."""
    return HTML(
        Markup("<p>{} {}. {} {}.</p>").format(
            tag("measured"), "; ".join(measured), tag("report"), report
        )
    )


def task_scores_table(
    scores: Mapping[str, Mapping[str, float | Interval]],
    columns: Mapping[str, str],
    kind: Kind,
    caption: str,
    cell: Cell = str,
) -> HTML:
    """Scores of the tasks, a row a method; ours with their intervals, the report's without.

    Parameters
    ----------
    scores : mapping
        By method, by task.
    columns : mapping
        The columns' heads by task.
    """

    def text(score: float | Interval) -> str:
        if isinstance(score, tuple):
            return "{:.1f} ({:.0f}–{:.0f})".format(*score)
        return f"{score:.2f}"

    rows = [
        {"method": method}
        | {head: cell(text(of[task])) for task, head in columns.items() if task in of}
        for method, of in scores.items()
    ]
    return table(rows, kind, caption)


def costs_table(
    costs: Mapping[str, Mapping[str, Mapping[int, Interval | None]]],
    caption: str,
    cell: Cell = str,
    names: Mapping[str, str] | None = None,
) -> HTML:
    """Measured times and memory, a row a method and cost, a column a context.

    Parameters
    ----------
    costs : mapping
        As `cost_panels` takes them, with the costs ``"prefill"`` and ``"e2e"`` in seconds and
        ``"memory"`` in GiB; a cost that no method has gets no row. The contexts are FullKV's.
    names : mapping, optional
        What methods are called, where that says more.
    """

    def text(cost: str, of: Mapping[int, Interval | None], context: int) -> str:
        if context not in of:
            return "–"
        one = of[context]
        if one is None:
            return cell("OOM")
        form = "{:.2f} GiB" if cost == "memory" else "{:.2f} s ({:.2f}–{:.2f})"
        return cell(form.format(*one))

    contexts = sorted({context for of in costs["fullkv"].values() for context in of})
    shown = [
        cost
        for cost in costs["fullkv"]
        if any(one for of in costs.values() for one in of[cost].values())
    ]
    rows = [
        {"method": (names or {}).get(method, method), "stage": cost}
        | {f"{context:,} tokens": text(cost, of[cost], context) for context in contexts}
        for method, of in costs.items()
        if any(context in of["prefill"] for context in contexts)
        for cost in shown
    ]
    return table(rows, "measured", caption)


def gains_table(
    report: Mapping[str, Any],
    ours: Sequence[tuple[str, Mapping[str, Any], Cell]],
    caption: str,
    cell: Cell = str,
) -> HTML:
    """What fine-tuning did to a score: the report's line, and ours below it.

    Parameters
    ----------
    report : mapping
        ``data``, ``items``, ``before`` and ``after``.
    ours : sequence of (str, mapping, callable)
        What was trained on what; the gain, as `kvbook.finetune.score.comparison.Comparison.data`
        has it; and the cell of its numbers.
    """
    gain = report["after"] - report["before"]
    rows = [
        {
            "whose": tag("report"),
            "data": report["data"],
            "items": report["items"],
            "before": cell(f"{report['before']:.2f}"),
            "after": cell(f"{report['after']:.2f}"),
            "gain": cell(f"{gain:+.2f}"),
        }
    ]
    for data, one, number in ours:
        rows.append(
            {
                "whose": tag("measured"),
                "data": data,
                "items": one["items"],
                "before": number(f"{one['before']:.3f}"),
                "after": number(f"{one['after']:.3f}"),
                "gain": number(show_interval(one["gain"], one["low"], one["high"], "+.3f")),
            }
        )
    return table(rows, None, caption)


def order_table(
    ours: Mapping[str, Interval],
    report: Mapping[str, float],
    places: tuple[Mapping[str, int], Mapping[str, int]],
    caption: str,
    cells: tuple[Cell, Cell] = (str, str),
) -> HTML:
    """Methods by their mean share of FullKV's score, ours beside the report's.

    Parameters
    ----------
    ours : mapping
        By method: the share and its interval.
    report : mapping
        By method; one without a share here has no row.
    places : pair of mapping
        By method, among those that both have: its place here, and there.
    cells : pair of callable
        Of our numbers, and of the report's.
    """
    here, there = places
    rows = []
    for method in [
        *sorted(here, key=lambda one: here[one]),
        *(one for one in ours if one not in here),
    ]:
        share = report.get(method)
        rows.append(
            {
                "method": method,
                "here": cells[0](show_interval(*ours[method], ".0%")),
                "place here": here.get(method, "–"),
                "the report": "no row" if share is None else cells[1](f"{share:.0%}"),
                "place there": there.get(method, "–"),
            }
        )
    return table(rows, None, caption)


def readings_list(readings: Sequence[Mapping[str, Any]]) -> HTML:
    """Claims, a paragraph each: whether they hold in the report and here, and why.

    Parameters
    ----------
    readings : sequence of mapping
        ``claim``, ``report`` and ``ours`` (whether it holds, and the numbers), ``agree``,
        ``why``, ``page`` and the page's ``title``.
    """
    yes = {True: "holds", False: "does not hold"}
    shown = []
    for one in readings:
        (there, told_there), (here, told_here) = one["report"], one["ours"]
        shown.append(
            Markup("<li><strong>{}</strong> {}<br>{} {}: {}<br>{} {}: {}<br>{} {}</li>").format(
                one["claim"],
                Markup("<em>The two {}.</em>").format("agree" if one["agree"] else "differ"),
                tag("report"),
                yes[there],
                told_there,
                tag("measured"),
                yes[here],
                told_here,
                one["why"],
                linked(f"See {one['title']}.", one["page"]),
            )
        )
    return HTML(f"<ol class='kv-readings'>{''.join(shown)}</ol>")


# ---- what the numbers say -------------------------------------------------------------------------


def readings_sentence(readings: Sequence[Mapping[str, Any]]) -> Said:
    """How many claims come out alike, and the numbers of the others in the list of `readings_list`."""
    apart = [str(i) for i, one in enumerate(readings, 1) if not one["agree"]]
    counted = {"agreed": len(readings) - len(apart), "readings": len(readings)}
    if not apart:
        return say(
            "**All {readings} statements come out the same in the report and here.**", **counted
        )
    return say(
        "**{agreed} of {readings} statements come out the same in the report and here.** The two differ in "
        "number {apart}.",
        apart=", ".join(apart),
        **counted,
    )


def task_scores_sentence(
    scores: Mapping[str, Mapping[str, Interval]], full: str = "fullkv"
) -> Said:
    """How many scores of the smaller caches have an interval that lies wholly below FullKV's, and
    which method is nearest to FullKV in each task; ``scores`` as in `task_scores_table`."""
    smaller = {method: of for method, of in scores.items() if method != full}
    pairs = [(of[task], scores[full][task]) for of in smaller.values() for task in of]
    below = sum(high < low for (_, _, high), (_, low, _) in pairs)
    nearest = {
        task: max(smaller, key=lambda method: smaller[method][task][0]) for task in scores[full]
    }
    return say(
        "{below} of {pairs} scores of smaller caches are below FullKV's, and their intervals do not meet its "
        "interval. The highest means after FullKV's are of {nearest}.",
        below=below,
        pairs=len(pairs),
        nearest=", ".join(f"{method} ({task})" for task, method in nearest.items()),
    )


def cost_shares_sentence(
    shares: Mapping[str, Mapping[str, Interval]], name: str, context: int, full: str = "fullkv"
) -> Said:
    """Which methods cost less than FullKV in every repeat, which more, and which cannot be told apart
    from it.

    Parameters
    ----------
    shares : mapping
        By method, by cost: the share of FullKV's, and the least and the most of it.
    name : str
        The cost.
    context : int
        Tokens of the prompt.
    """
    known = {method: of[name] for method, of in shares.items() if method != full and name in of}
    less = {method: one for method, one in known.items() if one[2] < 1}
    more = {method: one for method, one in known.items() if one[1] > 1}
    rest = [method for method in known if method not in less | more]
    told = [
        say(template, methods=", ".join(f"{method} ({of[method][0]:.0%})" for method in of))
        for template, of in (
            ("less than FullKV in every repeat: {methods}", less),
            ("more than FullKV in every repeat: {methods}", more),
        )
        if of
    ]
    if rest:
        template = "no difference from FullKV can be seen: {methods}"
        told.append(say(template, methods=", ".join(rest)))
    return say(
        "{cost} at {context:,} tokens:\n\n{told}",
        cost=say(f"{name[:1].upper()}{name[1:]}"),
        context=context,
        told=bullets(told),
    )


def order_sentence(
    ours: Mapping[str, Interval], places: tuple[Mapping[str, int], Mapping[str, int]]
) -> Said:
    """Which neighbours in our order overlap, and which method changes its place most.

    Parameters
    ----------
    ours, places
        As in `order_table`; there is more than one method with both places.
    """
    here, there = places
    order = sorted(here, key=lambda method: here[method])
    tied = [f"{a}/{b}" for a, b in pairwise(order) if ours[a][1] <= ours[b][2]]
    moved = max(here, key=lambda method: abs(here[method] - there[method]))
    told = [
        say(
            "Here the intervals of these neighbours overlap, so this table does not tell their places apart: {tied}.",
            tied=", ".join(tied),
        )
        if tied
        else say("Here the intervals of no two neighbours overlap.")
    ]
    if here[moved] == there[moved]:
        told.append(say("All methods have the same place here and in the report."))
    else:
        told.append(
            say(
                "{moved} changes its place most: {here} here, {there} in the report.",
                moved=moved,
                here=here[moved],
                there=there[moved],
            )
        )
    return bullets(told)


def gains_sentence(ours: Sequence[tuple[str, Mapping[str, Any]]]) -> Said:
    """Whether fine-tuning changed the score, for each of our trainings.

    Parameters
    ----------
    ours : sequence of (str, mapping)
        What was trained, and its gain: as in `gains_table`.
    """
    told = []
    for trained, one in ours:
        template = "{trained}: no change can be seen ({gain:+.3f}; the interval holds 0)."
        if one["low"] > 0:
            template = "{trained}: the score rises ({gain:+.3f}; the interval is above 0)."
        if one["high"] < 0:
            template = "{trained}: the score falls ({gain:+.3f}; the interval is below 0)."
        told.append(say(template, trained=trained, gain=one["gain"]))
    return bullets(told)
