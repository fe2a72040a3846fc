"""A stream of text, with the tiny random model: a window is a band of the attention matrix."""

import pytest
import torch

from kvbook import create_method, load_model
from kvbook.errors import ParameterError
from kvbook.places import place
from kvbook.tasks.needle import read_essays
from kvbook.tasks.stream import cut_essays, stream_nll

BUDGET = 6
FIRST = BUDGET + 1


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32")


@pytest.fixture(scope="module")
def texts(lm):
    return cut_essays(lm, place("data"), 2, 24)


def under_a_band(lm, ids, sinks, piece):
    """Nats of all tokens but the first, by the model without us: a query sees the sinks, and what the
    window held when its piece came."""
    seen = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    for query in range(len(ids)):
        came = FIRST + (query - FIRST) // piece * piece  # the first token of its piece
        since = 0 if query < FIRST else came - (BUDGET - sinks)
        seen[query, :sinks] = seen[query, max(0, since) : query + 1] = True
        seen[query, query + 1 :] = False
    mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
    with torch.no_grad():
        logs = lm.model(torch.tensor([ids]), attention_mask=mask[None, None]).logits[0]
    said = torch.tensor(ids[1:])[:, None]
    return -logs[:-1].log_softmax(-1).gather(1, said)[:, 0]


@pytest.mark.parametrize("piece", [1, 4])
def test_what_leaves_is_masked_and_what_stays_is_seen(lm, texts, piece):
    methods = {
        sinks: create_method("streamingllm", budget=BUDGET, sinks=sinks, positions="original")
        for sinks in (0, 2)
    }
    found = stream_nll(lm, methods, texts, FIRST, piece)
    for sinks in methods:
        for text, nats in zip(texts, found[sinks], strict=True):
            assert torch.allclose(nats, under_a_band(lm, text, sinks, piece), atol=1e-4)
    assert (found[0] - found[2])[:, FIRST:].abs().max() > 0.01


def test_a_cache_that_holds_all_is_full_kv(lm, texts):
    found = stream_nll(lm, {"large": create_method("streamingllm", budget=24)}, texts, FIRST, 5)
    assert list(found) == ["fullkv", "large"] and found["fullkv"].shape == (2, 23)
    assert torch.allclose(found["large"], found["fullkv"], atol=1e-4)


def test_texts_are_the_essays_one_behind_the_other(lm):
    whole = lm.tokenizer("\n\n".join(read_essays(place("data")))).input_ids
    first, second = cut_essays(lm, place("data"), 2, 10)
    assert first + second == whole[:20]
    with pytest.raises(ParameterError, match=r"2 texts of 9\d* tokens: .* ask for fewer"):
        cut_essays(lm, place("data"), 2, 999_999)


def test_a_text_that_ends_in_the_window_is_refused(lm, texts):
    method = {"large": create_method("streamingllm", budget=22)}
    with pytest.raises(ParameterError, match="first=23: texts of 24 tokens end there"):
        stream_nll(lm, method, texts, 23, 1)
