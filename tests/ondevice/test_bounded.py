"""What llama.cpp holds is what the package's method holds: the same next-token distributions, in float32,
and the same summaries."""

import numpy as np
import pytest
import torch

from kvbook import create_method
from kvbook.errors import ParameterError, UnsupportedError
from kvbook.ondevice import open_cache, write
from kvbook.ondevice.measure import divergence, follow
from kvbook.tasks.following import follow as follow_in_torch

EXACT = dict(cache="f32", flash="off")
STEPS = 24


def tokens(length, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, 250, (length,), generator=generator).tolist()


def thin(ids, most):
    """A summarizer that anybody can repeat: evenly spread tokens."""
    step = len(ids) / most
    return [ids[int(i * step)] for i in range(most)]


METHODS = {
    "fullkv": create_method("fullkv"),
    "streamingllm": create_method("streamingllm", budget=20),
    "streamingllm, in chunks": create_method("streamingllm", budget=20, chunk=9),
    "streamingllm, no sinks": create_method("streamingllm", budget=20, sinks=0),
    "summarykv": create_method(
        "summarykv", budget=24, summary_tokens=8, segment=10, summarizer=thin
    ),
    "summarykv, without": create_method("summarykv", budget=24, summary_tokens=0),
}


def reference(lm, method, prompt, text):
    [one] = follow_in_torch(lm, [method], prompt, [text])
    return one.logs[0].double().numpy()


@pytest.mark.parametrize("how", ["shift", "reread"])
@pytest.mark.parametrize("name", METHODS)
def test_next_tokens_are_those_of_the_package(name, how, lm, llama):
    method, prompt, text = METHODS[name], tokens(60), tokens(STEPS, seed=2)
    cache = open_cache(llama, method, how=how, longest=100, step=1, **EXACT)
    ours, theirs = follow(cache, prompt, text), reference(lm, method, prompt, text)
    assert divergence(theirs, ours).mean() < 1e-6
    assert (theirs.argmax(-1) == ours.argmax(-1)).all()
    cache.context.close()


@pytest.mark.parametrize("how", ["shift", "reread"])
def test_summaries_are_those_of_the_package(how, lm, llama):
    method, prompt, text = METHODS["summarykv"], tokens(60), tokens(STEPS, seed=2)
    cache = open_cache(llama, method, how=how, longest=100, step=1, **EXACT)
    follow(cache, prompt, text)
    with method.attach(lm.model) as run, torch.no_grad():
        for part in (prompt, *([token] for token in text[:-1])):
            lm.model(torch.tensor([part]), past_key_values=run.cache)
    assert [one.ids for one in cache.summaries] == [one.ids for one in run.summaries]
    assert len(cache.summaries) > 3 and cache.summary == run.shared["summary"]
    assert cache.entries == run.cache.layers[0].entries
    cache.context.close()


def test_a_budget_that_holds_everything_is_the_full_cache(llama):
    prompt, text = tokens(30), tokens(8, seed=2)
    found = []
    for method in ("fullkv", create_method("streamingllm", budget=64)):
        method = create_method(method) if isinstance(method, str) else method
        cache = open_cache(llama, method, longest=64, **EXACT)
        found.append(follow(cache, prompt, text))
        cache.context.close()
    assert np.abs(found[0] - found[1]).max() < 1e-4


@pytest.mark.parametrize("how", ["shift", "reread"])
@pytest.mark.parametrize("step", [1, 5])
def test_the_cache_holds_its_budget_and_never_less_than_a_step_below(how, step, llama):
    method = create_method("streamingllm", budget=20, chunk=9)
    cache = open_cache(llama, method, how=how, longest=100, step=step, **EXACT)
    cache.read(tokens(40))
    for token in tokens(30, seed=3):
        cache.read([token])
        least, greatest = cache.context.span()
        assert greatest - least + 1 == cache.entries
        assert 20 - step < cache.entries <= 20
    cache.context.close()


def test_what_leaves_together_moves_less_often(llama):
    moves = {}
    for step in (1, 5):
        method = create_method("streamingllm", budget=20)
        cache = open_cache(llama, method, longest=100, step=step, **EXACT)
        cache.read(tokens(20))
        for token in tokens(30, seed=3):
            cache.read([token])
        moves[step] = cache.moves
        cache.context.close()
    assert moves == {1: 30, 5: 6}


@pytest.mark.parametrize("how", ["shift", "reread"])
def test_a_mark_brings_back_what_was_there(how, llama):
    cache = open_cache(llama, METHODS["summarykv"], how=how, longest=100, step=1, **EXACT)
    cache.read(tokens(60))
    mark = cache.mark()
    first = follow(cache, tokens(9, seed=4), tokens(STEPS, seed=5))
    cache.restore(mark)
    again = follow(cache, tokens(9, seed=4), tokens(STEPS, seed=5))
    assert np.abs(first - again).max() < 1e-4
    cache.context.close()


def test_an_answer_ends_at_an_end_or_after_so_many_tokens(llama):
    cache = open_cache(llama, create_method("fullkv"), longest=64, **EXACT)
    said = list(write(cache, tokens(10), 6))
    assert 1 <= len(said) <= 6 and cache.entries == 10 + len(said) - 1
    assert not set(said[:-1]) & set(llama.facts["ends"])
    cache.context.close()


@pytest.mark.parametrize(
    "method, options, words",
    [
        ("snapkv", {"budget": 20}, "chooses by attention"),
        ("gemfilter", {"budget": 20}, "take fullkv, streamingllm or summarykv"),
        ("summarykv", {"budget": 64, "summarizer": "extractive"}, "Lexical"),
        ("streamingllm", {"budget": 0.5}, "give entries"),
        ("streamingllm", {"budget": 20, "positions": "original"}, "positions are slots"),
        ("streamingllm", {"budget": 20, "rolling": False}, "moves on"),
    ],
)
def test_what_llamacpp_cannot_hold_is_refused_by_name(method, options, words, llama):
    with pytest.raises((ParameterError, UnsupportedError), match=words):
        open_cache(llama, create_method(method, **options), longest=64)


@pytest.mark.parametrize("step", [0, 9, -1])
def test_a_step_that_takes_more_than_there_is_is_refused(step, llama):
    with pytest.raises(ParameterError, match="give 1 to 8"):
        open_cache(llama, create_method("streamingllm", budget=20), longest=64, step=step)


def test_a_full_cache_says_when_it_is_full_and_keeps_what_it_has(llama):
    cache = open_cache(llama, create_method("fullkv"), longest=256, **EXACT)
    cache.read(tokens(250))
    with pytest.raises(ParameterError, match="room for 6 more"):
        cache.read(tokens(7))
    cache.read(tokens(6))
    assert cache.entries == 256
    cache.context.close()
