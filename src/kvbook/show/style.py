"""One look for every figure: readable on light and dark pages, in colours that colour-blind
readers tell apart."""

from itertools import cycle

import matplotlib.pyplot as plt

from kvbook.catalogue import method_names

INK = "#30373f"
"""Text and axes: for white pages; the dark pages of the book turn a whole figure's light and dark around."""
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
"""One colour a method in all chapters (Okabe and Ito's palette, and a violet)."""
_MORE = cycle(["#444444", "#A0522D", "#DC143C", "#2F4F4F"])
COLOURS |= {name: next(_MORE) for name in method_names() if name not in COLOURS}
MARKERS = dict(zip(COLOURS, cycle("os^vDPXhp*"), strict=False))
"""And one mark, for readers and printers without colours."""


def style() -> None:
    """Set the book's look for this notebook; call it once, after the imports."""
    plt.style.use(
        {
            "figure.figsize": (7.2, 3.2),
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "savefig.transparent": True,
            "savefig.bbox": "tight",
            "figure.dpi": 110,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "font.size": 10,
            "font.family": ["DejaVu Sans"],
            "legend.frameon": False,
            "svg.fonttype": "none",
        }
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
