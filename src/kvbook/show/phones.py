"""What the memory of a phone allows, on paper."""

from collections.abc import Mapping, Sequence

from IPython.display import HTML

from kvbook.show.said import Said, say
from kvbook.show.tables import table

Papers = Mapping[str, Sequence]
"""By method, a `kvbook.profiling.Prediction` of one prompt for every phone, the phones in one order; with
``"fullkv"``."""


def phone_table(papers: Papers, caption: str) -> HTML:
    """A phone a row: its memory, and the least time of a decoded token with every method."""
    rows = []
    for of_one in zip(*papers.values(), strict=True):
        phone = of_one[0].hardware
        row = {
            "phone": phone.name,
            "GB/s": f"{phone.bandwidth / 1e9:.1f}",
            "memory, GB": f"{phone.memory / 1e9:.0f}",
        }
        for name, paper in zip(papers, of_one, strict=True):
            row[f"{name}, ms a token"] = f"{1000 * paper.decode_seconds:.0f}" + (
                "" if paper.fits else " (does not fit)"
            )
        rows.append(row)
    return table(rows, "computed", caption)


def phone_sentence(papers: Papers, name: str) -> Said:
    """How many times as quick a token of one method is as FullKV's, and how far the phones lie apart."""
    full, other = papers["fullkv"], papers[name]
    gains = [a.decode_seconds / b.decode_seconds for a, b in zip(full, other, strict=True)]
    speeds = [one.hardware.bandwidth for one in full]
    return say(
        "A token with {name} can be {least:.1f} times as quick as FullKV's, on each of these phones, for both only "
        "wait for the memory. Between the slowest phone and the fastest lies a factor of {apart:.1f}.",
        name=name, least=min(gains), apart=max(speeds) / min(speeds),
    )  # fmt: skip
