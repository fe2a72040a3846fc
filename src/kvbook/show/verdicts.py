"""What the numbers of the evaluation say, in sentences: who is below whom, by paired intervals."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from statistics import fmean

from kvbook.show.said import Said, bullets, say
from kvbook.stats import paired_interval
from kvbook.tasks.scores import Points, tell_apart

Grids = Mapping[str, Mapping[str, Sequence[Sequence[bool]]]]
"""Needles by method and budget, as in `kvbook.show.needle_table`."""
UNSEEN = "No difference can be seen with these items: {names}."


def standing_sentence(points: Mapping[tuple[str, str], Points], order: Sequence[str]) -> Said:
    """Who is below FullKV, and whether the two best compressed methods differ.

    Parameters
    ----------
    points : mapping of (str, str) to (float, float, float)
        As in `difference_table`.
    order : sequence of str
        The methods, the best first.
    """
    compressed = [name for name in order if name != "fullkv"]
    told = _groups(
        {name: points[name, "fullkv"] for name in compressed},
        "**Below FullKV:** {names}.",
        "**Not told apart from FullKV** with these items: {names}.",
        "**Above FullKV:** {names}.",
    )
    if len(compressed) > 1:
        first, second = compressed[:2]
        gap, low, high = points[first, second]
        told.append(
            say(
                "**The best compressed method** is {first}, {gap:.1f} points ({low:.1f} to {high:.1f}) above "
                "the next one, {second}.",
                first=first, second=second, gap=gap, low=low, high=high,
            )
            if low > 0
            else say(
                "**The two best compressed methods**, {first} and {second}, cannot be told apart with these "
                "items ({low:+.1f} to {high:+.1f} points).",
                first=first, second=second, low=low, high=high,
            )
        )  # fmt: skip
    return bullets(told)


def _groups(points: Mapping[str, Points], below: str, unclear: str, above: str) -> list[Said]:
    """A sentence a group that somebody is in: those with an interval below 0, around it, above it."""
    groups = zip((below, unclear, above), tell_apart(points), strict=True)
    return [say(words, names=", ".join(names)) for words, names in groups if names]


def beside_report_sentence(
    measured: Mapping[str, Mapping[str, Points]], report: Mapping[str, Mapping[str, float]]
) -> Said:
    """What `score_panels` shows: who loses more, we or the report, and who is best in both.

    Parameters
    ----------
    measured, report : mapping
        As in `score_panels`.
    """
    scores = {name: {task: one[0] for task, one in of.items()} for name, of in measured.items()}
    ours, theirs = (_shares_of_full(of, scores.keys() & report.keys()) for of in (scores, report))
    pairs = [
        (ours[name][task], theirs[name][task])
        for name in ours
        for task in ours[name].keys() & theirs[name].keys()
    ]
    first, second = (
        sorted(of, key=lambda name: -fmean(of[name].values()))[:2] for of in (ours, theirs)
    )
    return say(
        "The loss is larger here than in the report in {larger} of the {all} pairs of a method and a task. By "
        "the mean share, the best compressed methods are {first} here, and {second} in the report.",
        larger=sum(one < other for one, other in pairs),
        all=len(pairs),
        first=", ".join(first),
        second=", ".join(second),
    )


def _shares_of_full(
    scores: Mapping[str, Mapping[str, float]], names: Collection[str]
) -> dict[str, dict[str, float]]:
    full = scores["fullkv"]
    return {
        name: {task: score / full[task] for task, score in scores[name].items() if full.get(task)}
        for name in scores
        if name in names and name != "fullkv"
    }


def moved_sentence(points: Mapping[str, Points]) -> Said:
    """By method, its score with the question after the compression minus the one before: who lost,
    and how much, and of whom no difference can be seen."""
    told = tell_apart(points)
    parts = [
        say(
            "**{name}**: {mean:+.1f} points ({low:+.1f} to {high:+.1f}) when the question comes after the "
            "compression.",
            name=name, mean=points[name][0], low=points[name][1], high=points[name][2],
        )
        for name in sorted(told.below + told.above, key=lambda one: points[one][0])
    ]  # fmt: skip
    if told.unclear:
        names = ", ".join(told.unclear)
        parts.append(say(UNSEEN, names=names))
    return bullets(parts)


def lead_sentence(
    before: Mapping[tuple[str, str], Points], after: Mapping[tuple[str, str], Points]
) -> Said:
    """Leads of one method over another by two protocols, and whether the second still shows them.

    Parameters
    ----------
    before, after : mapping of (str, str) to (float, float, float)
        By who is ahead of whom: points and interval.
    """
    told = []
    for (ahead, behind), (mean, low, high) in after.items():
        values = {
            "ahead": ahead, "behind": behind, "was": before[ahead, behind][0],
            "mean": mean, "low": low, "high": high,
        }  # fmt: skip
        now = "{ahead} over {behind}: {was:+.1f} points before, {mean:+.1f} ({low:+.1f} to {high:+.1f}) after"
        told.append(
            say(now + ("; a lead is left." if low > 0 else "; no lead can be seen."), **values)
        )
    return bullets(told)


def fidelity_sentence(curves: Mapping[str, Mapping[int, Sequence[Mapping]]], seed: int) -> Said:
    """Who is nearest to FullKV at which budgets, and where the paired interval over the probes tells
    it from the next method.

    Parameters
    ----------
    curves : mapping
        As in `kvbook.show.fidelity_curves`.
    """
    if len(curves) < 2:
        return say("One method: nothing can be compared.")
    nearest: dict[str, dict[int, bool]] = {}
    for budget in sorted(next(iter(curves.values()))):
        distance = {name: [one["kl"] for one in of[budget]] for name, of in curves.items()}
        first, second = sorted(distance, key=lambda name: fmean(distance[name]))[:2]
        _, _, high = paired_interval(distance[first], distance[second], seed)
        nearest.setdefault(first, {})[budget] = high < 0
    told = []
    for name, of in nearest.items():
        clear = ", ".join(str(budget) for budget, apart in of.items() if apart)
        words = "**{name}** is nearest to FullKV, by the mean divergence, at budget {budgets}; the paired interval "
        words += (
            "tells it from the next method at budget {clear}."
            if clear
            else "tells it from the next method at none of them."
        )
        told.append(say(words, name=name, budgets=", ".join(map(str, of)), clear=clear))
    return bullets(told)


def views_sentence(
    points: Mapping[tuple[str, str], Points],
    curves: Mapping[str, Mapping[int, Sequence[Mapping]]],
    budget: int,
    seed: int,
) -> Said:
    """Pairs of methods of which one scores more and yet is further from FullKV, both told apart.

    Parameters
    ----------
    points : mapping of (str, str) to (float, float, float)
        As in `difference_table`.
    curves : mapping
        As in `kvbook.show.fidelity_curves`.
    budget : int
        At which the divergence is taken.
    """
    distance = {name: [one["kl"] for one in of[budget]] for name, of in curves.items()}
    pairs = [
        f"{first} ({second})"
        for first in distance
        for second in distance
        if first != second
        and points[first, second][1] > 0
        and paired_interval(distance[first], distance[second], seed)[1] > 0
    ]
    if not pairs:
        return say(
            "At budget {budget} no method scores more than another one and is further away.",
            budget=budget,
        )
    return say(
        "At budget {budget} these methods score more than the one in brackets, and are further from FullKV: "
        "{pairs}.",
        budget=budget,
        pairs=", ".join(pairs),
    )


def asked_after_sentence(before: Grids, after: Grids, budget: str, seed: int) -> Said:
    """Needles found by two protocols at one budget, and who finds fewer when the question comes after."""
    counted, moved = [], {}
    for name in after:
        sooner, later = ([float(hit) for hit in chain(*of[name][budget])] for of in (before, after))
        counted.append(f"{name} {sum(sooner):.0f} → {sum(later):.0f}")
        moved[name] = paired_interval(later, sooner, seed)
        asked = len(sooner)
    told = _groups(moved, "Fewer after it: {names}.", UNSEEN, "More after it: {names}.")
    first = say(
        "Found of {asked} needles at budget {budget}, with the question before the compression → after it: "
        "{counted}.",
        asked=asked, budget=budget, counted=", ".join(counted),
    )  # fmt: skip
    return bullets([first, *told])


def lengths_sentence(grids: Grids, lengths: Sequence[int]) -> Said:
    """How the needles that a method finds go with the length of the prompt, budget by budget; of those
    that find any at each budget.

    Parameters
    ----------
    lengths : sequence of int
        Of the grids' columns, the shortest first.
    """
    told = []
    for name, of in grids.items():
        columns = {
            size: [sum(column) for column in zip(*grid, strict=True)] for size, grid in of.items()
        }
        if all(any(found) for found in columns.values()):
            parts = ", ".join(
                f"{' → '.join(map(str, found))} (budget {size})" for size, found in columns.items()
            )
            told.append(say("{name}: {parts}.", name=name, parts=parts))
    asked = len(next(iter(next(iter(grids.values())).values())))
    first = say(
        "Found of {asked} needles a length, from {short} to {long} tokens; methods that find none at one of "
        "the budgets are left out:",
        asked=asked, short=lengths[0], long=lengths[-1],
    )  # fmt: skip
    return (
        say("{first}\n\n{told}", first=first, told=bullets(told))
        if told
        else say("No method finds a needle at every budget.")
    )


def correlation_sentence(correlations: Mapping[str, float]) -> Said:
    """Rank correlations of a task's length and a method's share of FullKV, the lowest first."""
    ranked = sorted(correlations, key=lambda name: correlations[name])
    return say(
        "Rank correlation of the length and the share of FullKV over the tasks, computed by us from the "
        "report's table: {all}. A fixed budget would pull it towards −1; {lowest} is nearest to that.",
        all=", ".join(f"{name} {correlations[name]:+.2f}" for name in ranked),
        lowest=ranked[0],
    )


def fault_sentence(points: Mapping[tuple[str, str, str], Points]) -> Said:
    """Differences between variants of one method, and whether they can be seen.

    Parameters
    ----------
    points : mapping of (str, str, str) to (float, float, float)
        As in `paired_table`.
    """
    told = []
    for (over, first, second), (mean, low, high) in points.items():
        values = {
            "over": over,
            "first": first,
            "second": second,
            "mean": mean,
            "low": low,
            "high": high,
        }
        difference = (
            "*{first}* against *{second}*, {over}: {mean:+.1f} points ({low:+.1f} to {high:+.1f}); "
        )
        told.append(
            say(difference + "no difference can be seen.", **values)
            if low <= 0 <= high
            else say(difference + ("it scores more." if low > 0 else "it scores less."), **values)
        )
    return bullets(told)
