"""Who votes for an answer, with the tiny random model; held against the attention of the model without us."""

from types import SimpleNamespace

import pytest
import torch

from kvbook import create_method, load_model
from kvbook.errors import ParameterError
from kvbook.methods import SnapKV
from kvbook.tasks.trial import as_example
from kvbook.tasks.votes import Copy, read_copy, stand

SNAP = create_method("snapkv", budget=24, window=4)


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32")


@pytest.fixture(scope="module")
def example(lm):
    return as_example(lm, "One two. It is 4711. Three four five. It is", "4711")


@pytest.fixture(scope="module")
def copied(lm, example):
    return read_copy(lm, SNAP, example, queries=6)


@pytest.fixture(scope="module")
def whole(lm, example):
    """All attention to the prompt with its answer behind it, ``[layers, heads, tokens, tokens]``."""
    again = lm.tokenizer(" 4711", add_special_tokens=False, return_tensors="pt").input_ids
    before = lm.model.config._attn_implementation
    lm.model.set_attn_implementation("eager")
    with torch.no_grad():
        ids = torch.cat((example.inputs.input_ids, again), dim=1)
        rows = lm.model(ids, output_attentions=True, use_cache=False).attentions
    lm.model.set_attn_implementation(before)
    return torch.cat(rows)


def grouped(rows, copied):
    """As a mean over the query heads of each KV head."""
    kv_heads = copied.looks.shape[1]
    return rows.unflatten(1, (kv_heads, -1)).mean(2)


def test_the_votes_are_those_of_the_prompts_last_queries(example, copied, whole):
    n = example.length
    plain = grouped(whole, copied)[:, :, n - 6 : n, :n]
    assert torch.allclose(copied.attention, plain, atol=1e-5)


def test_the_copy_looks_at_the_last_token_from_the_one_before(example, copied, whole):
    plain = grouped(whole, copied)[:, :, -2, example.gold[-1]]
    assert torch.allclose(copied.looks, plain, atol=1e-5)


def test_what_is_kept_is_kept_of_the_prompt_alone(lm, example, copied):
    with SNAP.attach(lm.model) as run:
        lm.model(**example.inputs)
    held = [(layer[0] == example.gold[-1]).any(1).tolist() for layer in run.kept_positions]
    assert copied.kept.tolist() == held and 0 < copied.kept.sum() < copied.kept.numel()


def test_a_budget_for_the_whole_prompt_keeps_the_answer_everywhere(lm, example):
    assert read_copy(lm, create_method("snapkv", budget=500), example, queries=2).kept.all()


def test_the_head_that_copies_keeps_what_it_looks_at():
    looks = torch.tensor([[0.1, 0.9], [0.3, 0.2]])
    kept = torch.tensor([[True, False], [True, True]])
    assert Copy(torch.empty(0), looks, kept).head == (1, 0)


def test_a_prompt_without_an_answer_is_refused(lm):
    with pytest.raises(ParameterError, match="no answer in it: give one of needle.make_needles"):
        read_copy(lm, SNAP, as_example(lm, "One two."), queries=1)


class Given(SnapKV):
    """The votes are given."""

    def score(self, seen, window):
        return seen.votes[:, : len(seen.votes[0]) - window]


@pytest.mark.parametrize("budget, stays", [(5, True), (4, False), (0.5, True)])
def test_an_answer_stays_if_all_of_it_is_among_the_highest(budget, stays):
    votes = torch.tensor([[0.0] * 10, [9.0, 1, 2, 8, 7, 3, 4, 5, 99, 99]])
    found = stand(
        Given(budget=budget, window=2), SimpleNamespace(votes=votes, prompt_length=10), 1, (3, 4)
    )
    assert (found.ranks, found.votes, found.stays) == ((2, 3), 7, stays)
    places = {5: 3, 4: 2, 0.5: 3}[budget]
    assert (found.places, found.needed) == (places, sorted(votes[1, :8].tolist())[-places])
