"""When a compressed cache pays in time: answers of every length, from what was measured."""

from collections.abc import Mapping, Sequence
from math import isinf

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.profiling.answer_time import ahead_from, answer_seconds, saved_seconds
from kvbook.profiling.timing import Measurement
from kvbook.show.drawing import key
from kvbook.show.said import Said, bullets, say
from kvbook.show.style import COLOURS, MARKERS, WIDE
from kvbook.show.tables import table
from kvbook.stats import Spread

Timed = Mapping[str, Measurement]
"""By method, of one session at one context; with ``"fullkv"``."""


def _saved(timed: Timed, tokens: int) -> dict[str, Spread]:
    """What every method but FullKV saves."""
    full = timed["fullkv"]
    return {
        name: saved_seconds(one, full, tokens) for name, one in timed.items() if name != "fullkv"
    }


def saved_by_length(timed: Timed, lengths: Sequence[int]) -> Figure:
    """Seconds saved against FullKV over the length of an answer, a line a method: the median of the
    repeats, with the least and the most."""
    figure, axes = plt.subplots(figsize=(WIDE, 3.4))
    axes.axhline(0, color=COLOURS["fullkv"], label="fullkv")
    at_length = [_saved(timed, tokens) for tokens in lengths]
    for name in at_length[0]:
        spreads = [saved[name] for saved in at_length]
        axes.errorbar(
            lengths,
            [one.median for one in spreads],
            yerr=[
                [one.median - one.low for one in spreads],
                [one.high - one.median for one in spreads],
            ],
            marker=MARKERS[name],
            color=COLOURS[name],
            capsize=2,
            label=name,
        )
    axes.set(xlabel="new tokens", ylabel="saved against fullkv, s")
    key(figure)
    return figure


def _length(tokens: float) -> str:
    return "never" if isinf(tokens) else f"{tokens:.0f}"


def answer_times(timed: Timed, tokens: int, caption: str) -> HTML:
    """A method a row: its prefill and a token, from how many tokens on it is ahead, and what it saves
    after ``tokens``."""
    full = timed["fullkv"]
    rows = []
    for name, one in timed.items():
        row = {
            "method": name,
            "cache kept": f"{one.kv_bytes / full.kv_bytes:.2f}",
            "prefill, s": f"{one.spread('prefill').median:.2f}",
            "a token, ms": f"{1000 * one.spread('decode').median:.1f}",
            f"{tokens} tokens, s": f"{Spread.of(answer_seconds(one, tokens)).median:.1f}",
            "ahead from, tokens": "–",
            "saved, s": "–",
        }
        if name != "fullkv":
            first = ahead_from(one, full)
            low, high = _length(first.low), _length(first.high)
            row["ahead from, tokens"] = f"{_length(first.median)} ({low} to {high})"
            row["saved, s"] = saved_seconds(one, full, tokens).show("+.1f")
        rows.append(row)
    return table(rows, "computed", caption)


def answer_times_sentence(timed: Timed, tokens: int) -> Said:
    """Who is ahead from the first token on and who later, in every repeat; who is not told apart from
    FullKV after ``tokens``; and how far the sum is from the answers that were measured whole."""
    full, saved = timed["fullkv"], _saved(timed, tokens)
    first = {name: ahead_from(timed[name], full) for name in saved}
    ahead = {name: one for name, one in saved.items() if one.low > 0}
    at_once = [name for name in ahead if first[name].high == 1]
    later = [name for name in ahead if name not in at_once]
    unclear = [name for name, one in saved.items() if one.low <= 0 <= one.high]
    behind = [name for name, one in saved.items() if one.high < 0]

    def gains(names: Sequence[str]) -> str:
        each = [(name, saved[name]) for name in names]
        return ", ".join(
            f"{name} {one.median:.1f} s ({one.low:.1f} to {one.high:.1f})" for name, one in each
        )

    told = []
    if at_once:
        words = "**Ahead from the first token on**, in every repeat, and after {tokens} tokens by: {names}."
        told.append(say(words, tokens=tokens, names=gains(at_once)))
    if later:
        words = (
            "**Ahead after {tokens} tokens**, in every repeat, by: {names}. They overtake FullKV at "
            "{median:.0f} to {most:.0f} tokens by the median; single repeats lie between {low} and {high}."
        )
        spreads = [first[name] for name in later]
        told.append(
            say(
                words,
                tokens=tokens,
                names=gains(later),
                median=min(one.median for one in spreads),
                most=max(one.median for one in spreads),
                low=_length(min(one.low for one in spreads)),
                high=_length(max(one.high for one in spreads)),
            )
        )
    if unclear:
        words = "**Not told apart from FullKV after {tokens} tokens**, since the repeats disagree: {names}."
        told.append(say(words, tokens=tokens, names=gains(unclear)))
    if behind:
        words = "**Slower than FullKV after {tokens} tokens**, in every repeat: {names}."
        told.append(say(words, tokens=tokens, names=", ".join(behind)))
    apart = max(
        abs(Spread.of(answer_seconds(one, one.new_tokens)).median / whole.median - 1)
        for one in timed.values()
        for whole in [one.spread("end_to_end")]
    )
    words = "For the {written} tokens that were really written, these sums are at most {apart:.1%} from the measured times."
    told.append(say(words, written=full.new_tokens, apart=apart))
    return bullets(told)
