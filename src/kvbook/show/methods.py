"""What the chapters of the methods say alike: what was found, what was kept, and what it cost."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import torch
from IPython.display import HTML
from torch import Tensor

from kvbook.results import report_tasks
from kvbook.show.said import Said, as_code, bullets, say
from kvbook.show.tables import quoted, rate_table, table
from kvbook.stats import Rate, seen_difference
from kvbook.tasks.budgets import Found
from kvbook.tasks.needle import Needle, found
from kvbook.tasks.trial import Example, Trial

Label = TypeVar("Label")
LARGER, SMALLER, SAME = 1, -1, 0
COMPARED = {
    LARGER: "More answers are found than with {base}: {labels}.",
    SMALLER: "Fewer answers are found than with {base}: {labels}.",
    SAME: "No difference from {base} can be seen with {items} prompts: {labels}.",
}
"""What is said of some variants beside one of them, by how the difference lies to 0."""
PAIRED = {
    LARGER: "At budget {budgets} {first} finds more than {second}.",
    SMALLER: "At budget {budgets} {first} finds fewer than {second}.",
    SAME: "At budget {budgets} no difference between {first} and {second} can be seen.",
}
ONE_PROMPT = "One prompt: nothing can be compared."


def cost_table(trials: Sequence[Trial], prompt_tokens: int, new_tokens: int = 12) -> HTML:
    """What methods cost on one prompt, a row a trial.

    Parameters
    ----------
    trials : sequence of Trial
        Of the same prompt.
    prompt_tokens, new_tokens : int
        Lengths of the prompt and of the answers, for the caption.
    """
    return table(
        [trial.cost_row() for trial in trials],
        "measured",
        f"{prompt_tokens} tokens of prompt, {new_tokens} new ones; GFLOP are computed on paper; "
        "one run each, so the times are rough",
    )


def cost_sentence(trials: Sequence[Trial]) -> Said:
    """What `cost_table` shows: the first trial is what the others are compared with; and the most that
    a smaller cache could save of the bytes that a decoded token reads."""
    full, *others = trials
    run = full.run
    held = [one.run.kv_bytes / run.kv_bytes for one in others]
    most = [one.run.kv_bytes_peak / run.kv_bytes_peak for one in others]
    work = [one.flops / full.flops for one in others]
    prefill = [one.run.prefill_seconds / run.prefill_seconds for one in others]
    decode = [_a_token(one) / _a_token(full) for one in others]
    weights = sum(one.nbytes for one in run.model.parameters())
    same = [one for one, share in zip(others, work, strict=True) if abs(share - 1) < 0.005]
    less = [(one, share) for one, share in zip(others, work, strict=True) if one not in same]
    told = [
        say(
            "Bytes of the cache at the end, beside {full}: {shares}. At its largest: {most}.",
            full=full.label,
            shares=_shares(others, held),
            most=_shares(others, most),
        )
    ]
    if same:
        told.append(
            say(
                "On paper these prefills do all the operations of {full}: {labels}.",
                labels="; ".join(one.label for one in same),
                full=full.label,
            )
        )
    if less:
        told.append(
            say(
                "Operations of the prefill on paper, beside {full}: {shares}.",
                full=full.label,
                shares=_shares(*zip(*less, strict=True)),
            )
        )
    told.append(
        say(
            "Beside {full} the prefill took {a:.2f} to {b:.2f} of the time, and a decoded token {c:.2f} to {d:.2f}. "
            "One run each is too few to put the methods in an order.",
            full=full.label,
            a=min(prefill),
            b=max(prefill),
            c=min(decode),
            d=max(decode),
        )
    )
    told.append(
        say(
            "A decoded token reads {weights:.0f} MiB of weights and, with {full}, {cache:.1f} MiB of cache. A "
            "smaller cache can save at most {share:.0%} of these bytes.",
            weights=weights / 2**20,
            cache=run.kv_bytes / 2**20,
            share=run.kv_bytes / (run.kv_bytes + weights),
            full=full.label,
        )
    )
    return bullets(told)


def _a_token(trial: Trial) -> float:
    return trial.run.decode_seconds / max(1, trial.run.decode_tokens)


def _shares(trials: Sequence[Trial], shares: Sequence[float]) -> str:
    pairs = zip(trials, shares, strict=True)
    return "; ".join(f"{one.label}: {share:.0%}" for one, share in pairs)


def found_table(
    rates: Mapping[tuple[str, int | float | None], Rate],
    needles: Sequence[Needle],
    note: str = "; intervals by bootstrap over the prompts, exact binomial where all or none are found",
) -> HTML:
    """Needles found by method and budget, as `kvbook.tasks.budgets.ask_budgets` has them."""
    return rate_table(
        {
            name if budget is None else f"{name}, budget {budget}": rate
            for (name, budget), rate in rates.items()
        },
        f"{len(needles)} needles of about {needles[0].tokens} tokens{note}",
    )


def found_sentence(asked: Found, seed: int = 0) -> Said:
    """What `found_table` shows: which methods find fewer needles than FullKV, and where the first
    method differs from the others at the same budget.

    Parameters
    ----------
    asked : mapping
        As `kvbook.tasks.budgets.ask_budgets` has it.
    seed : int
        Of the bootstrap.
    """
    full = asked["fullkv", None]
    if len(full) < 2:
        return say(ONE_PROMPT)
    others = {key: hits for key, hits in asked.items() if key != ("fullkv", None)}
    told = _compared(others, full, "fullkv", seed, _at_budgets)
    first, *rest = dict.fromkeys(name for name, budget in others if budget is not None)
    for second in rest:
        signs = {
            budget: seen_difference(hits, others[second, budget], seed)
            for (name, budget), hits in others.items()
            if name == first and (second, budget) in others
        }
        for sign, template in PAIRED.items():
            if budgets := ", ".join(str(one) for one in signs if signs[one] == sign):
                told.append(say(template, first=first, second=second, budgets=budgets))
    return say(
        "All were asked the same {items} prompts; in brackets: the budgets. A difference counts as seen where "
        "its 95 % interval (paired bootstrap over the prompts) does not contain 0.\n\n{told}",
        items=len(full),
        told=bullets(told),
    )


def against(asked: Mapping[str, Sequence[float]], base: str, seed: int = 0) -> Said:
    """Which variants find more, or fewer, of the same prompts than one of them does.

    Parameters
    ----------
    asked : mapping of str to sequence of bool
        By label, a hit a prompt, in the same order.
    base : str
        The label that the others are compared with.
    seed : int
        Of the bootstrap.
    """
    if len(asked[base]) < 2:
        return say(ONE_PROMPT)
    others = {label: hits for label, hits in asked.items() if label != base}
    return bullets(_compared(others, asked[base], base, seed, "; ".join))


def _compared(
    others: Mapping[Label, Sequence[float]],
    base: Sequence[float],
    name: str,
    seed: int,
    join: Callable[[list[Label]], str],
) -> list[Said]:
    """A sentence each for those above, those below, and those that cannot be told from ``base``."""
    signs = {label: seen_difference(hits, base, seed) for label, hits in others.items()}
    groups = {sign: [one for one in signs if signs[one] == sign] for sign in COMPARED}
    return [
        say(COMPARED[sign], base=name, items=len(base), labels=join(labels))
        for sign, labels in groups.items()
        if labels
    ]


def _at_budgets(keys: Sequence[tuple[str, int | float | None]]) -> str:
    """``name at budget, budget; name at budget``."""
    budgets: dict[str, list[str]] = {}
    for name, budget in keys:
        budgets.setdefault(name, []).extend([] if budget is None else [str(budget)])
    return "; ".join(f"{name} ({', '.join(of)})" if of else name for name, of in budgets.items())


def answer_table(
    example: Example, held: Mapping[str, Sequence[Tensor]], unit: str = "", caption: str = ""
) -> HTML | None:
    """How many heads, or layers, hold each token of the answer; nothing for a prompt without one.

    Parameters
    ----------
    example : Example
        The prompt.
    held : mapping
        By column: per layer, the positions that it holds, as ``run.kept_positions``
        ``[batch, heads, kept]`` or ``run.layer_inputs`` ``[batch, read]``.
    unit : str
        What is counted, such as ``"heads"``.
    """
    if not example.gold:
        return None
    sets = {column: _sets(layers) for column, layers in held.items()}
    rows = [
        {"token": repr(example.tokens[place]), "position": place}
        | {
            column: f"{sum(place in one for one in of)} of {len(of)} {unit}".rstrip()
            for column, of in sets.items()
        }
        for place in example.gold
    ]
    return table(rows, "measured", caption)


def report_table(data: Path, methods: Sequence[str]) -> HTML:
    """The report's scores of these methods; ``data`` is the folder of the book's data."""
    return table(report_tasks(data, methods), "report", "figure 1, left: LongBench tasks")


def answer_sentence(example: Example, held: Mapping[str, Sequence[Tensor]]) -> Said | None:
    """What `answer_table` shows: how many hold the whole answer, and how many nothing of it; nothing for
    a prompt without one."""
    if not example.gold:
        return None
    gold = set(example.gold)
    told = []
    for column, layers in held.items():
        counts = [len(gold & one) for one in _sets(layers)]
        told.append(
            say(
                "{column}: the whole answer in {whole} of {all}, a part of it in {part}, nothing of it in {none}.",
                column=column,
                all=len(counts),
                whole=sum(one == len(gold) for one in counts),
                part=sum(0 < one < len(gold) for one in counts),
                none=counts.count(0),
            )
        )
    return bullets(told)


def _sets(layers: Sequence[Tensor]) -> list[set[int]]:
    """Of every head, or layer, the positions that it holds."""
    return [set(row.tolist()) for one in layers for row in torch.atleast_2d(one[0])]


def window_sentence(inside: Sequence[bool], hits: Sequence[bool]) -> Said:
    """How many needles are found whose answer lies in the window, and of the others.

    Parameters
    ----------
    inside, hits : sequence of bool
        One a needle, in the same order.
    """
    pairs = list(zip(inside, hits, strict=True))
    return say(
        "Of {inside} needles in the window {found} are found, and of {outside} before it {early}.",
        inside=sum(inside),
        found=sum(hit for within, hit in pairs if within),
        outside=len(pairs) - sum(inside),
        early=sum(hit for within, hit in pairs if not within),
    )


def is_right(text: str, answer: str) -> bool:
    """Whether a text begins with the answer, by the rule of the needles."""
    return found(Needle("", answer, 0.0, 0), text)


def answered(text: str, answer: str) -> Said:
    """What a model says after the prompt, and whether that is right; ``answer`` is empty for a prompt of
    the reader's own."""
    said = as_code(repr(text))
    if not answer:
        return say("Said: {said}. The prompt is your own, so no answer is expected.", said=said)
    if is_right(text, answer):
        return say("Said: {said}. **Right**: {answer} was expected.", said=said, answer=answer)
    return say("Said: {said}. **Wrong**: {answer} was expected.", said=said, answer=answer)


def said_table(words: Mapping[str, str], answer: str, caption: str) -> HTML:
    """What each method says after the prompt, and whether it is right.

    Parameters
    ----------
    words : mapping of str to str
        By method.
    answer : str
        What is expected; empty for a prompt of the reader's own.
    """
    marks = {True: "✓ right", False: "✗ wrong"}
    rows = [
        {"method": name, "words after the prompt": quoted(repr(text))}
        | ({"checked": marks[is_right(text, answer)]} if answer else {})
        for name, text in words.items()
    ]
    return table(rows, "measured", caption)


def said_sentence(words: Mapping[str, str], answer: str) -> Said | None:
    """What `said_table` shows: whose words are right; nothing where no answer is expected."""
    if not answer:
        return None
    names: dict[bool, list[str]] = {True: [], False: []}
    for name, text in words.items():
        names[is_right(text, answer)].append(name)
    right, wrong = (", ".join(of) or "–" for of in names.values())
    return say(
        "Right: {right}. Wrong: {wrong}. One prompt says nothing about how often a method is right.",
        right=right,
        wrong=wrong,
    )


def report_sentence(data: Path, methods: Sequence[str]) -> Said:
    """What `report_table` shows: each method's share of FullKV's scores."""
    full, *others = report_tasks(data, ["fullkv", *(one for one in methods if one != "fullkv")])
    told = []
    for row in others:
        shares = {task: row[task] / full[task] for task in full if task != "method"}
        least, most = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
        told.append(
            say(
                "{method} has {mean:.0%} of the score of fullkv in the mean of {tasks} tasks: least on {worst} "
                "({least:.0%}), most on {best} ({most:.0%}).",
                method=row["method"],
                mean=fmean(shares.values()),
                tasks=len(shares),
                worst=least,
                least=shares[least],
                best=most,
                most=shares[most],
            )
        )
    told.append(
        say("The report gives no scores of single items, so these differences have no intervals.")
    )
    return bullets(told)
