"""Where one method is above others, of many comparisons."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from IPython.display import HTML

from kvbook.show.said import Said, bullets, say
from kvbook.show.tables import table
from kvbook.stats import show_interval
from kvbook.tasks.leads import Contest, Leads, above_all
from kvbook.tasks.scores import tell_apart

BY_CHANCE = 0.025
"""Of 95 % intervals of no difference, so many lie above 0."""


def leads_table(contests: Sequence[Contest], name: str, leads: Leads, caption: str) -> HTML:
    """Mean scores of a method and its rivals, and its lead over each with the interval, a row a contest.

    Parameters
    ----------
    name : str
        The method whose ``leads`` these are.
    """
    rows = []
    for one in contests:
        row = {"task": one.task, "budget": one.budget, "items": one.items}
        row |= {each: f"{100 * fmean(one.scores[each]):.1f}" for each in (name, *leads)}
        row |= {
            f"above {rival}": show_interval(*points[one.name], "+.1f")
            for rival, points in leads.items()
        }
        rows.append(row)
    return table(rows, "measured", caption)


def _highest(one: Contest, name: str, rivals: Iterable[str]) -> bool:
    """Whether a method's mean is above all others'."""
    return all(fmean(one.scores[name]) > fmean(one.scores[rival]) for rival in rivals)


def leads_sentence(contests: Sequence[Contest], name: str, leads: Leads) -> Said:
    """Where a method is above all rivals, how often above and below each, and of how many comparisons.

    Parameters
    ----------
    contests, name, leads
        As in `leads_table`.
    """
    first, rivals = above_all(leads), " and ".join(leads)
    told = [
        say(
            "**{name} is above {rivals}** in {number} of {all}: {tasks}.",
            name=name, rivals=rivals, number=len(first), all=len(contests),
            tasks="; ".join(first),
        )
        if first
        else say(
            "**There is no task on which {name} is seen above {rivals}**: of {all}, counting each budget, with at "
            "most {most} items each.",
            name=name, rivals=rivals, all=len(contests), most=max(one.items for one in contests),
        )
    ]  # fmt: skip
    highest = [one.name for one in contests if _highest(one, name, leads) and one.name not in first]
    if highest:
        words = "Its mean is the highest on {tasks}; but there it is not told apart from at least one of them."
        told.append(say(words, tasks="; ".join(highest)))
    for rival, points in leads.items():
        below, unclear, above = map(len, tell_apart(points))
        words = "Beside {rival}, {name} is above in {above}, below in {below}, and not told apart in {unclear}."
        told.append(say(words, rival=rival, name=name, above=above, below=below, unclear=unclear))
    words = (
        "These are {comparisons} comparisons. If no two methods differed anywhere, about {chance:.0f} of the "
        "intervals would still lie above 0."
    )
    comparisons = len(contests) * len(leads)
    told.append(say(words, comparisons=comparisons, chance=BY_CHANCE * comparisons))
    return bullets(told)
