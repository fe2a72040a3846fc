"""What was run: when, how long, on what, and what it left."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from IPython.display import HTML
from markupsafe import Markup

from kvbook.results import Provenance, ResultFile
from kvbook.show.said import Said, bullets, say
from kvbook.show.tables import TAGS, linked, table

SHORT = {"measured": "measured", "computed": "on paper", "report": "report", "paper": "papers"}
"""The kinds of number, in a word."""


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def moment(started: str) -> str:
    """A time of a results file, to the minute; UTC."""
    return datetime.fromisoformat(started).strftime("%Y-%m-%d %H:%M")


def runs_summary(
    runs: Mapping[str, Provenance], titles: Mapping[str, str], most: Mapping[str, int]
) -> Said:
    """How many of the chapters were run, how long that took, and with what.

    Parameters
    ----------
    runs : mapping
        By chapter.
    titles : mapping
        Of all chapters that there are.
    most : mapping
        Minutes that the whole book may take, ``clock`` and ``CPU``.
    """
    if not runs:
        return say(
            "**No chapter has been executed beside this page.** `kvbook book` executes all of them first."
        )
    total = sum(p.seconds for p in runs.values())
    used = sum(p.cpu_seconds or 0 for p in runs.values())
    slow = max(runs, key=lambda name: runs[name].seconds)
    missing = [name for name in titles if name not in runs]
    profiles, models, seeds = (
        ", ".join(map(str, sorted({getattr(p, what) for p in runs.values()})))
        for what in ("profile", "model", "seed")
    )
    told = say(
        "**{count} of {all} chapters** of this copy were executed. Their times add up to {minutes:.0f} minutes, "
        "though chapters overlapped, and to {used:.0f} minutes of CPU time; the longest is *{slow}* with {longest}. In "
        "the profile laptop the whole book, with its pages, may take {clock} minutes by the clock and {cpu} minutes of "
        "CPU time. Profile: {profiles}; model: {models}; seed: {seeds}.",
        count=len(runs),
        all=len(titles),
        minutes=total / 60,
        used=used / 60,
        slow=titles[slow],
        longest=duration(runs[slow].seconds),
        clock=most["clock"],
        cpu=most["CPU"],
        profiles=profiles,
        models=models,
        seeds=seeds,
    )
    if not missing:
        return told
    return say("{told} Not executed here: {missing}.", told=told, missing=", ".join(missing))


def runs_table(
    runs: Mapping[str, Provenance],
    kinds: Mapping[str, Mapping[str, int]],
    most: Mapping[str, int | None],
    caption: str,
) -> HTML:
    """A row a chapter.

    Parameters
    ----------
    runs : mapping
        By chapter.
    kinds : mapping
        By chapter: how many of its tables hold numbers of which kind.
    most : mapping
        By chapter: seconds that it may take, where it has a limit of its own.
    """
    rows = []
    for name, p in runs.items():
        limit = most[name]
        rows.append(
            {
                "chapter": linked(name, f"{name}.html"),
                "executed": f"{datetime.fromisoformat(p.started):%d %b, %H:%M}",
                "took": duration(p.seconds),
                "CPU": "–" if p.cpu_seconds is None else duration(p.cpu_seconds),
                "at most": f"{limit} s" if limit else "–",
                "key": linked((p.key or "no key")[:8], f"results/{name}.json"),
                "tables": _counted(kinds[name], SHORT) or "–",
            }
        )
    return table(rows, None, caption)


def _counted(kinds: Mapping[str, int], words: Mapping[str, str]) -> str:
    return ", ".join(f"{kinds[kind]} {word}" for kind, word in words.items() if kinds.get(kind))


def facts_table(title: str, facts: Mapping[str, object], caption: str) -> HTML:
    """A table of facts by name; a value of None says that there are several, which stand below."""
    rows = [
        {"": key, title: "several, see below" if value is None else value}
        for key, value in facts.items()
    ]
    return table(rows, "measured", caption)


def run_facts(
    p: Provenance, kinds: Mapping[str, int], kept: Sequence[ResultFile] = ()
) -> dict[str, object]:
    """All that is known of a run, in the order in which one asks.

    Parameters
    ----------
    kinds : mapping
        How many of its tables hold numbers of which kind.
    kept : sequence of ResultFile
        Longer runs of the same chapter.
    """
    machine = p.machine
    facts = {
        "executed, UTC": moment(p.started),
        "took": f"{p.seconds:.0f} s, threads: {machine.get('threads', '?')}",
        "CPU time": "not noted" if p.cpu_seconds is None else f"{p.cpu_seconds:.0f} s",
        "profile": p.profile,
        "model": p.model,
        "seed": p.seed,
        "parameters": ", ".join(f"{key}={value}" for key, value in p.parameters.items()),
        "key": p.key or "none: executed outside the book",
        "commit": (p.commit or "no repository") + (", with changes" if p.dirty else ""),
        "machine": f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['os']}",
        "number format": str(p.number_format or "not measured on this machine"),
        "versions": ", ".join(f"{package} {version}" for package, version in p.versions.items()),
        "tables": _counted(kinds, TAGS) or "not counted: no notebook beside the results",
    }
    for one in kept:
        origin = one.provenance
        facts[f"kept: {one.name}"] = (
            f"{moment(origin.started)}, commit {(origin.commit or 'unknown')[:8]}, {origin.machine['cpu']}"
        )
    return facts


def folded_facts(facts: Mapping[str, Mapping[str, object]]) -> HTML:
    """Facts by title, each folded under it."""
    line = Markup("<tr><td>{}</td><td class='kv-long'>{}</td></tr>")
    fold = Markup(
        "<details class='kv-fold'><summary>{}</summary><table class='kv-table'><tbody>{}</tbody></table></details>"
    )
    parts = [
        fold.format(title, Markup("").join(line.format(*one) for one in of.items()))
        for title, of in facts.items()
    ]
    return HTML("".join(parts))


def disk_table(
    rows: Sequence[tuple[str, str, int]], made: Sequence[tuple[str, str, int]], caption: str
) -> HTML:
    """What is on the disk: what was fetched, in GB, and what was made, in MB.

    Parameters
    ----------
    rows, made : sequence of (str, str, int)
        What it is, where, and its bytes.
    """
    sizes = [
        *((*one, 1e9, "GB", "once") for one in rows),
        *((*one, 1e6, "MB", "–") for one in made),
    ]
    shown = [
        {
            "what": what,
            "where": where,
            "on the disk": f"{size / unit:.1f} {name}",
            "fetched": fetched,
        }
        for what, where, size, unit, name, fetched in sizes
    ]
    return table(shown, "measured", caption)


def compared_sentence(compared: Sequence[Any]) -> Said:
    """How many values are as expected, and which are not.

    Parameters
    ----------
    compared : sequence of kvbook.chapters.rerun.Compared
        As `kvbook.chapters.rerun.compare` gives them.
    """
    states = [one.state for one in compared]
    counted = say(
        "Of {all} values of this copy, **{same} are the same as expected, {near} near, {off} off**; {rest} cannot "
        "be compared.",
        all=len(states),
        same=states.count("same"),
        near=states.count("near"),
        off=states.count("off"),
        rest=states.count("not compared"),
    )
    apart = [
        say(
            template,
            chapter=one.expected.chapter,
            label=one.expected.label,
            kept=one.kept,
            found=one.found,
        )
        for template, state in (
            ("Off: {chapter}, {label}: {found:.6g}, expected {kept:.6g}.", "off"),
            ("Near: {chapter}, {label}: {found:.6g}, expected {kept:.6g}.", "near"),
        )
        for one in compared
        if one.state == state
    ]
    return say("{counted}\n\n{apart}", counted=counted, apart=bullets(apart)) if apart else counted
