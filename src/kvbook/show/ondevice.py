"""Caches in llama.cpp: where entries stand, what they cost, and what they still know."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import ScalarFormatter

from kvbook.show.drawing import key
from kvbook.show.maps import ink_on
from kvbook.show.said import Said, bullets, compare, say
from kvbook.show.style import COLOURS, INK, WIDE
from kvbook.show.tables import Cell, table
from kvbook.stats import Rate, mean_and_interval

PARTS = {"sinks": "#0072B2", "summary": "#CC79A7", "recent": "#009E73", "leaves": "#BBBBBB"}
"""Colours of the parts of a cache."""
TYPES = {"f32": "#30373f", "f16": "#0072B2", "q8_0": "#009E73", "q4_0": "#D55E00"}
"""Colours of what entries are stored in."""


def slots(stages: Mapping[str, Sequence[tuple[str, int]]]) -> Figure:
    """A cache as boxes, a row a stage, each with its position in it.

    Parameters
    ----------
    stages : mapping of str to sequence of (part, position)
        By title. A part is one of `PARTS`.
    """
    figure, axes = plt.subplots(figsize=(WIDE, 0.75 * len(stages) + 0.7))
    for row, (title, entries) in enumerate(stages.items()):
        axes.text(-0.3, -row + 0.35, title, ha="right", va="center")
        for part, position in entries:
            box = Rectangle((position, -row), 0.9, 0.7, facecolor=PARTS[part], edgecolor=INK)
            axes.add_patch(box)
            ink = ink_on(to_rgb(PARTS[part]))
            place = position + 0.45, -row + 0.35
            axes.text(*place, str(position), ha="center", va="center", color=ink)
    for part, colour in PARTS.items():
        if any(part == one for stage in stages.values() for one, _ in stage):
            axes.scatter([], [], marker="s", s=60, color=colour, label=part)
    most = max(position for stage in stages.values() for _, position in stage)
    axes.set(xlim=(-6, most + 1.2), ylim=(-len(stages) + 0.6, 1.4))
    axes.axis("off")
    key(figure)
    return figure


def device_grid(measured: Mapping[str, Mapping], seed: int, title: str = "") -> Figure:
    """Distance from the package's float32, needles and early facts over the bytes of the cache, a
    mark a way to keep it, with 95 % intervals.

    Parameters
    ----------
    measured : mapping of str to mapping
        By label: what `kvbook.ondevice.measure.measure` says of it. Colours are types, marks are
        methods; open marks are read again instead of shifted.
    """
    figure, panels = plt.subplots(1, 3, figsize=(WIDE, 3.6))
    marks = {"fullkv": "o", "streamingllm": "s", "summarykv": "^"}
    for one in measured.values():
        style = {
            "color": TYPES[one["cache"]],
            "marker": marks[one["method"]],
            "markerfacecolor": "none" if one["how"] == "reread" else None,
            "markersize": 6,
            "elinewidth": 0.7,
        }
        values = (
            (mean(one["fidelity"], "bytes"), [p["kl"] for p in one["fidelity"]]),
            (one["needle_bytes"], list(map(float, one["needles"]))),
            (one["recall_bytes"], [float(f["found"]) for f in one["facts"]]),
        )
        for axes, (size, found) in zip(panels, values, strict=True):
            if not found:  # a conversation so short that it tells no fact
                continue
            point, low, high = mean_and_interval(found, seed)
            bars = [[max(0, point - low)], [max(0, high - point)]]
            axes.errorbar([size / 2**20], [point], yerr=bars, **style)
    for axes, name in zip(
        panels,
        ("KL from float32, nats", "share of needles found", "share of facts recalled"),
        strict=True,
    ):
        axes.set_xscale("log", base=2)
        axes.set(ylabel=name, xlabel="cache, MiB")
        axes.xaxis.set_major_formatter(ScalarFormatter())
    panels[0].set_yscale("log")
    for axes in panels[1:]:
        axes.set_ylim(-0.05, 1.05)
    used = {one["method"] for one in measured.values()}
    for method, mark in marks.items():
        if method in used:
            panels[0].plot([], [], mark, color=INK, markersize=6, label=method)
    if any(one["how"] == "reread" for one in measured.values()):
        panels[0].plot(
            [], [], "s", color=INK, markerfacecolor="none", markersize=6, label="read again"
        )
    for name in dict.fromkeys(one["cache"] for one in measured.values()):
        panels[0].plot([], [], "-", linewidth=4, color=TYPES[name], label=f"cache {name}")
    key(figure)
    figure.suptitle(title)
    return figure


def mean(records: Sequence[Mapping], name: str) -> float:
    """The mean of one field over several records."""
    return fmean(record[name] for record in records)


def device_table(measured: Mapping[str, Mapping], seed: int, caption: str) -> HTML:
    """What `device_grid` draws, as numbers; ``measured`` as in `device_grid`."""
    rows = []
    for label, one in measured.items():
        kl, low, high = mean_and_interval([p["kl"] for p in one["fidelity"]], seed)
        rows.append(
            {
                "weights, cache": label,
                "cache of a needle's prompt, MiB": f"{one['needle_bytes'] / 2**20:.2f}",
                "KL, nats": f"{kl:.4f} ({low:.4f} to {high:.4f})",
                "needles": _rate(one["needles"], seed),
                "facts": _rate([fact["found"] for fact in one["facts"]], seed),
            }
        )
    return table(rows, "measured", caption)


def _rate(hits: Sequence[bool], seed: int) -> str:
    if not hits:
        return "none asked"
    rate = Rate.of(hits, seed)
    return f"{rate.hits} of {rate.trials} ({rate.low:.2f} to {rate.high:.2f})"


def drift(curves: Mapping[str, Mapping], title: str = "") -> Figure:
    """Distance from the same cache in float32, over the tokens that were decoded while it moved.

    Parameters
    ----------
    curves : mapping of str to mapping
        By label: ``cache`` (a type), ``how``, and ``kl``, a value a token.
    """
    figure, axes = plt.subplots(figsize=(WIDE, 3.4))
    for label, one in curves.items():
        kl = one["kl"]
        size = max(1, len(kl) // 16)
        points = [fmean(kl[i : i + size]) for i in range(0, len(kl), size)]
        axes.plot(
            [i + size / 2 for i in range(0, len(kl), size)],
            points,
            color=TYPES[one["cache"]],
            linestyle="-" if one["how"] == "shift" else "--",
            marker="o" if one["how"] == "shift" else "s",
            markersize=3.5,
            markerfacecolor=None if one["how"] == "shift" else "none",
            label=label,
        )
    axes.set(
        yscale="log",
        xlabel="tokens decoded, one entry leaves at each",
        ylabel="KL from the float32 cache, nats",
        title=title,
    )
    key(figure)
    return figure


def device_costs(costs: Sequence[Mapping], caption: str, cell: Cell = str) -> HTML:
    """Prefill, decode and peak memory, a row an engine and length, with the least and the most of the
    repeats.

    Parameters
    ----------
    costs : sequence of mapping
        As in `kvbook.ondevice.cost.Cost.data`.
    cell : callable
        Makes a number lead to where it comes from.
    """
    rows = []
    for one in costs:
        read = [one["context"] / seconds for seconds in one["prefill"]]
        written = [1000 * seconds for seconds in one["decode"]]
        rows.append(
            {
                "engine": one["engine"],
                "tokens": one["context"],
                "threads": one["threads"],
                "read, tokens a second": cell(_spread(read, 0)),
                "decode, ms a token": cell(_spread(written, 1)),
                "CPU, s": cell(f"{median(one['cpu']):.1f}"),
                "peak, MiB": cell(f"{median(one['peak']) / 2**20:.0f}"),
            }
        )
    return table(rows, "measured", caption)


def _spread(values: Sequence[float], digits: int) -> str:
    middle, least, most = (
        f"{one:.{digits}f}" for one in (median(values), min(values), max(values))
    )
    return middle if least == most else f"{middle} ({least} to {most})"


def device_memory(costs: Sequence[Mapping], title: str = "") -> Figure:
    """Peak memory of the process over the length of the prompt, a line an engine; ``costs`` as in
    `device_costs`, of one number of threads."""
    figure, axes = plt.subplots(figsize=(WIDE, 3.2))
    looks = {"transformers": (COLOURS["h2o"], "x"), "kvbook": (COLOURS["fullkv"], "o")}
    for engine in dict.fromkeys(one["engine"] for one in costs):
        own = [one for one in costs if one["engine"] == engine]
        cache = engine.rpartition(" ")[2]
        colour, mark = looks.get(engine.split(",")[0], (TYPES.get(cache, INK), "s"))
        lengths = [one["context"] for one in own]
        peaks = [median(one["peak"]) / 2**20 for one in own]
        line = ":" if "q8_0, cache" in engine else "-"
        axes.plot(lengths, peaks, line, color=colour, marker=mark, label=engine)
    axes.set(xlabel="tokens of the prompt", ylabel="peak of the process, MiB", title=title)
    axes.set_ylim(bottom=0)
    key(figure)
    return figure


# ---- what the numbers say -------------------------------------------------------------------------


def device_sentences(measured: Mapping[str, Mapping], seed: int) -> Said:
    """What `device_grid` shows: for each type of weights, the full cache in fewer bits, fewer bits beside
    fewer entries, and what a summary adds to the same number of entries."""
    told = []
    for weights in dict.fromkeys(label.split(",")[0] for label in measured):
        own = [one for label, one in measured.items() if label.startswith(f"{weights},")]
        first, *smaller = (one for one in own if one["method"] == "fullkv")
        told += [_bits(weights, one, first, seed) for one in smaller]
        if smaller and (fewer := _bounded(own, first["cache"])):
            told.append(_bits_or_entries(weights, smaller[-1], fewer, seed))
        pairs = [
            (one, other)
            for one in own
            for other in own
            if (one["method"], one["how"], other["method"])
            == ("summarykv", "shift", "streamingllm")
            and one["cache"] == other["cache"]
            and one["facts"]
        ]
        if pairs:
            summary, window = (
                [fmean(fact) for fact in zip(*map(_facts, side), strict=True)]
                for side in zip(*pairs, strict=True)
            )
            told.append(
                say(
                    "Weights {weights}, the same number of entries: over all types of cache, the share of facts that "
                    "SummaryKV recalls is {compared} (StreamingLLM's is the second number).",
                    weights=weights,
                    compared=compare(summary, window, seed, ".2f"),
                )
            )
    return bullets(told)


def _bits(weights: str, one: Mapping, first: Mapping, seed: int) -> Said:
    """A full cache in fewer bits beside the first one."""
    told = say(
        "Weights {weights}, full cache: {cache} has {share:.0%} of the bytes of {wide}. Its distance from float32 "
        "is {distance}. It finds {found} of {needles} needles ({wide}: {before})",
        weights=weights,
        cache=one["cache"],
        wide=first["cache"],
        share=one["needle_bytes"] / first["needle_bytes"],
        distance=compare(_kl(one), _kl(first), seed, ".4f"),
        found=sum(one["needles"]),
        needles=len(one["needles"]),
        before=sum(first["needles"]),
    )
    if not one["facts"]:
        return say("{told}.", told=told)
    return say(
        "{told}, and the share of facts that it recalls is {compared}.",
        told=told,
        compared=compare(_facts(one), _facts(first), seed, ".2f"),
    )


def _bounded(own: Sequence[Mapping], cache: str) -> Mapping | None:
    """SummaryKV in this type of cache, if it was measured."""
    found = (one for one in own if (one["method"], one["cache"]) == ("summarykv", cache))
    return next(found, None)


def _bits_or_entries(weights: str, bits: Mapping, entries: Mapping, seed: int) -> Said:
    """A full cache in fewer bits beside a bounded one in more."""
    return say(
        "Weights {weights}, bits or entries: the full cache in {cache} has {share:.2f} times the bytes of "
        "SummaryKV's in {wide}, at the end of a needle's prompt. Its distance from float32 is {distance}; the "
        "share of needles that it finds is {needles} (SummaryKV's is the second number).",
        weights=weights,
        cache=bits["cache"],
        wide=entries["cache"],
        share=bits["needle_bytes"] / entries["needle_bytes"],
        distance=compare(_kl(bits), _kl(entries), seed, ".4f"),
        needles=compare(_needles(bits), _needles(entries), seed, ".2f"),
    )


def _needles(one: Mapping) -> list[float]:
    return [float(found) for found in one["needles"]]


def _kl(one: Mapping) -> list[float]:
    return [probe["kl"] for probe in one["fidelity"]]


def _facts(one: Mapping) -> list[float]:
    return [float(fact["found"]) for fact in one["facts"]]


def drift_sentence(curves: Mapping[str, Mapping]) -> Said:
    """What `drift` shows: for each type, shifted and read again, over the last quarter of the tokens."""
    told = []
    for kind in dict.fromkeys(one["cache"] for one in curves.values()):
        ends = {
            one["how"]: fmean(one["kl"][-max(1, len(one["kl"]) // 4) :])
            for one in curves.values()
            if one["cache"] == kind
        }
        if len(ends) == 2:
            told.append(
                say(
                    "{kind}: {shift:.4f} nats where keys are shifted, {reread:.4f} where the sinks are read again, a "
                    "ratio of {ratio:.1f}.",
                    kind=kind,
                    ratio=ends["shift"] / ends["reread"],
                    **ends,
                )
            )
    return say(
        "The mean distance from the same window in float32, over the last quarter of {tokens} tokens:\n\n{told}",
        tokens=len(next(iter(curves.values()))["kl"]),
        told=bullets(told),
    )


def same_sentence(same: Mapping[str, Mapping[str, float]]) -> Said:
    """How far two engines are apart with the same methods.

    Parameters
    ----------
    same : mapping
        As `kvbook.ondevice.measure.compare` returns it.
    """
    kl, share = max(one["kl"] for one in same.values()), min(one["same"] for one in same.values())
    if share == 1:
        return say(
            "Both would say the same next token every time. The largest distance is {kl:.0e} nats.",
            kl=kl,
        )
    return say(
        "Both would say the same next token in {share:.0%} of all cases or more. The largest distance is "
        "{kl:.0e} nats.",
        share=share,
        kl=kl,
    )


def recalled_sentence(answer: str, held: str, right: str) -> Said:
    """Whether an answer is right, and whether the cache still had what it needs.

    Parameters
    ----------
    answer : str
        The model's.
    held : str
        The text of all that the cache holds.
    right : str
        What a right answer has.
    """
    told = (
        say("**Right:** the last answer has {right}.", right=right)
        if right in answer
        else say("**Wrong:** the last answer should have {right}.", right=right)
    )
    there = (
        say("{right} is still in the cache.", right=right)
        if right in held
        else say("{right} is no longer in the cache, not even in the summary.", right=right)
    )
    return say("{told} {there}", told=told, there=there)


def cost_sentences(
    costs: Sequence[Mapping], moving: Mapping[str, Mapping[str, Sequence[float]]], budget: int
) -> Said:
    """What `device_costs` shows, at the longest prompt: llama.cpp's first combination beside this package's
    full cache, and llama.cpp's others beside its first, with the first number of threads; and what
    moving one entry costs in a cache of ``budget`` entries."""
    told = []
    first_threads = costs[0]["threads"]
    for threads in dict.fromkeys(one["threads"] for one in costs):
        own = [one for one in costs if one["threads"] == threads]
        longest = max(one["context"] for one in own)
        at = {one["engine"]: one for one in own if one["context"] == longest}
        ours = next(name for name in at if name.startswith("kvbook"))
        theirs, *others = (name for name in at if name.startswith("llama.cpp"))
        pairs = [(theirs, ours)]
        if threads == first_threads:
            pairs += [(name, theirs) for name in others]
        told += [_beside(at[name], at[base], threads) for name, base in pairs]
    for cache, times in moving.items():
        base = median(times["nothing"])
        told.append(
            say(
                "One entry leaves a cache of {budget} entries in {cache}: a token takes {base:.1f} ms if nothing "
                "leaves; shifting the recent entries changes that by {shift:+.1f} ms, and reading the sinks again by "
                "{reread:+.1f} ms.",
                budget=budget,
                cache=cache,
                base=1000 * base,
                shift=1000 * (median(times["shift"]) - base),
                reread=1000 * (median(times["reread"]) - base),
            )
        )
    return bullets(told)


def _beside(one: Mapping, base: Mapping, threads: int) -> Said:
    """Two engines at the same length."""
    ratios = {
        part: median(one[part]) / median(base[part]) for part in ("prefill", "decode", "peak")
    }
    return say(
        "*{name}* beside *{base}*, {tokens:,} tokens, threads: {threads}: {prefill:.2f} times the time to read, "
        "{decode:.2f} times the time to write a token, {peak:.2f} times the peak of the process.",
        name=one["engine"],
        base=base["engine"],
        tokens=one["context"],
        threads=threads,
        **ratios,
    )
