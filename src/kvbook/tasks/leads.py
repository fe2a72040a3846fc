"""Is a method ahead of others anywhere? Every task of the kept runs, compared item by item."""

from collections.abc import Mapping, Sequence
from itertools import chain
from statistics import fmean
from typing import Any, NamedTuple

from kvbook.stats import paired_interval
from kvbook.tasks.scores import Points, tell_apart


class Contest(NamedTuple):
    """Several methods on the same items of one task.

    Attributes
    ----------
    task, budget : str
        No two contests have both in common.
    scores : mapping of str to list of float
        By method, 0 to 1 an item, the items in one order.
    """

    task: str
    budget: str
    scores: Mapping[str, list[float]]

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.task} (budget {self.budget})"

    @property
    def items(self) -> int:
        """How many there are."""
        return len(next(iter(self.scores.values())))


Leads = Mapping[str, Mapping[str, Points]]
"""By rival, by the name of a contest: how many points a method is above it, with the 95 % interval."""


def leads_over(
    contests: Sequence[Contest], name: str, rivals: Sequence[str], seed: int = 0
) -> dict[str, dict[str, Points]]:
    """A method's lead over each rival in every contest, paired over the items, as `Leads`."""

    def lead(one: Contest, rival: str) -> Points:
        mean, low, high = paired_interval(one.scores[name], one.scores[rival], seed)
        return 100 * mean, 100 * low, 100 * high

    return {rival: {one.name: lead(one, rival) for one in contests} for rival in rivals}


def above_all(leads: Leads) -> list[str]:
    """The names of the contests in which the method is seen above every rival."""
    above = [tell_apart(points).above for points in leads.values()]
    return [one for one in above[0] if all(one in others for others in above)]


def evaluated_contests(run: Mapping[str, Any], names: Sequence[str]) -> list[Contest]:
    """The tasks and needles of an evaluation, with the question in the prompt, and asked after it.

    Parameters
    ----------
    run : mapping
        The data of a results file of the chapter *evaluation*.
    names : sequence of str
        Who takes part.
    """
    made = []
    for asked, part in (("", run), (", asked after", run["after"])):
        answers = {name: part["evaluated"][name]["scores"] for name in names}
        for task, items in answers[names[0]].items():
            scores = {name: [of[task][item] for item in items] for name, of in answers.items()}
            made.append(Contest(task + asked, str(run["budget"]), scores))
        for budget in part["needles"][names[0]]:
            found = {name: chain(*part["needles"][name][budget]) for name in names}
            hits = {name: [float(hit) for hit in of] for name, of in found.items()}
            made.append(Contest("needle" + asked, budget, hits))
    return made


def harder_contests(run: Mapping[str, Any], names: Sequence[str]) -> list[Contest]:
    """The tasks of a run of the chapter *harder*, and the rules of its system prompts.

    Parameters
    ----------
    run, names
        As in `evaluated_contests`.
    """
    made = []
    for task, found in run["found"].items():
        hits = {name: [float(hit) for hit in found[name]] for name in names}
        made.append(Contest(task, str(run["budget"]), hits))
    rules = {name: [fmean(one.values()) for one in run["followed"][name]] for name in names}
    return [*made, Contest("rules of a system prompt", str(run["rules_budget"]), rules)]
