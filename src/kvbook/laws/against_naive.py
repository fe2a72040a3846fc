"""A class for one of the book's methods beside its paper's rule, by dense arithmetic."""

from collections.abc import Collection, Iterator
from dataclasses import fields

from torch import Tensor

from kvbook.errors import ParameterError
from kvbook.laws.check import BUDGET, Report, check_given, run_laws
from kvbook.laws.compare import differences
from kvbook.laws.law import Case, CounterExample, DoesNotApply, Law, Size, has_budget
from kvbook.laws.naive import Naive
from kvbook.laws.reading import Reading, read, tokens_of
from kvbook.laws.twins import PARAMETERS, make_twin
from kvbook.methods.base import Method


def against_naive(name: str, method: Method | type[Method], budget: Size = BUDGET) -> Report:
    """Compare your own class for one of the book's methods with the paper's rule, and say where the
    two first differ.

    The rule is written once more in plain lists and float64 (`kvbook.laws.naive_rules`), and knows
    nothing of the engine. Both read the same prompt and three tokens after it; if the budget is
    less than the prompt, also a turn of five tokens and one token more. After each input the
    positions that every layer and KV head holds are compared, then the logits. Where scores are
    equal but for rounding, either choice is right; pooling by max often makes neighbours equal.

    Parameters
    ----------
    name : str
        One of the seven: ``"fullkv"``, ``"streamingllm"``, ``"snapkv"``, ``"h2o"``,
        ``"pyramidinfer"``, ``"gemfilter"``, ``"fastkv"``. SummaryKV has none, because no rule says
        what the model writes as a summary.
    method : Method or subclass of Method
        As for `kvbook.laws.check`. The rule takes over the parameters that both have, such as
        ``window``; for others it has the book's defaults. A class for PyramidInfer is made without
        a budget, because its rule goes by the decay, and with ``min_length=2``, because the prompts
        are short.
    budget : int or float
        As for `kvbook.laws.check`; more makes it slow.

    Returns
    -------
    Report
        With one row.

    Raises
    ------
    ParameterError
        Another name; or as of `kvbook.laws.check`.
    """
    check_name(name)
    if name == "pyramidinfer" and isinstance(method, type):
        method = by_decay(method)

    def breaches(case: Case) -> Iterator[CounterExample]:
        return compare(name, case)

    law = Law(
        "against_naive",
        f"it keeps what the naive rule of {name} keeps",
        breaches,
        lambda length, size: [(length, size)],
    )
    return run_laws([law], method, budget, "naive arithmetic")


def check_name(name: str) -> None:
    """Refuse a method for which there is no rule.

    Raises
    ------
    ParameterError
        With those for which there is one.
    """
    if name not in PARAMETERS:
        raise ParameterError(
            f"no naive rule for {name!r}; there is one for: {', '.join(PARAMETERS)}"
        )


def by_decay(cls: type[Method]) -> Method | type[Method]:
    """PyramidInfer without a budget, for the rule goes by the decay; and so that it cuts short
    prompts."""
    check_given(cls, BUDGET)
    short = {"min_length": 2} if "min_length" in {one.name for one in fields(cls)} else {}
    try:
        return cls(**short)
    except (TypeError, ValueError):
        return cls  # it needs a budget: `compare` says what to give


def compare(name: str, case: Case) -> Iterator[CounterExample]:
    """Where the method of a case and the rule of this name part."""
    if name == "pyramidinfer" and getattr(case.method, "budget", None) is not None:
        raise DoesNotApply("the naive rule goes by the decay: give a method without a budget")
    if name not in ("fullkv", "pyramidinfer") and not has_budget(case.given):
        raise DoesNotApply(f"{name} has a `budget`, and this method has none")
    cut = case.entries < case.length  # of a prompt that fits, no paper says when a later turn cuts
    later = tokens_of(case.model, *((1, 1, 1, 5, 1) if cut else (1, 1, 1)))
    got = read(case.method, case.model, [case.ids], later)
    known = {one: getattr(case.method, one, None) for one in (*PARAMETERS[name], "chunk")}
    parameters = {one: value for one, value in known.items() if value is not None}
    if name not in ("fullkv", "pyramidinfer"):
        parameters["budget"] = case.budget
    twin = make_twin(case.model, name, parameters, case.length)
    yield from differences(
        case,
        read_naively(twin, got, case.ids, later, parameters.get("chunk")),
        got,
        "the naive rule",
    )


def read_naively(
    twin: Naive, got: Reading, ids: Tensor, later: list[Tensor], chunk: int | None
) -> Reading:
    """What the rule holds after the same inputs; among equal scores it takes those that ``got`` has."""
    held: list = []

    def preferred(layer: int, head: int | None) -> Collection[int]:
        if head is None:
            at, theirs = twin.inputs[layer], got.inputs[layer + 1][0]
        else:
            at = [entry[0] for entry in twin.layers[layer][head]]
            theirs = got.held[len(held)][layer][0][head]
        return {j for j, position in enumerate(at) if position in theirs}

    if twin.policy is not None:
        twin.policy.preferred = preferred
    logits = [twin.prompt(ids[0].tolist(), chunk)]
    inputs = [[list(read)] for read in twin.inputs]
    held.append([[layer] for layer in twin.kept])
    for new in later:
        for piece in new[0].split(chunk or new.shape[1]):
            logits_now = twin.more(piece.tolist())
        logits.append(logits_now)
        held.append([[layer] for layer in twin.positions()])
    return Reading([one.float()[None] for one in logits], inputs, held)
