"""Scores and costs, of results files and of the report, as shares of the same model's FullKV:
shares compare across models and machines, scores and seconds do not."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any, NamedTuple

from kvbook.profiling.reported import SystemReport
from kvbook.profiling.timing import Measurement

Interval = tuple[float, float, float]
"""A value, and the lower and the upper end around it."""
TIMES = {"prefill": "prefill time", "end_to_end": "end-to-end time"}
"""The measured times that figure 1 has, and what they are called in it."""
MEMORY = "peak memory"


class CostShares(NamedTuple):
    """Costs as shares of FullKV's at one context.

    Attributes
    ----------
    context : int
        Tokens; 0 where nothing can be compared.
    shares : mapping
        By method, by the name of a cost: the share, and the least and the most of it.
    """

    context: int
    shares: Mapping[str, Mapping[str, Interval]]


NOTHING = CostShares(0, {})


def read_measurements(data: Mapping[str, Any], methods: Sequence[str]) -> list[Measurement]:
    """The measurements of some methods, in the methods' order, from the results of the profiling.

    Parameters
    ----------
    data : mapping
        The ``data`` of its results file; without measurements there are none.
    """
    every = [Measurement.read(one) for one in data.get("measurements", ())]
    return [one for method in methods for one in every if one.method == method]


def time_shares(measurements: Sequence[Measurement]) -> CostShares:
    """Times, paired by repeat, at the longest context where FullKV and another method have any."""
    for context, found in _longest_first(measurements):
        if "fullkv" in found and len(found) > 1:
            full = found["fullkv"]
            shares = {
                method: {name: astuple(one.ratio_to(full, stage)) for stage, name in TIMES.items()}
                for method, one in found.items()
            }
            return CostShares(context, shares)
    return NOTHING


def memory_shares(measurements: Sequence[Measurement]) -> CostShares:
    """Peak memory with the weights, at the longest context where FullKV's was measured."""
    for context, found in _longest_first(measurements):
        held = {method: one.total_bytes for method, one in found.items() if one.total_bytes}
        if full := held.get("fullkv"):
            shares = {method: {MEMORY: (total / full,) * 3} for method, total in held.items()}
            return CostShares(context, shares)
    return NOTHING


def _longest_first(
    measurements: Sequence[Measurement],
) -> list[tuple[int, dict[str, Measurement]]]:
    """By context, the longest first, what did not run out of memory, by method."""
    contexts = sorted({one.context_length for one in measurements}, reverse=True)
    fitted = [one for one in measurements if not one.out_of_memory]
    return [
        (context, {one.method: one for one in fitted if one.context_length == context})
        for context in contexts
    ]


def score_shares(
    scores: Mapping[str, Mapping[str, float]], full: str = "fullkv"
) -> dict[str, dict[str, float]]:
    """Scores as shares of full KV's, by method and task; a task on which that scores nothing is
    left out."""
    whole = {task: score for task, score in scores.get(full, {}).items() if score}
    return {
        method: {task: of[task] / score for task, score in whole.items() if task in of}
        for method, of in scores.items()
        if method != full
    }


def report_scores(tasks: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The report's scores by method and task, without the metric that stands behind a task.

    Parameters
    ----------
    tasks : mapping
        ``tasks`` of `kvbook.results.load_report`.
    """
    return {
        method: {column.split(" (")[0]: row[column] for column in tasks["columns"]}
        for method, row in tasks["rows"].items()
    }


def report_costs(report: SystemReport) -> dict[str, dict[str, float]]:
    """The report's costs in seconds and GB by method, at its shortest context: the only one at
    which every method has a number."""
    first = report.contexts[0]
    costs = {}
    for method, stages in report.rows.items():
        prefill, whole = stages["prefill"][first], stages["e2e"][first]
        if prefill and whole:
            values = (prefill.seconds, whole.seconds, whole.gigabytes)
            costs[method] = dict(zip([*TIMES.values(), MEMORY], values, strict=True))
    return costs


def report_shares(report: SystemReport, stage: str, what: str) -> dict[int, dict[str, float]]:
    """The report's costs as shares of FullKV's, by context and method; methods that ran out of
    memory are left out.

    Parameters
    ----------
    stage : str
        ``"prefill"`` or ``"e2e"``.
    what : str
        ``"seconds"`` or ``"gigabytes"``.
    """
    return {
        context: {
            method: getattr(one, what) / getattr(report.rows["fullkv"][stage][context], what)
            for method, stages in report.rows.items()
            if (one := stages[stage][context]) and method != "fullkv"
        }
        for context in report.contexts
    }
