"""SummaryKV's conversations: its cache over time, what it recalls, and what its notes cost."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.methods.summarykv import Summary
from kvbook.show.curves import rates
from kvbook.show.drawing import key
from kvbook.show.said import Said, bullets, say
from kvbook.show.style import COLOURS, INK, KEPT, WIDE
from kvbook.show.tables import quoted, table
from kvbook.stats import Rate, seen_difference
from kvbook.tasks.conversations import Fact
from kvbook.tasks.document import Document
from kvbook.tasks.recall import by_age, early

RECALLED = "**{label}** recalls {ours:.0f} of {all} early facts, streamingllm {window:.0f}, fullkv {full:.0f}: "
BESIDE_WINDOW = {
    1: "more than the window alone.",
    -1: "less than the window alone.",
    0: "no difference from the window alone can be seen.",
}
"""By the sign of the difference that can be seen."""

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
    "a segment is complete": [("sinks", 0, 1), ("summary", 1, 2.5), ("recent", 3.5, 6.5)],
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
    """Entries that a layer holds after every turn, by part.

    Parameters
    ----------
    entries, summaries : sequence of int
        By turn: all entries of a layer, and those of its summary.
    sinks, budget : int
        Entries that stay for good, and the budget, which is a dashed line.
    """
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
            "fact": quoted(f"{fact.opening.split(chr(34))[1]} {fact.answer}"),
            "told in turn": fact.turn,
            "in the last summary": "yes" if fact.answer in summary else "no",
            "asked at the end": quoted(words),
            "": "✓ right" if fact.answer in words else "✗ wrong",
        }
        for fact, words in zip(facts, answers, strict=True)
    ]
    return table(rows or [{"fact": "none in so few turns"}], "measured", caption)


def asked_sentence(facts: Sequence[Fact], answers: Sequence[str], summary: str) -> Said:
    """What `asked_table` shows: how many facts the last summary has, and how many answers."""
    return say(
        "The last summary has {noted} of {all} facts, and {right} of {all} answers are right.",
        noted=sum(fact.answer in summary for fact in facts),
        right=sum(fact.answer in words for fact, words in zip(facts, answers, strict=True)),
        all=len(facts),
    )


def held_sentence(entries: Sequence[int], summaries: Sequence[int], budget: int) -> Said:
    """What `held_by_turn` shows: the most that a layer holds, and when the first summary comes."""
    first = next((turn for turn, size in enumerate(summaries) if size), None)
    most = say(
        "In {turns} turns a layer never holds more than {most} entries; the budget is {budget}.",
        turns=len(entries),
        most=max(entries),
        budget=budget,
    )
    if first is None:
        return say("{most} No summary was needed.", most=most)
    return say("{most} The first summary is there after turn {turn}.", most=most, turn=first)


def summaries_table(summaries: Sequence[Summary], last: int = 3) -> HTML:
    """The last summaries of a session, and what they were made from."""
    rows = [
        {
            "after tokens": one.at,
            "made from": one.read,
            "tokens": len(one.ids),
            "seconds": f"{one.seconds:.2f}",
            "text": quoted(one.text),
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


def recall_sentence(measured: Mapping[str, Mapping], least: int, seed: int) -> Said:
    """What `recall_table` shows: at each budget, whether a summary recalls more early facts than the
    window alone; and FullKV, of the same facts.

    Parameters
    ----------
    measured, least, seed
        As in `recall_table`.
    """
    told = []
    for label, one in measured.items():
        name, _, rest = label.partition(", ")
        plain = f"streamingllm, {rest.partition(', ')[0]}"
        if not name.startswith("summarykv") or plain not in measured:
            continue
        ours, window, full = (
            [float(hit) for hit in early(of["facts"], label, least)]
            for of in (one, measured[plain], measured["fullkv"])
        )
        if not ours:
            continue
        told.append(
            say(
                RECALLED + BESIDE_WINDOW[seen_difference(ours, window, seed)],
                label=label,
                ours=sum(ours),
                all=len(ours),
                window=sum(window),
                full=sum(full),
            )
        )
    return bullets(told) if told else say("No early fact was asked for: nothing can be compared.")


def recall_by_age(
    measured: Mapping[str, Mapping], looks: Mapping[str, str], edges: Sequence[int], seed: int
) -> Figure:
    """Share of facts recalled by how long ago they were told.

    Parameters
    ----------
    measured : mapping
        As in `recall_table`.
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


def age_sentence(
    measured: Mapping[str, Mapping], looks: Mapping[str, str], edges: Sequence[int]
) -> Said:
    """What `recall_by_age` shows: for each line its first share, its lowest, and its last.

    Parameters
    ----------
    measured, looks, edges
        As in `recall_by_age`.
    """
    names = [f"{low}-{high} tokens ago" for low, high in pairwise(edges[:-1])]
    names.append(f"over {edges[-2]} tokens ago")
    told = []
    for label in looks:
        bins = by_age(measured[label]["facts"], edges) if label in measured else []
        shares = {name: fmean(hits) for name, hits in zip(names, bins, strict=bool(bins)) if hits}
        if not shares:
            continue
        first, last = next(iter(shares)), list(shares)[-1]
        lowest = min(shares, key=shares.__getitem__)
        words = "{label}: {begin:.0%} of the facts told {first}, {end:.0%} of those told {last}"
        words += (
            "." if lowest in (first, last) else "; lowest, {least:.0%}, of those told {lowest}."
        )
        told.append(
            say(
                words,
                label=label,
                begin=shares[first],
                least=shares[lowest],
                end=shares[last],
                first=first,
                lowest=lowest,
                last=last,
            )
        )
    return bullets(told) if told else say("No fact was asked for.")


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


def document_sentence(
    document: Document,
    found: Mapping[str, bool],
    summaries: Sequence[Summary],
    peaks: Mapping[int, int],
) -> Said:
    """What `document_table` shows, and how the memory went with the length.

    Parameters
    ----------
    document, found, summaries
        As in `document_table`.
    peaks : mapping of int to int
        By tokens read: the most bytes that the cache has held so far.
    """
    notes = summaries[-1].text if summaries else ""
    noted = [city for city, number in document.numbers.items() if number in notes]
    return say(
        "{found} of {all} numbers are found. The last summary has {noted} of them, and of these {right} are "
        "found. From {short:,} to {long:,} tokens the most that the cache holds grows by {growth:.0%}; the text "
        "grows by {text:.0%}.",
        found=sum(found.values()),
        all=len(found),
        noted=len(noted),
        right=sum(found[city] for city in noted),
        short=min(peaks),
        long=max(peaks),
        growth=peaks[max(peaks)] / peaks[min(peaks)] - 1,
        text=max(peaks) / min(peaks) - 1,
    )


def summary_seconds(measured: Mapping[str, Mapping]) -> HTML:
    """Summaries of the last conversation and the time that each took; measured as in
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


def summary_sentence(measured: Mapping[str, Mapping]) -> Said:
    """What `summary_seconds` shows: how many times as long the slowest summarizer takes as the quickest."""
    each = {
        label.split(",")[0]: one["summary_seconds"] / one["summaries"]
        for label, one in measured.items()
        if one["summaries"]
    }
    if len(each) < 2:
        return say("Fewer than two summarizers made a summary: nothing can be compared.")
    quick, slow = min(each, key=each.__getitem__), max(each, key=each.__getitem__)
    return say(
        "A summary of {slow} takes {ratio:.1f} times as long as one of {quick}; one conversation, so that is "
        "rough.",
        slow=slow,
        quick=quick,
        ratio=each[slow] / each[quick],
    )


def reading_sentence(work: Mapping[str, Sequence[float]], lengths: Sequence[int]) -> Said:
    """What `reading_curves` shows: what summaries cost beside both other ways at the end, and from where on
    they are less work."""
    ours, *others = (work[which] for which in ("summarised", "again", "kept"))
    told = say(
        "At {length:,} tokens SummaryKV does {again:.1%} of the work of reading all again at every turn, and "
        "{kept:.2f} times the work of keeping the whole cache.",
        length=lengths[-1],
        again=ours[-1] / others[0][-1],
        kept=ours[-1] / others[1][-1],
    )
    for other, theirs in zip(("reading again", "keeping the whole cache"), others, strict=True):
        more = [one >= of for one, of in zip(ours, theirs, strict=True)]
        if more[-1]:
            told = say(
                "{told} At the end it is not less work than {other}.", told=told, other=other
            )
            continue
        first = lengths[len(more) - more[::-1].index(True)] if any(more) else lengths[0]
        words = "{told} From {first:,} tokens on it is less work than {other}."
        told = say(words, told=told, first=first, other=other)
    return told


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
