"""The laws, one a function.

Each is a generator of the places where it fails, and so of nothing where it holds. A law that says
nothing about a method raises `DoesNotApply` with the reason.
"""

from collections.abc import Callable, Iterator

from kvbook.engine.attach import attach
from kvbook.errors import ParameterError, UnsupportedError
from kvbook.laws.answers import HOOKS, Broke, Watched
from kvbook.laws.compare import after, differences
from kvbook.laws.law import (
    Case,
    CounterExample,
    DoesNotApply,
    Law,
    Size,
    has_budget,
    make_method,
    same,
)
from kvbook.laws.reading import heads_of, prompt_of, read, read_on, tokens_of
from kvbook.methods.base import Method
from kvbook.methods.fullkv import FullKV

LAWS: list[Law] = []
"""All of them, in the order in which they are tried."""
Breaches = Iterator[CounterExample]


def law(sentence: str, tries: Callable = lambda length, budget: [(length, budget)]) -> Callable:
    """Make a law of a function: its name is the law's."""

    def register(function: Callable[[Case], Breaches]):
        LAWS.append(Law(function.__name__, sentence, function, tries))
        return function

    return register


def needs_budget(case: Case) -> None:
    """For laws on the budget: raise `DoesNotApply` for a method without one."""
    if not has_budget(case.given):
        raise DoesNotApply("it has no `budget`")


def holds_a_budget(case: Case) -> None:
    """For laws on how many entries a layer holds: raise `DoesNotApply` for a method without a
    budget, and for one whose budget is a mean over the layers."""
    needs_budget(case)
    method = case.method
    if hasattr(method, "pass_on") and not (hasattr(method, "keep") or hasattr(method, "choose")):
        raise DoesNotApply(
            "its budget is a mean over the layers: it only passes tokens on, and the first layer "
            "reads and keeps them all"
        )


def writes(method: Method) -> bool:
    """Whether a method may put entries of its own into the cache, as SummaryKV does."""
    return hasattr(method, "after_forward")


def entries(count: int) -> str:
    """The count with its noun: "1 entry", "2 entries"."""
    return f"{count} {'entry' if count == 1 else 'entries'}"


@law(
    "a budget that holds the prompt is FullKV",
    lambda length, budget: [(length, length), (length, length + 1)],
)
def whole_budget(case: Case) -> Breaches:
    """Nothing is dropped, of the answer either: the same entries and the same logits."""
    needs_budget(case)
    if writes(case.method):
        raise DoesNotApply("it writes: its budget bounds the cache at every step, also the answer")
    later = tokens_of(case.model, 1, 1, 1)
    full = read(FullKV(), case.model, [case.ids], later)
    yield from differences(case, full, read(case.method, case.model, [case.ids], later), "FullKV")


@law("after the prompt each layer holds the budget")
def holds_budget(case: Case) -> Breaches:
    """Per KV head: neither more, nor fewer as long as the layer has read as many."""
    holds_a_budget(case)
    got = read(case.method, case.model, [case.ids])
    for layer, head, positions in heads_of(got.held[0]):
        available = case.length if hasattr(case.method, "choose") else len(got.inputs[layer][0])
        expected, found = min(case.entries, available), len(positions)
        if found > expected or (found < expected and not writes(case.method)):
            yield case.broken(entries(expected), str(found), layer=layer, head=head)


@law(
    "a fraction of the prompt is rounded down, and is at least one entry",
    lambda length, budget: [(length, 0.37), (length, 0.001), (length, 1.0)],
)
def fraction(case: Case) -> Breaches:
    """``budget=0.37`` is ``max(1, floor(0.37 * n))`` entries."""
    needs_budget(case)
    try:
        make_method(case.given, case.budget)
    except ParameterError:
        raise DoesNotApply("its budget is a number of entries, never a fraction") from None
    yield from holds_budget(case)


@law("while it decodes, a method that evicts holds the budget")
def holds_while_decoding(case: Case) -> Breaches:
    """After every token; a prompt that fits the budget is never cut, nor is its answer. A method that
    keeps all that is generated has no `evict`, or None in its place."""
    if getattr(case.method, "evict", None) is None:
        raise DoesNotApply("it has no `evict`: all that is generated is kept")
    holds_a_budget(case)
    if case.entries >= case.length:
        return
    got = read(case.method, case.model, [case.ids], tokens_of(case.model, *[1] * 6))
    for step, held in enumerate(got.held[1:], start=1):
        for layer, head, positions in heads_of(held):
            found = len(positions)
            if found > case.entries or (found < case.entries and not writes(case.method)):
                where = dict(layer=layer, head=head, when=after(step))
                yield case.broken(entries(case.entries), str(found), **where)


@law("the indices that it answers with ascend, and are of entries that exist")
def indices(case: Case) -> Breaches:
    """Of all hooks, also while decoding and in a later turn; what goes deeper, or is read at all,
    has the last token in it."""
    if not any(getattr(case.method, hook, None) for hook in HOOKS):
        raise DoesNotApply("it has no hook that chooses: all is kept")
    try:
        read(Watched(case.method, case), case.model, [case.ids], tokens_of(case.model, 1, 1, 4, 1))
    except Broke as broke:
        yield broke.found


@law("no state outlives a run")
def no_state(case: Case) -> Breaches:
    """Two runs are equal, also behind another prompt; and the model is as it was."""
    later = tokens_of(case.model, 1, 1)
    alone = case.model(case.ids).logits
    before = set(vars(case.model))
    first = read(case.method, case.model, [case.ids], later)
    again = read(case.method, case.model, [case.ids], later)
    yield from differences(case, first, again, "the first run", "in a second run")
    with attach(case.method, case.model) as run:
        read_on(run, [prompt_of(case.length + 3, case.model, seed=2)], later)
        behind = read_on(run, [case.ids], later)
    yield from differences(case, first, behind, "a fresh run", "behind another prompt")
    if set(vars(case.model)) != before or not same(case.model(case.ids).logits, alone):
        yield case.broken("the model as it was", "another", when="after the block has ended")


@law("a row of a padded batch is as it is alone")
def padded_rows(case: Case) -> Breaches:
    """Three prompts of unequal lengths, read together: rows know nothing of each other."""
    more = max(1, case.length // 3)
    rows = [case.ids, *(prompt_of(case.length + i * more, case.model, 10 + i) for i in (1, 2))]
    later = tokens_of(case.model, 1, 1)
    try:
        together = read(case.method, case.model, rows, later)
    except UnsupportedError as error:
        raise DoesNotApply(f"it is refused by name: {error}") from None
    for i, row in enumerate(rows):
        alone = read(case.method, case.model, [row], later)
        yield from differences(case, alone, together.row(i), "the row alone", f"row {i} of a batch")


def short_lengths(length: int, budget: Size) -> list[tuple[int, Size]]:
    """Prompts and budgets of a few tokens; the last is shorter than the usual window."""
    small = [(n, b) for n in (1, 2, 5) for b in (1, 2, 4, budget)]
    return [*small, (31, 2), (31, budget)]


@law("short prompts and small budgets work", short_lengths)
def short_prompts(case: Case) -> Breaches:
    """One token, fewer than the window, a budget of one entry: an answer comes, and every layer
    holds something."""
    got = read(case.method, case.model, [case.ids], tokens_of(case.model, 1, 1))
    for layer, head, positions in heads_of(got.held[0]):
        if not positions:
            yield case.broken("at least one entry", "none", layer=layer, head=head)
    for step, logits in enumerate(got.logits):
        if not logits.isfinite().all():
            yield case.broken("numbers as logits", "nan or infinity", when=after(step))


@law("the next turn of a chat is read on top of what is kept")
def next_turns(case: Case) -> Breaches:
    """Several tokens at once on a cut cache: the logits are finite, and a method that evicts holds
    its budget again."""
    turns = (1, 5, 1, 7)
    got = read(case.method, case.model, [case.ids], tokens_of(case.model, *turns))
    evicts = getattr(case.method, "evict", None) is not None
    bounded = evicts and has_budget(case.given) and hasattr(case.method, "keep")
    for step, tokens in enumerate(turns, start=1):
        when = f"after a turn of {tokens} tokens"
        if not got.logits[step].isfinite().all():
            yield case.broken("numbers as logits", "nan or infinity", when=when)
        for layer, head, positions in heads_of(got.held[step]):
            where = dict(layer=layer, head=head, when=when)
            if bounded and tokens > 1 and len(positions) > case.entries < case.length:
                yield case.broken(entries(case.entries), str(len(positions)), **where)
