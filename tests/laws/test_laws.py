"""Every method of the book keeps every law; and for each law one is broken here that breaks no other."""

from dataclasses import field

import pytest
import torch
from conftest import make_method
from pydantic.dataclasses import dataclass

from kvbook import laws
from kvbook.fields import Budget
from kvbook.methods import CATALOGUE, METHODS, FullKV, Method, PublishedH2O, Quantized
from kvbook.methods.base import STRICT, last_indices, resolve_budget


def first(ids, most):
    return ids[:most]


SMALL = {
    "streamingllm": dict(budget=12, chunk=7),
    "snapkv": dict(budget=12, window=4),
    "h2o": dict(budget=12, recent=3),
    "h2o_published": dict(budget=12),
    "pyramidinfer": dict(min_length=2, generation=True),
    "gemfilter": dict(budget=12, filter_layer=0, kernel=1),
    "fastkv": dict(budget=12, window=3, tsp_length=0.5),
    "summarykv": dict(budget=16, segment=6, summary_tokens=4, summarizer=first),
}
"""With parameters that a prompt of thirty tokens is long enough for."""


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_the_book_keeps_the_laws(name):
    report = laws.check(CATALOGUE[name])
    assert report.passed, report


@pytest.mark.parametrize("name", SMALL)
def test_it_keeps_them_with_other_parameters(name):
    report = laws.check(make_method(name, **SMALL[name]))
    assert report.passed, report


@pytest.mark.parametrize("budget", [64, 0.4])
def test_it_keeps_them_with_another_budget(budget):
    report = laws.check(CATALOGUE["snapkv"], budget)
    assert report.passed, report


MEAN = "its budget is a mean over the layers"
NO_EVICT = "it has no `evict`"


@pytest.mark.parametrize(
    "method, law, reason",
    [
        (FullKV, "whole_budget", "it has no `budget`"),
        (FullKV, "holds_budget", "it has no `budget`"),
        (FullKV, "fraction", "it has no `budget`"),
        (FullKV, "indices", "it has no hook that chooses"),
        (CATALOGUE["snapkv"], "holds_while_decoding", NO_EVICT),
        (CATALOGUE["gemfilter"], "holds_while_decoding", NO_EVICT),
        (make_method("streamingllm", budget=9, rolling=False), "holds_while_decoding", NO_EVICT),
        (PublishedH2O, "holds_while_decoding", NO_EVICT),
        (CATALOGUE["pyramidinfer"], "holds_budget", MEAN),
        (CATALOGUE["pyramidinfer"], "fraction", MEAN),
        (CATALOGUE["summarykv"], "whole_budget", "it writes"),
        (CATALOGUE["summarykv"], "padded_rows", "it is refused by name: summarykv looks back"),
        (Quantized(), "padded_rows", "it is refused by name"),
    ],
)
def test_a_law_that_does_not_apply_says_why(method, law, reason):
    row = laws.check(method)[law]
    assert row.verdict == "does not apply" and row.reason.startswith(reason)


# ---- for each law, a method that breaks it, and no other ----------------------------------------


@dataclass(frozen=True, config=STRICT)
class Last(Method, listed=False):
    """Keeps the last entries, and every law: what the broken ones change one thing of."""

    budget: Budget

    def keep(self, seen):
        budget = resolve_budget(self.budget, seen.prompt_length)
        if budget >= min(seen.entries, seen.input_length):
            return None
        return last_indices(seen.entries, budget, len(seen.keys), seen.keys.device)

    def evict(self, seen):
        return Last.keep(self, seen)


class DropsOfWhatFits(Last, listed=False):
    def keep(self, seen):
        if isinstance(self.budget, int) and self.budget >= seen.entries > 5 and seen.layer == 2:
            index = torch.arange(seen.entries)
            return torch.stack((index[index != 0], index[index != 3]))
        return super().keep(seen)


class OneTooMany(Last, listed=False):
    def keep(self, seen):
        kept = super().keep(seen)
        if kept is None or isinstance(self.budget, float) or seen.layer != 1:
            return kept
        return last_indices(seen.entries, self.budget + 1, 2, kept.device)


class RoundsUp(Last, listed=False):
    def keep(self, seen):
        kept = super().keep(seen)
        if kept is None or isinstance(self.budget, int):
            return kept
        budget = -int(-self.budget * seen.prompt_length // 1)
        return last_indices(seen.entries, budget, 2, kept.device)


class EvictsTooLate(Last, listed=False):
    def evict(self, seen):
        late = seen.queries.shape[1] == 1 and seen.tokens_seen % 2 and seen.layer == 3
        return None if late else super().evict(seen)


class Unsorted(Last, listed=False):
    def keep(self, seen):
        kept = super().keep(seen)
        return kept if kept is None or seen.layer < 3 else torch.stack((kept[0], kept[1].flip(0)))


@dataclass(frozen=True, config=STRICT)
class Remembers(Last, listed=False):
    read: list = field(default_factory=list)

    def keep(self, seen):
        kept = super().keep(seen)
        self.read.append((seen.layer, seen.prompt_length))
        third = self.read.count((1, seen.prompt_length)) == 3
        return kept if kept is None or seen.layer != 1 or not third else kept - 1


class LeavesATrace(Last, listed=False):
    def check_model(self, model):
        model.last_method = self


class Shares(Last, listed=False):
    def keep(self, seen):
        kept = super().keep(seen)
        return None if kept is None else seen.shared.setdefault(("kept", seen.layer), kept)


class AsksForFourQueries(Last, listed=False):
    def keep(self, seen):
        assert seen.queries[:, -4].isfinite().all()
        return super().keep(seen)


class EvictsOneAtATime(Last, listed=False):
    def evict(self, seen):
        kept = super().evict(seen)
        return kept if kept is None else torch.arange(1, seen.entries)[None]


BROKEN = [
    (DropsOfWhatFits, "whole_budget", dict(length=6, layer=2, head=0, position=0)),
    (OneTooMany, "holds_budget", dict(length=2, budget=1, layer=1, head=0, found="2")),
    (RoundsUp, "fraction", dict(length=3, budget=0.37, layer=0, head=0, found="2")),
    (EvictsTooLate, "holds_while_decoding", dict(length=2, budget=1, layer=3, head=0, found="2")),
    (Unsorted, "indices", dict(length=3, budget=2, layer=3, head=1, position=1)),
    (Remembers, "no_state", dict(layer=1, head=0, when="behind another prompt")),
    (LeavesATrace, "no_state", dict(expected="the model as it was")),
    (Shares, "padded_rows", dict(layer=0, head=0)),
    (AsksForFourQueries, "short_prompts", dict(length=1, budget=1, layer=0, raised=True)),
    (EvictsOneAtATime, "next_turns", dict(layer=0, head=0, when="after a turn of 5 tokens")),
]


@pytest.mark.parametrize("method, law, where", BROKEN, ids=lambda one: getattr(one, "__name__", ""))
def test_what_breaks_one_law_is_found_by_it_alone_and_in_the_right_place(method, law, where):
    report = laws.check(method)
    assert [row.law for row in report.rows if row.verdict == "fails"] == [law], report
    found = report[law].counter_example
    assert {name: getattr(found, name) for name in where} == where, found


@pytest.mark.parametrize("of_turns", [False, True], ids=["never", "of turns only"])
def test_an_evict_that_does_not_drop_is_a_mistake_and_no_choice(of_turns):
    class Forgotten(Last, listed=False):
        def evict(self, seen):
            return super().evict(seen) if of_turns and seen.queries.shape[1] > 1 else None

    report = laws.check(Forgotten)
    found = report["holds_while_decoding"].counter_example
    assert (found.length, found.budget, found.found) == (2, 1, "2") and found.when
    assert (report["next_turns"].verdict == "fails") == (not of_turns)


def test_each_law_is_broken_by_somebody():
    assert {law for _, law, _ in BROKEN} == {law.name for law in laws.LAWS}


def test_the_method_that_the_broken_ones_change_keeps_all_laws():
    assert {row.verdict for row in laws.check(Last).rows} == {"pass"}
