"""One reading for several methods, beside a reading each."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.engine.run import Run
from kvbook.show.drawing import key
from kvbook.show.said import Said, say
from kvbook.show.style import COLOURS, INK, WIDE
from kvbook.show.tables import quoted, table


def panel_table(
    rows: Mapping[str, Run], words: Mapping[str, tuple[str, str]], caption: str
) -> HTML:
    """What every row of a panel holds, and what it says beside what its method says alone.

    Parameters
    ----------
    rows : mapping of str to Run
        By the method's name, the row's record.
    words : mapping of str to (str, str)
        As a row, and alone.
    """
    lines = [
        {
            "row": f"{place}: {name}",
            "entries a layer": f"{run.kept_positions[0].shape[-1]}",
            "KV now": f"{run.kv_bytes / 2**20:.2f} MiB",
            "words": quoted(repr(words[name][0])),
            "as alone": "yes" if len({*words[name]}) == 1 else quoted(repr(words[name][1])),
        }
        for place, (name, run) in enumerate(rows.items())
    ]
    return table(lines, "measured", caption)


def panel_seconds(
    alone: Mapping[str, tuple[float, float]], together: tuple[float, float]
) -> Figure:
    """Seconds of reading and of decoding: every method alone, one after the other, and all as one
    panel.

    Parameters
    ----------
    alone : mapping of str to (float, float)
        By method, the seconds of its prefill and of its decoding.
    together : (float, float)
        The same of the panel.
    """
    figure, axes = plt.subplots(figsize=(WIDE, 1.9))
    start = 0.0
    for name, (prefill, decode) in alone.items():
        axes.barh(1, prefill, left=start, color=COLOURS[name], label=name)
        axes.barh(1, decode, left=start + prefill, color=COLOURS[name], alpha=0.45)
        start += prefill + decode
    prefill, decode = together
    axes.barh(0, prefill, color=INK, label="one reading for all")
    axes.barh(0, decode, left=prefill, color=INK, alpha=0.45)
    axes.set_yticks([0, 1], ["a panel", "one by one"])
    axes.set(xlabel="seconds; pale: decoding")
    key(figure)
    return figure


def panel_sentence(
    words: Mapping[str, tuple[str, str]],
    alone: Mapping[str, tuple[float, float]],
    together: tuple[float, float],
) -> Said:
    """Whether the rows say what their methods say alone, and what the panel took beside them.

    Parameters
    ----------
    words, alone, together : mapping and (float, float)
        As `panel_table` and `panel_seconds` have them.
    """
    return say(
        "{same} of {all} rows say what their methods say alone. In this one run the panel read for {reading:.2f} s "
        "and decoded for {writing:.2f} s; one by one the methods took {readings:.2f} s and {writings:.2f} s.",
        same=sum(one == other for one, other in words.values()),
        all=len(words),
        reading=together[0],
        writing=together[1],
        readings=sum(prefill for prefill, _ in alone.values()),
        writings=sum(decode for _, decode in alone.values()),
    )
