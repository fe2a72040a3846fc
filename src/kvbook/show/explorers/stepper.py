"""A prompt on its way through caches, a token a step: the book's one moving picture."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path

from IPython.display import HTML
from markupsafe import Markup

from kvbook.show.explorers.frame import explorer
from kvbook.show.style import COLOURS, INK
from kvbook.tasks.frames import Frames

LEAST = 6
"""Per cent of a cell that the bar of the lowest score fills."""
WORDS = {
    "read": "Token {number} of {all} is read: {token}",
    "space": "a space",
    "written": "Token {number} of the answer is written.",
    "done": "The answer is written.",
    "holds": "holds {count}",
    "holds_summary": "holds {count} and a summary",
    "right": "✓ right",
    "wrong": "✗ wrong",
    "play": "play",
    "pause": "pause",
}
"""What the script says; of a picture also `cut_words`."""


def stepper(
    frames: Sequence[Frames], methods: Collection[str] | None = None, name: str = ""
) -> HTML:
    """A prompt, token by token, a row a method: entries come, their scores rise, some are evicted,
    and the answer is right or wrong.

    It shows its last step until somebody plays it, by a button, a key (space and arrows) or a
    finger; the last step is also what is printed. On a slide, keys and fingers are its own as soon
    as it was clicked; an arrow past its end goes on to the next slide.

    Parameters
    ----------
    frames : sequence of kvbook.tasks.frames.Frames
        Of one prompt, layer and KV head.
    methods : collection of str, optional
        The names of those to show; all when left out.
    name : str
        Unique on its page, and in the book; by the methods when left out.
    """
    shown = [one for one in frames if methods is None or one.name in methods]
    first, name = shown[0], name or "-".join(["stepper", *(one.name for one in shown)])
    steps = len(first.tokens) + 1 + max(len(one.written) for one in shown)
    columns = max(len(one.came) for one in shown)
    style = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    buttons = "".join(
        f'<button type="button" class="kv-{part}" aria-label="{label}">{sign}</button>'
        for part, label, sign in (
            ("first", "to the start", "↺"),
            ("prior", "a step back", "◀"),
            ("play", WORDS["play"], "▶"),
            ("next", "a step on", "▶❘"),
        )
    )
    inside = Markup(
        '<style>{}</style><figure class="kv-stepper" role="group" tabindex="0" data-prevent-swipe aria-label="{}" style="--n: {}{}">'
        '<div class="kv-steps" hidden>{}<input class="kv-slide" type="range" min="0" max="{}" value="{}" aria-label="step"></div>'
        '<p class="kv-now" aria-live="polite">{}</p><div class="kv-line kv-over" aria-hidden="true">{}</div>{}'
        "<figcaption>{}</figcaption></figure>"
    ).format(
        Markup(style),
        describe(shown),
        columns,
        "; --tall: 64px" if len(shown) == 1 else "",
        Markup(buttons),
        steps - 1,
        steps - 1,
        WORDS["done"],
        _over(shown, columns),
        Markup("").join(_row(one, steps) for one in shown),
        caption(shown),
    )
    data = {
        "steps": steps,
        "tokens": first.tokens,
        "rows": [
            {
                "came": one.came,
                "gone": one.gone,
                "heights": heights(one),
                "scored": any(one.scores),
                "written": one.written,
                "verdict": verdict(one),
                "summaries": [one.summaries.get(str(step)) for step in range(steps)],
                "sinks": one.sinks,
            }
            for one in shown
        ],
    }
    words = {**WORDS, "cut": cut_words(shown)}
    return explorer(name, inside, "stepper", data, words, "With JavaScript this picture moves.")


def heights(frames: Frames) -> list[list[int | None] | None]:
    """The scores as bars, in per cent of a cell, from the method's lowest to its highest: logarithmic,
    or linear where some are not above zero."""
    known = [value for row in frames.scores for value in row if value is not None]
    scale = math.log if is_logarithmic(frames) else float
    low, high = (scale(one) for one in (min(known, default=1.0), max(known, default=1.0)))

    def height(value: float | None) -> int | None:
        if value is None:
            return None
        return round(LEAST + (100 - LEAST) * (scale(value) - low) / ((high - low) or 1))

    return [[height(value) for value in row] if row else None for row in frames.scores]


def is_logarithmic(frames: Frames) -> bool:
    """Whether all scores are above zero, as attention is."""
    return all(value > 0 for row in frames.scores for value in row if value is not None)


def title(frames: Frames) -> str:
    """A method as it is written: ``SnapKV``."""
    return frames.method.partition("(")[0]


def verdict(frames: Frames) -> str:
    """Whether the answer is ``right`` or ``wrong``; for a prompt that asks for nothing, nothing."""
    if not frames.answer:
        return ""
    return "right" if frames.right else "wrong"


def cut_words(shown: Sequence[Frames]) -> str:
    """What happens in the step behind the prompt, as a sentence."""
    cutting = [one for one in shown if len(one.tokens) in one.gone]
    if not cutting:
        return "The prompt is read."
    return f"The prompt is read. {listed(cutting)} {'cut' if len(cutting) > 1 else 'cuts'}."


def describe(shown: Sequence[Frames]) -> str:
    """The picture in words, a sentence a line, for those who do not see it."""
    prompt = "".join(shown[0].tokens)
    begin = (f"Caches step by step, for the prompt {prompt!r}.", "In the end:")
    return "\n".join((*begin, *map(_outcome, shown), "Space plays, arrows step."))


def _outcome(frames: Frames) -> str:
    """What came of one method, as a sentence."""
    entries = len(frames.held(len(frames.scores)))
    summary = " and a summary" if frames.summaries else ""
    right = f", {verdict(frames)}" if frames.answer else ""
    return f"{title(frames)} holds {entries} entries{summary} and writes {frames.text.strip()!r}{right}."


def caption(shown: Sequence[Frames]) -> Markup:
    """What to see, and what is shown of the model, sentence by sentence."""
    first = shown[0]
    asked = ", the one of all that looks at the answer most" if first.gold else ""
    parts = [
        "Coloured: held. Crossed out: evicted.",
        f"The cells are those of KV head {first.head} in layer {first.layer}{asked}; the answer is the whole model's.",
    ]
    scored = [one for one in shown if any(one.scores)]
    linear = [one for one in scored if not is_logarithmic(one)]
    early = [one for one in scored if one.early]
    rolling = [one for one in shown if one.rolling]
    if scored:
        scale = "logarithmic"
        if linear:
            scale = f"{listed(linear)}'s linear, the others' logarithmic"
        if len(linear) == len(scored):
            scale = "linear"
        parts.append(
            "A bar is the method's own score, from its lowest to its highest "
            f"({scale}); a pale cell is held without one."
        )
    if early:
        parts.append(f"The scores of {listed(early)} come from the layer that cuts.")
    if rolling:
        parts.append(f"The prompt goes through {listed(rolling)} token by token.")
    if len(shown) == 1:
        if first.gold and not first.summaries:
            holding, heads = first.holding
            parts.append(f"{holding} of {heads} heads hold the answer when the prompt is read.")
        parts.append(first.method)
    return Markup(" ").join(Markup("<span>{}</span>").format(part) for part in parts)


def listed(frames: Sequence[Frames]) -> str:
    """Methods in a sentence: one, or some and a last one."""
    *most, last = map(title, frames)
    return f"{', '.join(most)} and {last}" if most else last


def _over(shown: Sequence[Frames], columns: int) -> Markup:
    """The tokens, over their columns; of the answer's only where all rows share them."""
    tokens = [*shown[0].tokens]
    if len(shown) == 1:
        tokens += shown[0].written[: columns - len(tokens)]
    words = [
        Markup('<span class="kv-said{}">{}</span>').format(
            " kv-gold" if i in shown[0].gold else "", token.strip() or "␣"
        )
        for i, token in enumerate(tokens)
    ]
    if len(tokens) < columns:
        words.append(
            Markup('<span style="grid-column: {} / {}">answer</span>').format(
                len(tokens) + 1, columns + 1
            )
        )
    return Markup("").join(words)


def _row(frames: Frames, steps: int) -> Markup:
    """One method at the last step."""
    last = steps - 1
    held = set(frames.held(last))
    bars: list[int | None] = next((row for row in reversed(heights(frames)) if row), [])
    scored = any(frames.scores)
    cells = []
    for i in range(len(frames.came)):
        height = (bars[i] if i < len(bars) else None) if scored else 100
        cells.append(
            Markup('<i class="kv-{}" style="grid-column: {}; --h: {}"></i>').format(
                "on" if i in held else "gone", i + 1, (height or 0) / 100
            )
        )
    summary = next(reversed(frames.summaries.values()), "")
    recent = min((i for i in held if i >= frames.sinks), default=frames.sinks + 1)
    back = Markup('<span class="kv-back kv-said" style="grid-column: {} / {}"{}>{}</span>').format(
        frames.sinks + 1, recent + 1, "" if summary else Markup(" hidden"), summary
    )
    holds, right = WORDS["holds_summary" if summary else "holds"], verdict(frames)
    return Markup(
        '<div class="kv-head" style="--c: {0}"><b>{1}</b><span class="kv-holds">{2}</span>'
        '<span class="kv-says"><span class="kv-said">“{3}”</span><span class="kv-verdict">{4}</span></span></div>'
        '<div class="kv-line kv-cells" style="--c: {0}" aria-hidden="true">{5}{6}</div>'
    ).format(
        COLOURS.get(frames.name, INK),
        title(frames),
        holds.format(count=len(held)),
        frames.text.strip(),
        f" {WORDS[right]}" if right else "",
        Markup("").join(cells),
        back,
    )
