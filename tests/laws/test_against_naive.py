"""`laws.against_naive`: a right class parts from the rule nowhere, a wrong one at a place that is named."""

import pytest
import torch
from conftest import make_method

from kvbook import laws
from kvbook.engine.attention import received
from kvbook.errors import ParameterError
from kvbook.laws.against_naive import compare
from kvbook.laws.law import Case
from kvbook.laws.naive_rules import top
from kvbook.laws.reading import make_tiny_model
from kvbook.laws.twins import PARAMETERS
from kvbook.methods import CATALOGUE, H2O, FastKV, PyramidInfer, SnapKV, StreamingLLM
from kvbook.methods.base import pool, reduce_group, resolve_budget

OWN = {
    "streamingllm": dict(budget=12, sinks=2, positions="original"),
    "snapkv": dict(budget=12, window=4, pooling="avg", gqa="max"),
    "h2o": dict(budget=12, recent=3, gqa="sum"),
    "pyramidinfer": dict(min_length=2, decay=0.1),
    "gemfilter": dict(budget=12, filter_layer=0, kernel=1),
    "fastkv": dict(budget=8, window=3, tsp_length=0.5, tsp_layer=2),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_method_of_the_book_is_its_rule(name):
    method = PyramidInfer(min_length=2) if name == "pyramidinfer" else CATALOGUE[name]
    report = laws.against_naive(name, method)
    assert report.rows[0].verdict == "pass", report


@pytest.mark.parametrize("name", OWN)
def test_the_rule_takes_the_parameters_of_the_method(name):
    report = laws.against_naive(name, make_method(name, **OWN[name]))
    assert report.rows[0].verdict == "pass", report


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_shorter_prompt_makes_a_right_method_wrong(name):
    """Where the counter-examples of others are shrunk to."""
    model = make_tiny_model()
    method = PyramidInfer(min_length=1) if name == "pyramidinfer" else CATALOGUE[name]
    for length in (1, 2, 3, 6):
        for budget in (1, 2, 4):
            assert not list(compare(name, Case(method, model, length, budget)))


def part(name, method, budget=12):
    return laws.against_naive(name, method, budget).rows[0].counter_example


def test_a_planted_difference_is_found_at_its_layer_head_and_position():
    class Mine(SnapKV, listed=False):
        def keep(self, seen):
            kept = super().keep(seen)
            if kept is None or seen.layer != 2 or seen.entries < 20:
                return kept
            gone = [j for j in range(seen.entries) if j not in kept[1].tolist()]
            planted.append(gone[0])
            kept[1] = torch.cat((kept[1][1:], torch.tensor(gone[:1]))).sort().values
            return kept

    planted = []
    found = part("snapkv", Mine)
    assert (found.length, found.layer, found.head, found.when) == (20, 2, 1, "")
    assert found.position <= planted[-1] and found.found in ("kept", "dropped")


def test_the_position_is_the_one_that_the_rule_keeps():
    class Sinkless(StreamingLLM, listed=False):
        def keep(self, seen):
            kept = super().keep(seen)
            ours = torch.arange(seen.entries - self.budget, seen.entries)[None]
            return kept if kept is None else ours

    found = part("streamingllm", Sinkless(budget=12, positions="original"))
    assert (found.length, found.budget, found.layer, found.head) == (2, 1, 0, 0)
    assert (found.position, found.found) == (0, "dropped")


def test_a_difference_while_decoding_says_after_how_many_tokens():
    class Forgetful(H2O, listed=False):
        def evict(self, seen):
            seen.memory.pop("sums", None)
            return super().evict(seen)

    assert part("h2o", Forgetful).when.startswith("after ")


def test_a_cut_of_what_goes_deeper_is_found_in_the_layer_that_reads_it():
    class Shallow(FastKV, listed=False):
        def pass_on(self, seen):
            kept = super().pass_on(seen)
            return kept if kept is None else torch.arange(seen.entries - len(kept), seen.entries)

    found = part("fastkv", Shallow(budget=4, window=2))
    assert (found.layer, found.head) == (2, None) and "read" in found.expected


def test_the_order_of_pooling_and_group_is_found():
    class Mine(SnapKV, listed=False):
        def score(self, seen, window):
            votes = received(seen.queries[:, -window:], seen.keys, seen.scaling)[:, :-window]
            return pool(reduce_group(votes, len(seen.keys), self.gqa), self.kernel, self.pooling)

    assert part("snapkv", Mine).layer is not None


def test_another_choice_among_equal_scores_is_right():
    class FromTheEnd(SnapKV, listed=False):
        def keep(self, seen):
            budget = resolve_budget(self.budget, seen.prompt_length)
            if budget >= seen.entries:
                return None
            window = self.window if budget > self.window else max(1, budget // 2)
            order = self.score(seen, window).flip(1).argsort(dim=1, descending=True, stable=True)
            chosen = seen.entries - window - 1 - order[:, : budget - window]
            last = torch.arange(seen.entries - window, seen.entries).expand(len(chosen), -1)
            return torch.cat((chosen.sort().values, last), dim=1)

    report = laws.against_naive("snapkv", FromTheEnd)
    assert report.passed, report


def test_preferred_wins_among_equals_only():
    assert top([3, 1, 1, 2, 1], 3, preferred={4}) == [0, 3, 4]
    assert top([3, 1, 1, 2, 1], 2, preferred={4}) == [0, 3]


def test_keys_that_were_not_turned_are_seen_in_the_logits():
    class Unturned(StreamingLLM, listed=False):
        def close_gap(self, seen, sinks, steps):
            pass

    found = part("streamingllm", Unturned)
    assert (found.layer, found.expected) == (None, "the logits of the naive rule")
    assert found.when.startswith("after ") and found.found.startswith("others, by up to ")


@pytest.mark.parametrize("method", [PyramidInfer(budget=0.8), SnapKV], ids=str)
def test_a_rule_goes_by_the_decay(method):
    row = laws.against_naive("pyramidinfer", method).rows[0]
    assert row.verdict == "does not apply" and "by the decay" in row.reason


def test_a_name_without_a_rule_is_refused():
    with pytest.raises(
        ParameterError, match="no naive rule for 'summarykv'; there is one for: full"
    ):
        laws.against_naive("summarykv", SnapKV)
