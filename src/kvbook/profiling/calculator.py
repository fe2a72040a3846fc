"""The cost model over a grid, for the book's calculator: it works from disk, without Python."""

from collections.abc import Mapping, Sequence

from kvbook.methods import Method, create_method, with_budget
from kvbook.methods.base import as_method
from kvbook.profiling.hardware import UNKNOWN, Hardware
from kvbook.profiling.prediction import Phase, predict


def tabulate(
    configs: Mapping[str, object],
    methods: Sequence[str],
    contexts: Sequence[int],
    budgets: Sequence[float],
    machines: Sequence[Hardware],
    new_tokens: int = 256,
) -> dict:
    """`kvbook.profiling.predict` for every combination, in bfloat16.

    Parameters
    ----------
    configs : mapping of str to transformers configuration
        Models by name.
    methods : sequence of str
        Names for `kvbook.create_method`.
    contexts : sequence of int
        Prompt tokens.
    budgets : sequence of float
        Shares of the prompt.
    machines : sequence of Hardware
        What the seconds are of.
    new_tokens : int
        Tokens of the answer.

    Returns
    -------
    dict
        The names of all axes, and ``cells[model][method][budget][context]``: bytes of the cache
        after the prompt, bytes at the peak with the weights, and then, machine by machine, seconds
        of the prefill and of a decoded token. FullKV has one budget only. A prefill is None on a
        machine whose operations a second are `UNKNOWN`, because they decide its time.
    """

    def digits(seconds: float) -> float:
        return float(f"{seconds:.3g}")

    def prefill(phase: Phase, machine: Hardware) -> float | None:
        return None if machine.flops == UNKNOWN else digits(phase.seconds(machine))

    def cell(config, name: str, budget: float, context: int) -> list[float | None]:
        paper = predict(config, with_budget(name, budget), context, new_tokens)
        made: list[float | None] = [paper.kv_bytes, paper.peak_bytes]
        for machine in machines:
            token = paper.decode.seconds(machine) / max(1, new_tokens - 1)
            made += [prefill(paper.prefill, machine), digits(token)]
        return made

    return {
        "models": list(configs),
        "methods": list(methods),
        "contexts": list(contexts),
        "budgets": list(budgets),
        "machines": [machine.name for machine in machines],
        "memory": [machine.memory for machine in machines],
        "new_tokens": new_tokens,
        "cells": [
            [
                [
                    [cell(config, name, budget, context) for context in contexts]
                    for budget in (budgets if name != "fullkv" else [1.0])
                ]
                for name in methods
            ]
            for config in configs.values()
        ],
    }


def shares_on_paper(
    config,
    method: Method,
    contexts: Sequence[int],
    answers: Sequence[int],
    hardware: Hardware,
) -> list[list[float]]:
    """End to end on paper, as a share of FullKV: below 1 the method pays.

    Parameters
    ----------
    config
        A transformers configuration.
    method : Method
        Of `kvbook.create_method`.
    contexts, answers : sequence of int
        Prompt tokens, and new ones.
    hardware : Hardware
        The machine.

    Returns
    -------
    list of list of float
        ``[answers][contexts]``, as `kvbook.show.ratio_maps` takes it.
    """

    def seconds(method: Method, context: int, answer: int) -> float:
        return predict(config, method, context, answer, hardware=hardware).seconds

    method, full = as_method(method), create_method("fullkv")
    return [
        [seconds(method, context, answer) / seconds(full, context, answer) for context in contexts]
        for answer in answers
    ]
