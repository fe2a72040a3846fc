"""A cache by hand: what is computed for every token, and what is read from the cache."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from kvbook.show.drawing import key, mark_said
from kvbook.show.said import Said, bullets, say
from kvbook.show.style import KEPT, WIDE

Step = tuple[Sequence[int], Sequence[int]]
COMPUTED, ABSENT = "#E69F00", "#80889022"
LABELLED = 80
"""Of more columns than this the tokens cannot be read: positions stand there instead."""


def work_by_token(panels: Mapping[str, Sequence[Step]], tokens: Sequence[str] = ()) -> Figure:
    """What every new token costs: a panel a cache, a row a token, a column a position.

    Parameters
    ----------
    panels : mapping of str to sequence of (sequence of int, sequence of int)
        By title: for every token that is written, the positions that are computed for it, and
        those that are read from the cache.
    tokens : sequence of str
        The texts of the prompt's tokens, from position 0 on: they stand under the last panel,
        if they fit.
    """
    columns = 1 + max(max(computed) for steps in panels.values() for computed, _ in steps)
    rows = min(12, max(map(len, panels.values())))
    height = 0.9 + len(panels) * (0.45 + 0.11 * rows)
    figure, all_axes = plt.subplots(len(panels), figsize=(WIDE, height), sharex=True, squeeze=False)
    colours = ListedColormap([ABSENT, KEPT, COMPUTED])
    for axes, (title, steps) in zip(all_axes.flat, panels.items(), strict=True):
        grid = np.zeros((len(steps), columns))
        for row, (computed, read) in enumerate(steps):
            grid[row, list(read)] = 1
            grid[row, list(computed)] = 2
        axes.imshow(grid, aspect="auto", cmap=colours, interpolation="nearest", vmin=0, vmax=2)
        axes.set_yticks([0, len(steps) - 1], ["1", str(len(steps))])
        axes.set_ylabel("new token")
        axes.set_title(title, loc="left")
        axes.tick_params("x", length=0)
    if len(tokens) and columns <= LABELLED:
        texts = [text.strip().replace("$", r"\$") or "␣" for text in tokens]
        axes.set_xticks(range(len(texts)), texts, rotation=90)
        mark_said(axes.get_xticklabels())
    else:
        axes.set_xlabel("position")
    for colour, label in ((COMPUTED, "computed"), (KEPT, "read from cache")):
        axes.scatter([], [], marker="s", color=colour, label=label)
    key(figure)
    return figure


def work_sentence(panels: Mapping[str, Sequence[Step]]) -> Said:
    """What `work_by_token` shows: what each cache has computed, and what the last token reads of it."""
    template = (
        "{title}: {computed} positions are computed for {tokens} tokens; the last one reads {read} "
        "entries from the cache."
    )
    return bullets(
        [
            say(
                template,
                title=title,
                computed=sum(len(computed) for computed, _ in steps),
                tokens=len(steps),
                read=len(steps[-1][1]),
            )
            for title, steps in panels.items()
        ]
    )
