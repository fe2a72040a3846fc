"""SummaryKV's conversations: its cache over time, what it recalls, and what its notes cost."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.methods.summarykv import Summary
from kvbook.show.curves import rates
from kvbook.show.drawing import key
from kvbook.show.style import COLOURS, INK, KEPT, WIDE
from kvbook.show.tables import table
from kvbook.stats import Rate
from kvbook.tasks.conversations import Fact
from kvbook.tasks.document import Document
from kvbook.tasks.recall import by_age, early

PARTS = {
    "sinks": "#80889088",
    "summary": COLOURS["summarykv"],
    "recent": KEPT,
    "evicted, waiting": "#80889033",
}
"""Parts of SummaryKV's cache and their colours."""
STAGES: dict[str, list[tuple[str, float, float]]] = {  # parts as (name, left, width)
    "the cache is full": [("sinks", 0, 1), ("recent", 1, 9)],
    "every token evicts one": [("sinks", 0, 1), ("recent", 1, 9), ("evicted, waiting", 11, 3)],
    "a segment has collected": [("sinks", 0, 1), ("summary", 1, 2.5), ("recent", 3.5, 6.5)],
}


def summary_stages() -> Figure:
    """How evicted tokens come back as a summary: a row a moment."""
    figure, axes = plt.subplots(figsize=(WIDE, 2.6))
    for row, (stage, parts) in enumerate(STAGES.items()):
        axes.text(0, 0.32 - row, stage, va="bottom")
        for part, left, width in parts:
            line = "--" if left > 10 else "-"  # outside of the cache
            axes.barh(
                -row,
                width,
                left=left,
                color=PARTS[part],
                edgecolor=INK,
                height=0.5,
                linestyle=line,
                label=part,
            )
    axes.set(xticks=[], yticks=[], ylim=(-len(STAGES) + 0.6, 0.8))
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_visible(False)
    key(figure)
    return figure


def held_by_turn(
    entries: Sequence[int], summaries: Sequence[int], sinks: int, budget: int
) -> Figure:
    """Entries of a layer after every turn, by part: of the whole, and of its summary."""
    figure, axes = plt.subplots(figsize=(WIDE, 2.6))
    turns = range(len(entries))
    notes = [sinks + size for size in summaries]
    axes.bar(turns, entries, color=KEPT, label="recent")
    axes.bar(turns, notes, color=COLOURS["summarykv"], label="summary")
    axes.bar(turns, [min(sinks, one) for one in entries], color=INK, label="sinks")
    axes.axhline(budget, color=INK, linestyle="--", linewidth=1)
    axes.set(xlabel="turn", ylabel="entries a layer")
    axes.locator_params(axis="x", integer=True)
    key(figure)
    return figure


def asked_table(facts: Sequence[Fact], answers: Sequence[str], summary: str, caption: str) -> HTML:
    """Facts of a session: when they were told, whether the last summary has them, and what the
    model said when it was asked."""
    rows = [
        {
            "fact": f"{fact.opening.split(chr(34))[1]} {fact.answer}",
            "told in turn": fact.turn,
            "in the last summary": "yes" if fact.answer in summary else "no",
            "asked at the end": words,
        }
        for fact, words in zip(facts, answers, strict=True)
    ]
    return table(rows or [{"fact": "none in so few turns"}], "measured", caption)


def summaries_table(summaries: Sequence[Summary], last: int = 3) -> HTML:
    """The last summaries of a session, and what they were made from."""
    rows = [
        {
            "after tokens": one.at,
            "made from": one.read,
            "tokens": len(one.ids),
            "seconds": f"{one.seconds:.2f}",
            "text": one.text,
        }
        for one in summaries[-last:]
    ]
    caption = f"the last of {len(summaries)} summaries"
    return table(rows or [{"summaries": "none"}], "measured", caption)


def recall_table(measured: Mapping[str, Mapping], least: int, seed: int, caption: str) -> HTML:
    """Recall of early facts, and what it cost.

    Parameters
    ----------
    measured : mapping
        By label: what `kvbook.tasks.recall.measure_recall` returns.
    least : int
        The smallest budget: facts count that were told longer ago.
    """
    rows = []
    for label, one in measured.items():
        hits = early(one["facts"], label, least)
        none = {"method": label, "found": "–", "95 % interval": "–"}
        rows.append(
            (Rate.of(hits, seed).row(method=label) if hits else none)
            | {
                "KV": f"{one['kv_bytes'] / 2**20:.1f} MiB",
                "seconds a conversation": f"{one['seconds']:.1f}",
            }
        )
    return table(rows, "measured", caption)


def recall_by_age(
    measured: Mapping[str, Mapping], looks: Mapping[str, str], edges: Sequence[int], seed: int
) -> Figure:
    """Share of facts recalled by how long ago they were told.

    Parameters
    ----------
    measured : mapping
        As of `recall_table`.
    looks : mapping of str to str
        The labels that get a line, and the method whose colour and mark it has.
    edges : sequence of int
        Tokens; the last bin is called "over" the last but one.
    """
    figure, axes = plt.subplots()
    for label, look in looks.items():
        bins = by_age(measured[label]["facts"], edges) if label in measured else []
        places = [place for place, hits in enumerate(bins) if hits]
        if places:
            rates(axes, places, [Rate.of(bins[place], seed) for place in places], look, label)
    names = [f"{low}-{high}" for low, high in pairwise(edges[:-1])]
    axes.set_xticks(range(len(edges) - 1), [*names, f"over {edges[-2]}"])
    axes.set(xlabel="told how many tokens ago", ylabel="share recalled")
    key(figure)
    return figure


def document_table(
    document: Document, found: Mapping[str, bool], summaries: Sequence[Summary]
) -> HTML:
    """Numbers of a document: where they lie, whether the last summary has them, and whether
    they were found."""
    notes = summaries[-1].text if summaries else ""
    rows = [
        {
            "number of": city,
            "at depth": f"{document.depth(city):.2f}",
            "in the last summary": "yes" if number in notes else "no",
            "found": "yes" if found[city] else "no",
        }
        for city, number in document.numbers.items()
    ]
    return table(rows, "measured", f"{len(summaries)} summaries on the way")


def summary_seconds(measured: Mapping[str, Mapping]) -> HTML:
    """Summaries of the last conversation and the time that each took; measured as of
    `recall_table`."""
    rows = [
        {
            "summarizer": label.split(",")[0],
            "summaries": one["summaries"],
            "seconds a summary": f"{one['summary_seconds'] / max(1, one['summaries']):.2f}",
        }
        for label, one in measured.items()
    ]
    return table(rows, "measured", "of the last conversation")


def reading_curves(
    work: Mapping[str, Sequence[float]], lengths: Sequence[int], title: str
) -> Figure:
    """Work of reading a conversation, as `kvbook.profiling.reading.reading_work` has it."""
    lines = {
        "again": ("read all again at every turn", "pyramidinfer", "-"),
        "summarised": ("SummaryKV, extractive", "summarykv", "-"),
        "kept": ("keep the whole cache", "fullkv", "--"),
    }
    figure, axes = plt.subplots()
    for which, (label, look, line) in lines.items():
        tera = [one / 1e12 for one in work[which]]
        axes.plot(lengths, tera, line, color=COLOURS[look], label=label)
    axes.set(
        xlabel="tokens of the conversation",
        ylabel="TFLOP of reading, in all",
        yscale="log",
        title=title,
    )
    key(figure)
    return figure
