"""Kept sets, logits and 20 greedy tokens of every method, against naive dense arithmetic in float64."""

import pytest
import torch
from conftest import continue_greedily, left_pad, make_model, prompt_of
from naive import Naive, NaiveSnapKV, NaiveStreaming

from kvbook import create_method

KV_HEADS, TOKENS = 2, 20

STREAMING = [
    dict(budget=12),
    dict(budget=12, positions="original"),
    dict(budget=12, rolling=False),
    dict(budget=0.5, sinks=2),
    dict(budget=12, sinks=0),
    dict(budget=12, chunk=7),
    dict(budget=12, chunk=7, positions="original"),
    dict(budget=12, chunk=1),
    dict(budget=1),
    dict(budget=4),
]
SNAPKV = [
    dict(budget=12),
    dict(budget=12, window=4),
    dict(budget=20, window=4, kernel=3),
    dict(budget=12, window=4, pooling="avg", kernel=5),
    dict(budget=12, window=4, gqa="max", kernel=1),
    dict(budget=12, window=4, gqa="sum", pooling="avg"),
    dict(budget=0.3, window=2),
    dict(budget=1),
    dict(budget=2, window=2),
]


def size(budget, tokens):
    return max(1, int(budget * tokens)) if isinstance(budget, float) else budget


def naive_for(model, name, parameters, tokens):
    own = dict(parameters, budget=size(parameters["budget"], tokens))
    own.pop("chunk", None)
    if name == "snapkv":
        return Naive(model, NaiveSnapKV(kv_heads=KV_HEADS, **own))
    slots = own.pop("positions", "cache") == "cache"
    return Naive(model, NaiveStreaming(kv_heads=KV_HEADS, **own), slots=slots)


CASES = [("streamingllm", p) for p in STREAMING] + [("snapkv", p) for p in SNAPKV]


@pytest.mark.parametrize("name, parameters", CASES, ids=lambda x: str(x).replace(" ", ""))
def test_equals_naive(model, prompt, name, parameters):
    naive = naive_for(model, name, parameters, prompt.shape[1])
    tokens, logits = naive.generate(prompt[0].tolist(), TOKENS, parameters.get("chunk"))
    with create_method(name, **parameters).attach(model) as run:
        got, got_logits = continue_greedily(model, prompt, TOKENS)
    assert [kept[0].tolist() for kept in run.kept_positions] == naive.kept
    assert torch.allclose(got_logits[:, 0].double(), logits, atol=2e-4)
    assert got[0] == tokens


@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_other_families_equal_naive(family, prompt):
    model = make_model(family, **({"hidden_size": 64, "head_dim": 8} if family == "qwen2" else {}))
    naive = naive_for(model, "snapkv", dict(budget=12, window=4), 30)
    tokens, logits = naive.generate(prompt[0].tolist(), TOKENS)
    with create_method("snapkv", budget=12, window=4).attach(model):
        got, got_logits = continue_greedily(model, prompt, TOKENS)
    assert torch.allclose(got_logits[:, 0].double(), logits, atol=2e-4)
    assert got[0] == tokens


@pytest.mark.parametrize(
    "name, parameters",
    [("fullkv", {})] + [CASES[i] for i in (0, 1, 3, 5, 7, 8, 10, 11, 16, 17)],
    ids=lambda x: str(x).replace(" ", ""),
)
def test_a_row_of_a_padded_batch_gives_what_it_gives_alone(model, name, parameters):
    rows = [prompt_of(30, 1), prompt_of(9, 2), prompt_of(17, 3), prompt_of(1, 4)]
    ids, mask = left_pad(rows)
    method = create_method(name, **parameters)
    with method.attach(model) as run:
        together, logits = continue_greedily(model, ids, TOKENS, attention_mask=mask)
    for i, row in enumerate(rows):
        with method.attach(model) as single:
            alone, alone_logits = continue_greedily(model, row, TOKENS)
        assert torch.allclose(logits[:, i], alone_logits[:, 0], atol=2e-4)
        assert together[i] == alone[0]
        for kept, own in zip(run.kept_positions, single.kept_positions, strict=True):
            assert kept[i][kept[i] >= 0].view(KV_HEADS, -1).tolist() == own[0].tolist()


@pytest.mark.parametrize("name, parameters", [CASES[0], CASES[2], CASES[5], CASES[11]], ids=str)
def test_a_second_turn_equals_naive(model, prompt, name, parameters):
    """The next turn of a chat: several tokens at once on top of a cut cache."""
    more, naive = prompt_of(5, 9), naive_for(model, name, parameters, 30)
    naive.prompt(prompt[0].tolist(), parameters.get("chunk"))
    after = getattr(naive.policy, "after_token", None)
    expected = naive.forward(more[0].tolist(), after)
    with create_method(name, **parameters).attach(model) as run:
        model(prompt)
        kept = [k.clone() for k in run.kept_positions]
        got = model(more, past_key_values=run.cache).logits[0, -1]
    assert torch.allclose(got.double(), expected, atol=2e-4)
    assert run.kv_lengths == [len(layer[0]) for layer in naive.layers]
    assert all(torch.equal(a, b) for a, b in zip(kept, run.kept_positions, strict=True))


def test_a_padded_second_turn_gives_what_it_gives_alone(model):
    first, second = [prompt_of(30, 1), prompt_of(12, 2)], [prompt_of(2, 3), prompt_of(5, 4)]
    method = create_method("streamingllm", budget=10)
    with method.attach(model) as run:
        ids, mask = left_pad(first)
        model(ids, attention_mask=mask)
        ids, new = left_pad(second)
        together = model(
            ids, attention_mask=torch.cat((mask, new), 1), past_key_values=run.cache
        ).logits[:, -1]
    for i in range(2):
        with method.attach(model) as run:
            model(first[i])
            alone = model(second[i], past_key_values=run.cache).logits[0, -1]
        assert torch.allclose(together[i], alone, atol=2e-4)
