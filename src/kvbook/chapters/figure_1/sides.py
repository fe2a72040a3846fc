"""The two sides of figure 1, the report and this book, in the same form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from kvbook.chapters.figure_1.shares import (
    MEMORY,
    TIMES,
    CostShares,
    Interval,
    report_scores,
    report_shares,
    score_shares,
)
from kvbook.profiling.reported import SystemReport
from kvbook.stats import show_interval

Shares = Mapping[str, float]
"""By method: a share of FullKV's."""
Verdict = tuple[bool, str]
"""Whether a claim holds, and the numbers that say so."""


@dataclass(frozen=True)
class Side:
    """One of the two that are read against each other; what it did not measure is empty.

    Attributes
    ----------
    tasks : mapping
        By method other than FullKV, by task: the share of FullKV's score.
    means : mapping
        By method: the same as a mean over the tasks.
    prefill, end_to_end, memory : mapping
        By context in tokens, by method other than FullKV: the share of its cost.
    tuning : (bool, str) or None
        Whether fine-tuning raised BERTScore, and by how much.
    """

    tasks: Mapping[str, Shares] = field(default_factory=dict)
    means: Shares = field(default_factory=dict)
    prefill: Mapping[int, Shares] = field(default_factory=dict)
    end_to_end: Mapping[int, Shares] = field(default_factory=dict)
    memory: Mapping[int, Shares] = field(default_factory=dict)
    tuning: Verdict | None = None


def report_side(report: Mapping[str, Any], system: SystemReport) -> Side:
    """The report's.

    Parameters
    ----------
    report : mapping
        As `kvbook.results.load_report` gives it.
    system : SystemReport
        Its latencies and memory.
    """
    tasks = score_shares(report_scores(report["tasks"]))
    line = report["finetuning"]["bertscore_f1"]
    gain = line["after"] - line["before"]
    return Side(
        tasks=tasks,
        means={method: fmean(of.values()) for method, of in tasks.items()},
        prefill=report_shares(system, "prefill", "seconds"),
        end_to_end=report_shares(system, "e2e", "seconds"),
        memory=report_shares(system, "e2e", "gigabytes"),
        tuning=(gain > 0, f"{gain:+.2f}, without an interval"),
    )


def our_side(
    report: Side,
    scores: Mapping[str, Mapping[str, Interval]],
    means: Mapping[str, Interval],
    times: CostShares,
    memory: CostShares,
    gains: Sequence[Mapping[str, Any]] = (),
) -> Side:
    """Our side, with the scores of only those methods that the report has, too.

    Parameters
    ----------
    report : Side
        The other side.
    scores : mapping
        By method, by task: the score and its interval.
    means : mapping
        By method: as `kvbook.stats.mean_shares` gives it.
    times, memory : CostShares
        As `time_shares` and `memory_shares` give them.
    gains : sequence of mapping
        What fine-tuning did to BERTScore: ``items``, ``gain``, ``low``, ``high``. The one with
        the most items counts.
    """
    shares = score_shares({m: {t: one[0] for t, one in of.items()} for m, of in scores.items()})
    best = max(gains, key=lambda one: one["items"], default=None)
    tuning = None
    if best:
        told = show_interval(best["gain"], best["low"], best["high"], "+.3f")
        tuning = (best["low"] > 0, told)
    return Side(
        tasks={method: shares[method] for method in report.tasks if method in shares},
        means={method: means[method][0] for method in report.means if method in means},
        prefill=_points(times, TIMES["prefill"]),
        end_to_end=_points(times, TIMES["end_to_end"]),
        memory=_points(memory, MEMORY),
        tuning=tuning,
    )


def _points(costs: CostShares, name: str) -> dict[int, dict[str, float]]:
    """One cost at its context, without the intervals and without FullKV."""
    of = {method: one[name][0] for method, one in costs.shares.items() if method != "fullkv"}
    return {costs.context: of} if of else {}
