"""The same needles through several methods, at several budgets, or with one parameter changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kvbook.errors import wanted
from kvbook.lm.models import check_loaded
from kvbook.methods import Method, create_method
from kvbook.methods.base import as_method
from kvbook.tasks.needle import Needle, ask_each

Found = dict[tuple[str, int | float | None], list[bool]]
"""By method and budget, which of the needles were found."""


def cap_budget(budget: int | float, most: int) -> int | float:
    """A budget in entries, but at most ``most``, so that a short prompt is cut, too; a budget that
    is a fraction stays as it is."""
    return min(budget, most) if isinstance(budget, int) else budget


def ask_budgets(
    lm,
    needles: Sequence[Needle],
    methods: Mapping[str, Mapping],
    budgets: Iterable[int | float],
    also: Mapping[tuple[str, int | float | None], Method] | None = None,
    folder: Path | None = None,
) -> Found:
    """Ask every needle of FullKV, and of every method at every budget.

    Parameters
    ----------
    lm : LoadedModel
        With its tokenizer.
    needles : sequence of Needle
        The same for all.
    methods : mapping of str to mapping
        By name, a method's own parameters.
    budgets : iterable of int or float
        Each replaces a method's ``budget``.
    also : mapping of (str, budget) to Method, optional
        Other methods to ask, with their own parameters; each prompt is read once for all of them.
    folder : Path, optional
        Where answers are stored and read again, as in `kvbook.tasks.needle.ask_each`.

    Returns
    -------
    Found
        FullKV, which has no budget, is ``("fullkv", None)``.

    Raises
    ------
    ParameterError
        Before anything is asked: no mapping, or as `kvbook.create_method` says.
    """
    check_loaded(lm)
    if not isinstance(methods, Mapping):
        raise wanted("a mapping of names to parameters", methods, "{'snapkv': {'window': 16}}")
    budgets = list(budgets)
    made = {
        (name, budget): create_method(name, **{**own, "budget": budget})
        for name, own in methods.items()
        for budget in budgets
    }
    asked = {("fullkv", None): create_method("fullkv")} | made | dict(also or {})
    return ask_each(lm, asked, needles, folder)


def ask_varied(
    lm,
    needles: Sequence[Needle],
    method: Method,
    values: Mapping[str, Iterable],
    known: list[bool],
    folder: Path | None = None,
    also: Mapping[str, Method] | None = None,
) -> dict[str, dict]:
    """Needles found when one parameter changes and the others stay.

    Parameters
    ----------
    method : Method
        The method, of which one parameter is changed at a time.
    values : mapping of str to iterable
        By parameter, the values that it takes in turn.
    known : list of bool
        Which needles the unchanged method found; it is not asked again.
    folder : Path, optional
        Where answers are stored and read again, as in `kvbook.tasks.needle.ask_each`.
    also : mapping of str to Method, optional
        Other methods to ask, with their own parameters; each prompt is read once for all of them.

    Returns
    -------
    dict
        By parameter, by value: which needles were found; and those of the other methods, by label,
        under ``"also"``.

    Examples
    --------
    >>> ask_varied(lm, needles, snapkv, {"window": [4, 8]}, known)["window"][4]
    [True, False, ...]
    """
    check_loaded(lm)
    method = as_method(method)
    wanted = {name: list(each) for name, each in values.items()}
    varied = {
        (name, value): replace(method, **{name: value})
        for name, each in wanted.items()
        for value in each
    }
    changed = {which: one for which, one in varied.items() if one != method}
    if also:
        wanted["also"] = list(also)
        changed |= {("also", label): one for label, one in also.items()}
    asked = ask_each(lm, changed, needles, folder)
    return {
        name: {value: asked.get((name, value), known) for value in each}
        for name, each in wanted.items()
    }


def by_label(found: Found) -> dict[str, list[bool]]:
    """What `ask_budgets` found, for a results file: by labels such as ``snapkv budget=64``."""
    return {
        name if budget is None else f"{name} budget={budget}": hits
        for (name, budget), hits in found.items()
    }
