"""What methods cost, measured and on paper: tables and pictures of the profiling chapter."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.profiling.load import Load
from kvbook.show.drawing import key
from kvbook.show.said import Said, bullets, say
from kvbook.show.style import COLOURS, INK, MARKERS, WIDE
from kvbook.show.tables import table

MiB = 2**20


def parts_on_paper(paper, caption: str) -> HTML:
    """Operations and bytes by part, of the prefill and of decoding.

    Parameters
    ----------
    paper : kvbook.profiling.Prediction
        Of any method.
    """
    decode = paper.decode.parts
    rows = [
        {
            "part": part,
            "prefill, TFLOP": f"{cost.flops / 1e12:.2f}",
            "prefill, GB moved": f"{cost.bytes / 1e9:.1f}",
            "decode, TFLOP": f"{decode[part].flops / 1e12:.3f}",
            "decode, GB moved": f"{decode[part].bytes / 1e9:.1f}",
        }
        for part, cost in paper.prefill.parts.items()
    ]
    return table(rows, "computed", caption)


def shares_of_full(shares: Sequence, memory_context: int, caption: str) -> HTML:
    """Costs as shares of FullKV, of `kvbook.profiling.profile.Profiled.shares`."""
    memory = f"memory above the weights, {memory_context:,} tokens"
    rows = [
        {
            "method": one.method.name,
            "prefill": one.prefill.show(),
            "end to end": one.end_to_end.show(),
            "decode, a token": one.decode.show(),
            memory: "–" if one.memory is None else f"{one.memory:.2f}",
        }
        for one in shares
    ]
    return table(rows, "measured", caption)


def machine(hardware) -> HTML:
    """What the micro-benchmark found, a `kvbook.profiling.Hardware`."""
    row = {
        "machine": hardware.name,
        "GFLOP/s": f"{hardware.flops / 1e9:,.0f}",
        "GB/s": f"{hardware.bandwidth / 1e9:.1f}",
        "a layer's start": f"{1000 * hardware.layer_seconds:.2f} ms",
    }
    return table([row], "measured", "this machine")


def measured_and_paper(pairs: Sequence[tuple], agrees: Sequence[bool], caption: str) -> HTML:
    """Measurements with what the cost model says beside each.

    Parameters
    ----------
    pairs : sequence of (Measurement, Prediction)
        Of `kvbook.profiling.profile.Profiled.pairs`.
    agrees : sequence of bool
        Whether the bytes of the cache are the same in both.
    """
    rows = [
        {
            "method": one.method,
            "context": f"{one.context_length:,}",
            "prefill, s": f"{one.spread('prefill').median:.2f}",
            "on paper": f"{paper.prefill_seconds:.2f}",
            "decode, ms": f"{1000 * one.spread('decode').median:.0f}",
            "on paper ": f"{1000 * paper.decode_seconds:.0f}",  # blanks: another column each
            "memory, MiB": "–" if one.peak_bytes is None else f"{one.peak_bytes / MiB:.0f}",
            "on paper  ": f"{paper.run_bytes / MiB:.0f}",
            "with frames": f"{(paper.run_bytes + paper.frame_bytes) / MiB:.0f}",
            "KV the same": "yes" if same else "no",
        }
        for (one, paper), same in zip(pairs, agrees, strict=True)
    ]
    return table(rows, "measured", caption)


def measured_over_paper(pairs: Sequence[tuple]) -> Figure:
    """Prefill and memory, measured over predicted, a mark a method and context; on the line both
    are the same."""
    figure, panels = plt.subplots(1, 2, figsize=(WIDE, 3.3))
    longest = max(one.context_length for one, _ in pairs)
    for one, paper in pairs:
        look = {
            "color": COLOURS[one.method],
            "marker": MARKERS[one.method],
            "linestyle": "none",
            "label": one.method if one.context_length == longest else None,
        }
        panels[0].plot(paper.prefill_seconds, one.spread("prefill").median, **look)
        if one.peak_bytes is not None:
            panels[1].plot(paper.run_bytes / MiB, one.peak_bytes / MiB, **look)
    for axes, title in zip(panels, ("prefill, s", "memory above the weights, MiB"), strict=True):
        low = max(1e-3, 0.8 * min(axes.get_xlim()[0], axes.get_ylim()[0]))
        high = 1.1 * max(axes.get_xlim()[1], axes.get_ylim()[1])
        axes.plot([low, high], [low, high], color=INK, linewidth=0.8)
        axes.set(xlabel="on paper", title=title, xlim=(low, high), ylim=(low, high))
    panels[0].set_ylabel("measured")
    key(figure)
    return figure


def first_and_second_run(peaks: Mapping[str, Sequence[int]], papers: Mapping, caption: str) -> HTML:
    """Peaks above the level before, of two runs in one process.

    Parameters
    ----------
    peaks : mapping of str to (int, int)
        Bytes by method.
    papers : mapping of str to kvbook.profiling.Prediction
        The same on paper.
    """
    rows = [
        {
            "method": name,
            "first run in its process": f"{first / MiB:.0f} MiB",
            "the same once more": f"{second / MiB:.0f} MiB",
            "on paper, with frames": f"{(papers[name].run_bytes + papers[name].frame_bytes) / MiB:.0f} MiB",
        }
        for name, (first, second) in peaks.items()
    ]
    return table(rows, "measured", caption)


def seconds_by_part(total: Mapping[str, Mapping[str, float]], caption: str) -> HTML:
    """Seconds of a prefill by part, and their sum, a row a method."""
    rows = [
        {"method": name}
        | {part: f"{seconds:.2f} s" for part, seconds in of.items()}
        | {"sum": f"{sum(of.values()):.2f} s"}
        for name, of in total.items()
    ]
    return table(rows, "measured", caption)


def speed_by_part(seconds: Mapping[str, float], costs: Mapping, products: float) -> HTML:
    """How fast FullKV's parts are, against the machine's own matrix products.

    Parameters
    ----------
    seconds : mapping of str to float
        Measured, by part.
    costs : mapping of str to kvbook.profiling.prediction.Cost
        Of the same prefill.
    products : float
        Operations a second of the micro-benchmark.
    """
    rows = []
    for part in ("projections", "attention", "mlp"):
        speed = costs[part].flops / seconds[part]
        rows.append(
            {
                "part": part,
                "GFLOP": f"{costs[part].flops / 1e9:.0f}",
                "GFLOP/s": f"{speed / 1e9:.0f}",
                "of the machine's products": f"{speed / products:.0%}",
            }
        )
    return table(rows, "measured", "FullKV's parts, against the micro-benchmark")


def bench_parts(data: Mapping, caption: str) -> HTML:
    """Where the time of FullKV's prefill went, of `kvbook.profiling.bench.plain`."""
    seconds, flops, products = data["parts"], data["parts_flops"], data["hardware"]["flops"]
    whole = sum(seconds.values())
    rows = [
        {
            "part": part,
            "seconds": f"{taken:.2f}",
            "share": f"{taken / whole:.0%}",
            "at the speed of products, s": f"{flops[part] / products:.2f}"
            if part in flops
            else "–",
        }
        for part, taken in seconds.items()
    ]
    return table(rows, "measured", caption)


def token_times(full: Sequence, bandwidth: float, caption: str) -> HTML:
    """A decoded token of FullKV at every context, beside the time in which the memory hands over
    the weights and the cache.

    Parameters
    ----------
    full : sequence of kvbook.profiling.Measurement
        FullKV's.
    bandwidth : float
        Bytes a second.
    """
    rows = []
    for one in full:
        took, floor = one.spread("decode"), sum(read_once(one, bandwidth).values())
        rows.append(
            {
                "context": f"{one.context_length:,}",
                "weights, MB": f"{one.weight_bytes / 1e6:.0f}",
                "cache, MB": f"{one.kv_bytes / 1e6:.0f}",
                "the memory allows, ms": f"{1000 * floor:.0f}",
                "a token took, ms": took.show(".0f", 1000),
                "times as long": f"{took.median / floor:.1f}",
            }
        )
    return table(rows, "measured", caption)


def read_once(one, bandwidth: float) -> dict[str, float]:
    """Seconds in which the memory hands over weights and cache of a `kvbook.profiling.Measurement`."""
    return {"weights": one.weight_bytes / bandwidth, "cache": one.kv_bytes / bandwidth}


def token_bars(one, bandwidth: float, token: Mapping[str, float]) -> Figure:
    """Where a decoded token's time goes, above what the memory allows.

    Parameters
    ----------
    one : kvbook.profiling.Measurement
        FullKV's, at the context of ``token``.
    bandwidth : float
        Bytes a second.
    token : mapping of str to float
        Seconds by part: the fields of `kvbook.profiling.decoded_token.DecodedToken`.
    """
    figure, axes = plt.subplots(figsize=(WIDE, 1.7))
    colours = iter(COLOURS.values())
    for place, parts in enumerate((read_once(one, bandwidth), token)):
        left = 0.0
        for part, seconds in parts.items():
            axes.barh(place, 1000 * seconds, left=left, color=next(colours), label=part)
            left += 1000 * seconds
    axes.invert_yaxis()
    axes.set_yticks([0, 1], ["the memory allows", "a token took"])
    axes.set_xlabel("ms")
    key(figure)
    return figure


def broken_promises(promises: Sequence) -> Said:
    """Which promises hold, and which do not, with what was measured.

    Parameters
    ----------
    promises : sequence of kvbook.profiling.promises.Measured
        All of them.
    """
    broken = [one for one in promises if not one.holds]
    if not broken:
        return say("In the kept run all {all} promises hold.", all=len(promises))
    first = say(
        "In the kept run {kept} of {all} promises hold. These do not:",
        kept=len(promises) - len(broken),
        all=len(promises),
    )
    told = [
        say(
            "**{what}**: {measured} instead of {most} ({to}).",
            what=one.what, measured=one.show(one.measured.median), most=one.show(one.most), to=one.to,
        )
        for one in broken
    ]  # fmt: skip
    return say("{first}\n\n{told}", first=first, told=bullets(told))


def load_sentence(load: Load, measurements: Sequence) -> Said:
    """Whether the machine was left alone while it measured, and how far the repeats of a prefill lie
    apart.

    Parameters
    ----------
    load : kvbook.profiling.load.Load
        Of the whole session.
    measurements : sequence of kvbook.profiling.Measurement
        What was measured in it.
    """
    spreads = [one.spread("prefill") for one in measurements if one.prefill]
    apart = max((one.high / one.low - 1 for one in spreads), default=0.0)
    words = (
        "**This machine was busy while this page measured**: other programs used {share:.0%} of its CPU time. "
        "Its times are too long, and even its ratios are rough."
        if load.busy
        else "While this page measured, other programs used {share:.0%} of the machine's CPU time: it was left alone."
    )
    return say(
        words + " Repeats of one prefill lie up to {apart:.0%} apart, so single times are rough.",
        share=load.share,
        apart=apart,
    )


def shares_sentence(shares: Sequence) -> Said:
    """Whose prefill and decoding were quicker than FullKV's in every repeat, and who needs less memory.

    Parameters
    ----------
    shares : sequence of kvbook.profiling.profile.Shares
        As in `shares_of_full`; FullKV's own is passed over.
    """
    others = [one for one in shares if one.method.name != "fullkv"]
    told = []
    for what, words in (("prefill", "Prefill"), ("decode", "Decoding a token")):
        groups: dict[str, list[str]] = {}
        for one in others:
            ratio = getattr(one, what)
            group = (
                "**{what}, quicker than FullKV in every repeat**: {names}."
                if ratio.high < 1
                else "**{what}, slower in every repeat**: {names}."
                if ratio.low > 1
                else "**{what}, not told apart from FullKV**: {names}."
            )
            groups.setdefault(group, []).append(f"{one.method.name} ({ratio.median:.2f})")
        told += [say(group, what=words, names=", ".join(names)) for group, names in groups.items()]
    known = {one.method.name: one.memory for one in others if one.memory is not None}
    if known:
        least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        told.append(
            say(
                "**Memory above the weights** lies between {low:.2f} ({least}) and {high:.2f} ({most}) of FullKV's.",
                low=known[least], high=known[most], least=least, most=most,
            )
        )  # fmt: skip
    return bullets(told)


def floor_sentence(pairs: Sequence[tuple], raised: float) -> Said:
    """How far measured times and memory lie above the cost model's floor.

    Parameters
    ----------
    pairs : sequence of (Measurement, Prediction)
        As in `measured_and_paper`.
    raised : float
        As in `kvbook.profiling.profile.Profiled`.
    """
    times = {
        what: [
            one.spread(what).median / getattr(paper, f"{what}_seconds")
            for one, paper in pairs
            if getattr(one, what)
        ]
        for what in ("prefill", "decode")
    }
    memory = [one.peak_bytes / paper.run_bytes for one, paper in pairs if one.peak_bytes]
    told = [
        say(
            "{what} takes {low:.1f} to {high:.1f} times its floor.",
            what=what, low=min(ratios), high=max(ratios),
        )
        for what, ratios in zip(("The prefill", "Decoding"), times.values(), strict=True)
        if ratios
    ]  # fmt: skip
    if memory:
        words = "Memory is {low:.1f} to {high:.1f} times what must exist on paper."
        told.append(say(words, low=min(memory), high=max(memory)))
    if raised > 1:
        words = "The micro-benchmark met a slower moment: a run was {raised:.2f} times as quick as it allowed, and the floor is lowered to that run."
        told.append(say(words, raised=raised))
    return bullets(told)


def parts_sentence(total: Mapping[str, Mapping[str, float]]) -> Said:
    """Which part takes most of FullKV's prefill; and how much of FullKV's time every other method
    takes, for this part and for all parts together.

    Parameters
    ----------
    total : mapping of str to mapping of str to float
        As in `seconds_by_part`, with ``"fullkv"``.
    """
    full = total["fullkv"]
    part = max(full, key=full.__getitem__)
    told = [
        say(
            "FullKV's largest part is {part}: {share:.0%} of the prefill.",
            part=part, share=full[part] / sum(full.values()),
        )
    ]  # fmt: skip
    told += [
        say(
            "{name} takes {share:.0%} of FullKV's time for {part}, and {whole:.0%} of it for all parts together.",
            name=name, part=part, share=of[part] / full[part], whole=sum(of.values()) / sum(full.values()),
        )
        for name, of in total.items()
        if name != "fullkv"
    ]  # fmt: skip
    return bullets(told)


def token_sentence(full: Sequence, bandwidth: float, token: Mapping[str, float]) -> Said:
    """How many times as long as the memory allows a decoded token takes, and its largest part.

    Parameters
    ----------
    full, bandwidth
        As in `token_times`.
    token : mapping of str to float
        As in `token_bars`.
    """
    times = [one.spread("decode").median / sum(read_once(one, bandwidth).values()) for one in full]
    part = max(token, key=token.__getitem__)
    return say(
        "A token takes {low:.1f} to {high:.1f} times as long as the memory allows. Its largest part is "
        "*{part}*, {share:.0%} of the watched time.",
        low=min(times), high=max(times), part=part, share=token[part] / sum(token.values()),
    )  # fmt: skip
