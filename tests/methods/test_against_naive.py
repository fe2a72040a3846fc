"""Kept sets, logits and 20 greedy tokens of every method, against naive dense arithmetic in float64."""

import pytest
import torch
from conftest import (
    BUDGETED,
    SHAPE,
    continue_greedily,
    left_pad,
    make_method,
    make_model,
    prompt_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kvbook import create_method
from kvbook.laws.twins import make_twin, size
from kvbook.methods import METHODS

KV_HEADS, TOKENS = SHAPE["num_key_value_heads"], 20

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

H2O = [
    dict(budget=12),
    dict(budget=12, recent=3),
    dict(budget=12, recent=0, gqa="sum"),
    dict(budget=12, recent=20, gqa="max"),
    dict(budget=0.5),
    dict(budget=1),
]
PUBLISHED_H2O = [dict(budget=12), dict(budget=6, gqa="max")]
PYRAMID = [
    dict(min_length=2),
    dict(min_length=2, decay=0.0, recent_ratio=0.1),
    dict(min_length=0, decay=0.5, recent_ratio=0.0, sinks=0, distance_weight=1.0),
    dict(min_length=5, decay=0.1, distance_weight=3.0),
    dict(),
    dict(min_length=2, recent_ratio=0.1, generation=True, distance_weight=3.0),
    dict(min_length=2, recent_ratio=0.0, generation=True),
]
GEMFILTER = [
    dict(budget=12),
    dict(budget=12, kernel=1, filter_layer=2),
    dict(budget=0.3, kernel=7, filter_layer=0),
    dict(budget=1),
    dict(budget=40),
]
FASTKV = [
    dict(budget=8, window=3),
    dict(budget=8, window=3, tsp_length=0.5, tsp_layer=1),
    dict(budget=6, window=2, tsp_length=20, pooling="avg", kernel=3),
    dict(budget=0.5, window=4, tsp_length=1),
    dict(budget=6),
    dict(budget=1, tsp_length=1),
    dict(budget=20, window=3, tsp_length=9, tsp_layer=0),
]


CASES = [
    (name, parameters)
    for name, many in {
        "streamingllm": STREAMING,
        "snapkv": SNAPKV,
        "h2o": H2O,
        "h2o_published": PUBLISHED_H2O,
        "pyramidinfer": PYRAMID,
        "fastkv": FASTKV,
        "gemfilter": GEMFILTER,
    }.items()
    for parameters in many
]
TWINS = {name for name, _ in CASES} | {"summarykv"}  # it has tests of its own
IN_TURNS = [
    *[("streamingllm", STREAMING[i]) for i in (0, 2, 5)],
    ("snapkv", SNAPKV[1]),
    *[("h2o", H2O[i]) for i in (0, 1)],
    ("h2o_published", PUBLISHED_H2O[0]),
    ("pyramidinfer", PYRAMID[0]),
    ("pyramidinfer", PYRAMID[5]),
    *[("fastkv", FASTKV[i]) for i in (0, 1)],
]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "fullkv"])
def test_every_method_has_a_naive_twin(name):
    assert name in TWINS


@pytest.mark.parametrize("name, parameters", CASES, ids=lambda x: str(x).replace(" ", ""))
def test_equals_naive(model, prompt, name, parameters):
    naive = make_twin(model, name, parameters, prompt.shape[1])
    tokens, logits = naive.generate(prompt[0].tolist(), TOKENS, parameters.get("chunk"))
    with make_method(name, **parameters).attach(model) as run:
        got, got_logits = continue_greedily(model, prompt, TOKENS)
    assert [kept[0].tolist() for kept in run.kept_positions] == naive.kept
    assert torch.allclose(got_logits[:, 0].double(), logits, atol=2e-4)
    assert got[0] == tokens


BUDGET = st.integers(1, 30) | st.floats(0.05, 1.0)
GQA = {"gqa": st.sampled_from(["mean", "max", "sum"])}
VOTES = {
    "window": st.integers(1, 10),
    "kernel": st.sampled_from([1, 3, 5, 7]),
    "pooling": st.sampled_from(["avg", "max"]),
}
ANY = st.one_of(
    st.tuples(st.just(name), st.fixed_dictionaries({"budget": BUDGET}, optional=own))
    for name, own in {
        "streamingllm": {"sinks": st.integers(0, 6), "chunk": st.integers(1, 9)},
        "snapkv": VOTES | GQA,
        "h2o": {"recent": st.integers(0, 12)} | GQA,
        "fastkv": VOTES | {"tsp_length": BUDGET, "tsp_layer": st.just(0)},
    }.items()
)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    ANY,
    st.fixed_dictionaries(
        {
            "num_hidden_layers": st.integers(1, 4),
            "num_key_value_heads": st.integers(1, 3),
            "head_dim": st.sampled_from([4, 8]),
        }
    ),
    st.integers(1, 4),
    st.integers(1, 40),
)
def test_equals_naive_on_any_shape(method, shape, group, length):
    name, parameters = method
    heads = group * shape["num_key_value_heads"]
    model = make_model("llama", **shape, num_attention_heads=heads, hidden_size=8 * heads)
    prompt = prompt_of(length, seed=length)
    naive = make_twin(model, name, parameters, length)
    tokens, _ = naive.generate(prompt[0].tolist(), 5, parameters.get("chunk"))
    with make_method(name, **parameters).attach(model) as run:
        got, _ = continue_greedily(model, prompt, 5)
    assert [kept[0].tolist() for kept in run.kept_positions] == naive.kept
    assert got[0] == tokens


@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_other_families_equal_naive(family, prompt):
    model = make_model(family, **({"hidden_size": 64, "head_dim": 8} if family == "qwen2" else {}))
    naive = make_twin(model, "snapkv", dict(budget=12, window=4), 30)
    tokens, logits = naive.generate(prompt[0].tolist(), TOKENS)
    with create_method("snapkv", budget=12, window=4).attach(model):
        got, got_logits = continue_greedily(model, prompt, TOKENS)
    assert torch.allclose(got_logits[:, 0].double(), logits, atol=2e-4)
    assert got[0] == tokens


@pytest.mark.parametrize(
    "name, parameters",
    [("fullkv", {})]
    + [("streamingllm", STREAMING[i]) for i in (0, 1, 3, 5, 7, 8)]
    + [("snapkv", SNAPKV[i]) for i in (0, 1, 6, 7)]
    + [("h2o", H2O[i]) for i in (0, 1, 4, 5)]
    + [("h2o_published", PUBLISHED_H2O[0])]
    + [("pyramidinfer", PYRAMID[i]) for i in (0, 2, 4, 6)]
    + [("gemfilter", parameters) for parameters in GEMFILTER]
    + [("fastkv", FASTKV[i]) for i in (0, 1, 3, 5)],
    ids=lambda x: str(x).replace(" ", ""),
)
def test_a_row_of_a_padded_batch_gives_what_it_gives_alone(model, name, parameters):
    rows = [prompt_of(30, 1), prompt_of(9, 2), prompt_of(17, 3), prompt_of(1, 4)]
    ids, mask = left_pad(rows)
    method = make_method(name, **parameters)
    with method.attach(model) as run:
        together, logits = continue_greedily(model, ids, TOKENS, attention_mask=mask)
    for i, row in enumerate(rows):
        with method.attach(model) as single:
            alone, alone_logits = continue_greedily(model, row, TOKENS)
        assert torch.allclose(logits[:, i], alone_logits[:, 0], atol=2e-4)
        assert together[i] == alone[0]
        for kept, own in zip(run.kept_positions, single.kept_positions, strict=True):
            assert kept[i][kept[i] >= 0].view(KV_HEADS, -1).tolist() == own[0].tolist()


@pytest.mark.parametrize("parameters", GEMFILTER, ids=str)
def test_gemfilters_first_pass_ends_at_its_filter_layer(model, prompt, parameters):
    with create_method("gemfilter", **parameters).attach(model) as run:
        model(prompt)
    last = parameters.get("filter_layer", 1)
    assert run.filter_layers == (0 if size(parameters["budget"], 30) >= 30 else last + 1)


def test_a_second_turn_of_gemfilter_follows_the_tokens_that_it_chose(model, prompt):
    more = prompt_of(5, 9)
    with create_method("gemfilter", budget=12).attach(model) as run:
        model(prompt)
        chosen = run.kept_positions[0][0, 0]
        got = model(more, past_key_values=run.cache).logits
    with create_method("fullkv").attach(model) as run:
        model(prompt[:, chosen])
        expected = model(more, past_key_values=run.cache).logits
    assert torch.allclose(got, expected, atol=2e-4)


@pytest.mark.parametrize("name, parameters", IN_TURNS, ids=str)
def test_a_second_turn_equals_naive(model, prompt, name, parameters):
    """The next turn of a chat: several tokens at once on top of a cut cache."""
    more, naive = prompt_of(5, 9), make_twin(model, name, parameters, 30)
    naive.prompt(prompt[0].tolist(), parameters.get("chunk"))
    after = getattr(naive.policy, "after_token", None)
    expected = naive.forward(more[0].tolist(), after)
    with make_method(name, **parameters).attach(model) as run:
        model(prompt)
        kept = [k.clone() for k in run.kept_positions]
        got = model(more, past_key_values=run.cache).logits[0, -1]
    assert torch.allclose(got.double(), expected, atol=2e-4)
    assert run.kv_lengths == [len(layer[0]) for layer in naive.layers]
    assert all(torch.equal(a, b) for a, b in zip(kept, run.kept_positions, strict=True))


SHORT = {
    "snapkv": {"window": 3},
    "pyramidinfer": {"budget": 0.8, "min_length": 2},
    "fastkv": {"window": 3, "tsp_length": 0.5},
}
"""What methods need to compress a short prompt."""


@pytest.mark.parametrize("name", BUDGETED)
def test_a_padded_second_turn_gives_what_it_gives_alone(model, name):
    first, second = [prompt_of(30, 1), prompt_of(12, 2)], [prompt_of(2, 3), prompt_of(5, 4)]
    method = create_method(name, **{"budget": 10} | SHORT.get(name, {}))
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
