"""One look for every figure: readable on light and dark pages, in colours that colour-blind
readers tell apart."""

from itertools import cycle

import matplotlib.pyplot as plt
from IPython import get_ipython
from matplotlib.figure import Figure

from kvbook.catalogue import method_names
from kvbook.show.drawing import INK, drawings

WIDE = 6.95
"""Inches, 667 pixels: a figure fits the column of a page in a window of 1280 pixels (688) as it is, and nothing is
scaled."""
SMALLEST = 9
"""Points of the smallest letters: 12 pixels."""
KEPT = "#0072B2"
"""What is kept, in every map."""
PROMPT, ANSWER, END = "#56B4E9", "#009E73", "#D55E00"
"""The parts of a row of fine-tuning data: read; trained; its end."""
COLOURS = {
    "fullkv": "#56B4E9",
    "streamingllm": "#E69F00",
    "snapkv": "#009E73",
    "h2o": "#CC79A7",
    "pyramidinfer": "#D55E00",
    "gemfilter": "#8B6BD6",
    "fastkv": "#0072B2",
    "summarykv": "#B8860B",
}
"""One colour a method in all chapters (Okabe and Ito's palette, and a violet), on white and on black."""
_MORE = cycle(["#7A7A7A", "#B5652B", "#DC143C", "#4F8A8B"])
COLOURS |= {name: next(_MORE) for name in method_names() if name not in COLOURS}
MARKERS = dict(zip(COLOURS, cycle("os^vDPXhp*"), strict=False))
"""And one mark, for readers and printers without colours."""


def style() -> None:
    """Set the book's look for this notebook; call it once, after the imports."""
    plt.style.use(
        {
            "figure.figsize": (WIDE, 3.4),
            "figure.constrained_layout.use": True,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "savefig.transparent": True,
            "figure.dpi": 144,  # of maps, which are pictures in the picture
            "axes.spines.top": False,
            "axes.spines.right": False,
            "font.size": SMALLEST,
            "axes.titlesize": 10,
            "figure.titlesize": 10,
            "font.family": ["DejaVu Sans"],
            "legend.frameon": False,
            "axes.formatter.min_exponent": 7,  # 0.001 instead of a power
        }
        | dict.fromkeys(
            ["axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"], SMALLEST
        )
        | dict.fromkeys(
            [
                "text.color",
                "axes.labelcolor",
                "axes.edgecolor",
                "xtick.color",
                "ytick.color",
                "axes.titlecolor",
            ],
            INK,
        )
    )
    if shell := get_ipython():
        plt.switch_backend(plt.get_backend())  # now, for it would choose formats of its own later
        for kind in shell.display_formatter.formatters.values():
            kind.pop(Figure, None)
        shell.display_formatter.formatters["image/svg+xml"].for_type(Figure, drawings)
