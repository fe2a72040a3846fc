"""Fewer entries or fewer bits: two ways to the same bytes, and what each of them costs."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from kvbook.show.drawing import key
from kvbook.show.said import Said, bullets, compare, say
from kvbook.show.style import COLOURS, INK, KEPT, MARKERS, WIDE
from kvbook.show.tables import table
from kvbook.stats import Rate, mean_and_interval


def two_ways(ways: Mapping[str, tuple[float, float]]) -> Figure:
    """A cache as an area: entries to the right, bits upwards, in front of the whole cache.

    Parameters
    ----------
    ways : mapping of str to (float, float)
        By title: the share of the entries, and the bits of a number.
    """
    figure, panels = plt.subplots(1, len(ways), figsize=(WIDE, 2.3), sharey=True)
    for axes, (title, (share, bits)) in zip(panels, ways.items(), strict=True):
        axes.add_patch(Rectangle((0, 0), 1, 16, facecolor="none", edgecolor=INK, linestyle=":"))
        axes.add_patch(Rectangle((0, 0), share, bits, facecolor=KEPT, alpha=0.8))
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.3, 16.3), xlabel="entries, share")
        axes.set_title(f"{title}\n{share * bits / 16:.0%} of the bytes")
        axes.set_xticks([0, 0.5, 1])
        axes.set_yticks([0, 4, 8, 16])
    panels[0].set_ylabel("bits a number")
    return figure


def channels(tensors: Mapping[str, Tensor], title: str) -> Figure:
    """Sizes of numbers, a panel a tensor ``[entries, head_dim]``: channels from top to bottom,
    entries to the right. Dark is large."""
    figure, panels = plt.subplots(1, len(tensors), figsize=(WIDE, 3), sharey=True)
    for axes, (name, tensor) in zip(panels, tensors.items(), strict=True):
        sizes = tensor.float().abs().T.cpu()
        axes.imshow(sizes, aspect="auto", cmap="Blues", vmin=0, vmax=float(sizes.quantile(0.995)))
        axes.set(xlabel="entry", title=name)
    panels[0].set_ylabel("channel")
    figure.suptitle(title)
    return figure


def over_bytes(
    series: Mapping[str, Mapping[str, Mapping]], seed: int, title: str = "", full: str = "full"
) -> Figure:
    """Distance from full KV, and needles found, over the bytes kept, a line a series, with 95 %
    intervals.

    Parameters
    ----------
    series : mapping
        By series, by setting: what `kvbook.tasks.equal_bytes.compare_bytes` returns for it. A series
        has the colour of the method that it begins with; quantised ones are dashed.
    full : str
        The series with full KV, in 16 bits, as its only setting: all bytes are shares of its.
    """
    [whole] = series[full].values()
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDE, 3.8))
    for name, settings in series.items():
        if name == full:
            continue
        method, fewer = name.split(",")[0], name.endswith("bits")
        style = {
            "color": COLOURS.get(method, INK),
            "marker": MARKERS.get(method, "o"),
            "linestyle": "--" if fewer else "-",
            "linewidth": 1.8 if fewer else 1,
            "markersize": 5,
            "markerfacecolor": "none" if "4" in name else None,
            "elinewidth": 0.5,
        }
        ordered = sorted(settings.values(), key=lambda one: one["probe_bytes"])
        shares = [one["probe_bytes"] / whole["probe_bytes"] for one in ordered]
        points = [mean_and_interval(one["kl"], seed) for one in ordered]
        left.errorbar(shares, *_bars(points), label=name, **style)
        shares = [one["needle_bytes"] / whole["needle_bytes"] for one in ordered]
        points = [mean_and_interval(map(float, one["found"]), seed) for one in ordered]
        right.errorbar(shares, *_bars(points), **style)
    right.axhline(fmean(whole["found"]), color=COLOURS["fullkv"], label="full KV, 16 bits")
    left.set(yscale="log", ylabel="KL from full KV, nats")
    right.set(ylabel="share of needles found", ylim=(-0.05, 1.05))
    for axes in (left, right):
        axes.set(xlabel="bytes kept, share of full KV's in 16 bits")
        axes.set_xlim(left=0)
    figure.suptitle(title)
    key(figure)
    return figure


def _bars(points: Sequence[tuple[float, float, float]]) -> tuple[list, list]:
    """Means and intervals as ``errorbar`` takes them."""
    low = [max(0.0, mean - least) for mean, least, _ in points]
    high = [max(0.0, most - mean) for mean, _, most in points]
    return [mean for mean, _, _ in points], [low, high]


def bytes_table(
    series: Mapping[str, Mapping[str, Mapping]], seed: int, caption: str, full: str = "full"
) -> HTML:
    """What `over_bytes` draws, as numbers with their intervals; ``series`` as in `over_bytes`."""
    [whole] = series[full].values()
    rows = []
    for name, settings in series.items():
        for setting, one in settings.items():
            kl, low, high = mean_and_interval(one["kl"], seed)
            rate = Rate.of(one["found"], seed)
            rows.append(
                {
                    "way": name,
                    "setting": setting,
                    "bytes": f"{one['needle_bytes'] / whole['needle_bytes']:.0%}",
                    "found": f"{rate.hits} of {rate.trials} ({rate.low:.2f} to {rate.high:.2f})",
                    "KL, nats": f"{kl:.4f} ({low:.4f} to {high:.4f})",
                    "same next token": f"{fmean(one['agreement']):.3f}",
                }
            )
    return table(rows, "measured", caption)


def rounding_table(errors: Mapping[str, Sequence[float]], columns: Sequence[str]) -> HTML:
    """Relative errors of rounding, a row a way to form groups and a column a number of bits."""
    rows = [
        {"groups": name} | {c: f"{e:.3f}" for c, e in zip(columns, line, strict=True)}
        for name, line in errors.items()
    ]
    return table(rows, "measured", "root mean square of the error over that of the numbers")


# ---- what the numbers say -------------------------------------------------------------------------

NEAR = 1.25
"""Up to so many times the bytes, two ways are said to have about the same."""
TWICE = 2
"""Up to so many times the bytes, a way that evicts is compared with one in fewer bits."""


def rounding_sentence(errors: Mapping[str, Sequence[float]]) -> Said:
    """What `rounding_table` shows: how the two ways to form groups compare, for keys and for values."""
    told = []
    for part in ("keys", "values"):
        by_entry, by_channel = (errors[f"{part}, by {way}"] for way in ("entry", "channel"))
        ratios = [one / other for one, other in zip(by_entry, by_channel, strict=True)]
        told.append(
            say(
                "{part}: by entry the error is {least:.1f} to {most:.1f} times the error by channel.",
                part=say(part.capitalize()),
                least=min(ratios),
                most=max(ratios),
            )
        )
    return bullets(told)


def bytes_sentences(
    series: Mapping[str, Mapping[str, Mapping]], seed: int, full: str = "full"
) -> Said:
    """What `over_bytes` shows: all entries in fewer bits, beside full KV and beside the nearest way that
    evicts and has up to twice the bytes; and both at once, beside the same method at about the same bytes.

    Parameters
    ----------
    series : mapping
        As in `over_bytes`; the quantised ones end with "bits".
    seed : int
        Of the bootstrap.
    full : str
        The series with full KV in 16 bits.
    """
    [whole] = series[full].values()
    evicting = {
        f"{name}, {setting}": one
        for name, settings in series.items()
        if name != full and not name.endswith("bits")
        for setting, one in settings.items()
    }
    told = []
    for setting, one in series["fullkv, fewer bits"].items():
        told.append(
            say(
                "**All entries in {setting}, beside full KV:** {bytes}.",
                setting=setting,
                bytes=_beside(one, whole, seed),
            )
        )
        larger = {
            name: other for name, other in evicting.items() if 1 <= _ratio(other, one) <= TWICE
        }
        if larger:
            best = min(larger, key=lambda name: fmean(larger[name]["kl"]))
            told.append(
                say(
                    "**All entries in {setting}, beside {best}**, the nearest to full KV that evicts and has up "
                    "to twice the bytes: {bytes}.",
                    setting=setting,
                    best=best,
                    bytes=_beside(one, larger[best], seed),
                )
            )
    for name, settings in series.items():
        method, _, bits = name.partition(", ")
        for setting, one in settings.items() if method in series and bits.endswith("bits") else ():
            for other, plain in series[method].items():
                if other != setting and 1 <= _ratio(plain, one) <= NEAR:
                    told.append(
                        say(
                            "**Both at once, {name}, {setting}, beside {method}, {other}:** {bytes}.",
                            name=name,
                            setting=setting,
                            method=method,
                            other=other,
                            bytes=_beside(one, plain, seed),
                        )
                    )
    return bullets(told)


def _ratio(one: Mapping, other: Mapping) -> float:
    return one["probe_bytes"] / other["probe_bytes"]


def _beside(one: Mapping, other: Mapping, seed: int) -> Said:
    """Bytes, distance and needles of one way beside another's."""
    return say(
        "{share:.2f} times the bytes; distance from full KV {distance}; share of needles found {found}",
        share=_ratio(one, other),
        distance=compare(one["kl"], other["kl"], seed, ".4f"),
        found=compare(_hits(one), _hits(other), seed, ".2f"),
    )


def _hits(one: Mapping) -> list[float]:
    return [float(hit) for hit in one["found"]]
