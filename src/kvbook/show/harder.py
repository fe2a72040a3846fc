"""Harder tasks: how far a model reaches, which methods follow it there, and what is forgotten."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.show.curves import rates
from kvbook.show.drawing import key
from kvbook.show.said import Said, bullets, compare, say
from kvbook.show.style import COLOURS, INK, WIDE
from kvbook.show.tables import table
from kvbook.stats import Rate, mean_and_interval, paired_interval, show_interval
from kvbook.tasks.scores import tell_apart

Found = Mapping[str, Sequence[bool]]
"""By method, one truth value an item."""


def reach(found: Mapping[int, Mapping[int, Sequence[bool]]], seed: int, title: str = "") -> Figure:
    """What a whole cache finds, by keys in the text, a panel a number of links; the dotted line is
    what picking one of the text's numbers would find.

    Parameters
    ----------
    found : mapping
        By links, by keys.
    """
    figure, panels = plt.subplots(
        1, len(found), figsize=(WIDE, 2.8), sharey=True, sharex=True, squeeze=False
    )
    for axes, (links, by_keys) in zip(panels[0], found.items(), strict=True):
        keys = list(by_keys)
        rates(axes, keys, [Rate.of(hits, seed) for hits in by_keys.values()], "fullkv")
        axes.plot(keys, [1 / one for one in keys], ":", color=INK, label="a guess")
        axes.set(xscale="log", xlabel="keys", title="no link" if not links else f"{links} link(s)")
        axes.set_xticks(keys, [str(one) for one in keys])
        axes.set_xticks([], minor=True)
    panels[0, 0].set_ylabel("share found")
    key(figure)
    figure.suptitle(title)
    return figure


def found_by_task(tasks: Mapping[str, Found], chances: Mapping[str, float], seed: int) -> Figure:
    """Share found by every method, a panel a task, with 95 % intervals; dotted: a guess."""
    figure, panels = plt.subplots(
        1, len(tasks), figsize=(WIDE, 0.9 + 0.3 * len(next(iter(tasks.values())))), sharey=True
    )
    for axes, (task, found) in zip(np.atleast_1d(panels), tasks.items(), strict=True):
        for place, (name, hits) in enumerate(found.items()):
            mean, low, high = mean_and_interval(map(float, hits), seed)
            axes.errorbar(
                mean,
                place,
                xerr=[[max(0.0, mean - low)], [max(0.0, high - mean)]],
                fmt="o",
                color=COLOURS.get(name, INK),
                capsize=2,
            )
        if chances[task] < 1:  # with one number in the text there is nothing to guess
            axes.axvline(chances[task], color=INK, linestyle=":", linewidth=1)
        axes.set(title=task, xlim=(-0.03, 1.03), xlabel="share found")
        axes.set_yticks(range(len(found)), list(found))
    np.atleast_1d(panels)[0].invert_yaxis()
    return figure


def task_table(tasks: Mapping[str, Found], seed: int, caption: str) -> HTML:
    """Every method's share in every task with its interval, the best of the first task first."""
    first, *_ = tasks.values()
    order = sorted(first, key=lambda name: -fmean(first[name]))
    rows = [
        {"method": name}
        | {
            task: show_interval(*mean_and_interval(map(float, found[name]), seed), ".2f")
            for task, found in tasks.items()
        }
        for name in order
    ]
    return table(rows, "measured", caption)


def agreement_table(points: Mapping[str, tuple[float, float, float]], caption: str) -> HTML:
    """How far two tasks put methods into the same order; by the tasks' names."""
    rows = [
        {"tasks": name, "rank correlation": show_interval(*point, "+.2f")}
        for name, point in points.items()
    ]
    return table(rows, "measured", caption)


def rules_map(followed: Mapping[str, Sequence[Mapping[str, bool]]], title: str = "") -> Figure:
    """Share of the times that each instruction was followed: a row a method, a column a rule."""
    rules = sorted(next(iter(followed.values()))[0])
    grid = [[fmean(one[rule] for one in of) for rule in rules] for of in followed.values()]
    figure, axes = plt.subplots(figsize=(WIDE, 0.9 + 0.32 * len(grid)))
    axes.imshow(grid, aspect="auto", cmap="Blues", vmin=0, vmax=1)
    for row, line in enumerate(grid):
        for column, share in enumerate(line):
            ink = "white" if share > 0.6 else "black"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=ink)
    axes.set_xticks(range(len(rules)), rules)
    axes.set_yticks(range(len(grid)), list(followed))
    axes.set(title=title, xlabel="rule; in the cells: followed, % of the times")
    return figure


def rules_table(
    followed: Mapping[str, Sequence[Mapping[str, bool]]],
    kept: Mapping[str, float],
    seed: int,
    caption: str,
) -> HTML:
    """Instructions followed, of all that were given, and what share of the system prompt's entries
    the cache still holds."""
    rows = []
    for name, of in followed.items():
        rate = Rate.of([hit for one in of for hit in one.values()], seed)
        row = {"method": name, "followed": f"{rate.hits} of {rate.trials}"}
        row["95 % interval"] = f"{rate.low:.2f} to {rate.high:.2f}"
        rows.append(row | {"of the system prompt's entries": f"{kept[name]:.0%}"})
    return table(rows, "measured", caption)


# ---- what the numbers say -------------------------------------------------------------------------


def reach_sentence(found: Mapping[int, Mapping[int, Sequence[bool]]], seed: int) -> Said:
    """What `reach` shows: the easiest and the hardest grade, and where the model is no better than a
    guess; ``found`` as in `reach`."""
    grades = {(keys, links): hits for links, of in found.items() for keys, hits in of.items()}
    easiest, hardest = (
        min(grades, key=lambda grade: grade[::-1]),
        max(grades, key=lambda grade: grade[::-1]),
    )
    rates = {grade: Rate.of(hits, seed) for grade, hits in grades.items()}
    several = {grade: rate for grade, rate in rates.items() if grade[0] > 1}
    above = [grade for grade, rate in several.items() if rate.low > 1 / grade[0]]
    told = [
        say(
            "Keys: {keys}, links: {links}. The whole cache finds {hits} of {trials}; a guess would find {guess:.2f} "
            "of them.",
            keys=keys,
            links=links,
            hits=rates[keys, links].hits,
            trials=rates[keys, links].trials,
            guess=1 / keys,
        )
        for keys, links in dict.fromkeys((easiest, hardest))
    ]
    told.append(
        say(
            "In {above} of {several} grades with several keys the whole interval is above the guess.",
            above=len(above),
            several=len(several),
        )
    )
    return bullets(told)


def tasks_sentence(
    tasks: Mapping[str, Found], chances: Mapping[str, float], seed: int, full: str = "fullkv"
) -> Said:
    """What `found_by_task` shows: which methods are better than a guess, and how the two that are best in
    the first task compare in all of them.

    Parameters
    ----------
    tasks, chances
        As in `found_by_task`.
    full : str
        The whole cache, which is not compared.
    """
    told = []
    for task, found in tasks.items():
        if chances[task] < 1:
            rates = {name: Rate.of(hits, seed) for name, hits in found.items() if name != full}
            chance = chances[task]
            groups = {
                "{task}, better than a guess ({chance:.2f}): {names}.": [
                    name for name, rate in rates.items() if rate.low > chance
                ],
                "{task}, no difference from a guess can be seen: {names}.": [
                    name for name, rate in rates.items() if rate.low <= chance <= rate.high
                ],
                "{task}, worse than a guess: {names}.": [
                    name for name, rate in rates.items() if rate.high < chance
                ],
            }
            told += [
                say(template, task=task, chance=chance, names=", ".join(names))
                for template, names in groups.items()
                if names
            ]
    first = next(iter(tasks.values()))
    best = sorted((name for name in first if name != full), key=lambda name: -fmean(first[name]))
    if len(best) > 1:
        told += [
            say(
                "{task}: {one} beside {other} finds {compared}.",
                task=task,
                one=best[0],
                other=best[1],
                compared=compare(_hits(found[best[0]]), _hits(found[best[1]]), seed, ".2f"),
            )
            for task, found in tasks.items()
        ]
    return bullets(told)


def _hits(found: Sequence[bool]) -> list[float]:
    return [float(hit) for hit in found]


def agreement_sentence(points: Mapping[str, tuple[float, float, float]]) -> Said:
    """What `agreement_table` shows: whether the orders have something in common."""
    templates = {
        "{names}: the two tasks put the methods into a similar order.": lambda low, high: low > 0,
        "{names}: the two tasks put the methods into opposite orders.": lambda low, high: high < 0,
    }
    unseen = "{names}: no common order can be seen."
    return bullets(
        [
            say(
                next((text for text, holds in templates.items() if holds(low, high)), unseen),
                names=names,
            )
            for names, (_, low, high) in points.items()
        ]
    )


def rules_sentence(
    followed: Mapping[str, Sequence[Mapping[str, bool]]],
    kept: Mapping[str, float],
    seed: int,
    full: str = "fullkv",
) -> Said:
    """What `rules_map` and `rules_table` show: which methods follow fewer rules than the whole cache, who
    holds most of the system prompt and who follows most, and which rule is followed most.

    Parameters
    ----------
    followed, kept
        As in `rules_table`.
    full : str
        The whole cache.
    """
    hits = {
        name: [float(hit) for one in of for hit in one.values()] for name, of in followed.items()
    }
    smaller = [name for name in hits if name != full]
    points = {name: paired_interval(hits[name], hits[full], seed) for name in smaller}
    templates = (
        "Fewer rules than {full} ({base:.0%}) follow: {names}.",
        "As far as can be seen, as many rules as {full} ({base:.0%}) follow: {names}.",
        "More rules than {full} ({base:.0%}) follow: {names}.",
    )
    told = [
        say(
            template,
            full=full,
            base=fmean(hits[full]),
            names=", ".join(f"{name} ({fmean(hits[name]):.0%})" for name in names),
        )
        for template, names in zip(templates, tell_apart(points), strict=True)
        if names
    ]
    if smaller:
        holds = max(smaller, key=lambda name: kept[name])
        follows = max(smaller, key=lambda name: sum(hits[name]))
        told.append(
            say(
                "Of the smaller caches {holds} holds the largest share of the system prompt ({share:.0%}); "
                "{follows} follows most rules ({hits:.0f} of {all}).",
                holds=holds,
                share=kept[holds],
                follows=follows,
                hits=sum(hits[follows]),
                all=len(hits[follows]),
            )
        )
        rules = {
            rule: fmean(one[rule] for name in smaller for one in followed[name])
            for rule in followed[full][0]
        }
        most = max(rules, key=lambda rule: rules[rule])
        told.append(
            say(
                'They follow the rule "{rule}" most often, {share:.0%} of the times.',
                rule=most,
                share=rules[most],
            )
        )
    return bullets(told)
