"""The embedded model in float32, here and in llama.cpp: the same distributions, summaries and words."""

import pytest
import torch

from kvbook import create_method, load_model
from kvbook.lm.generation import ends_of, generate_ids
from kvbook.lm.models import EMBEDDED
from kvbook.lm.turns import first_turn
from kvbook.ondevice import LlamaCpp, gguf_of, open_cache, write
from kvbook.ondevice.measure import divergence, follow
from kvbook.places import place
from kvbook.tasks.following import follow as follow_in_torch
from kvbook.tasks.needle import read_essays

PROMPT, STEPS = 1280, 40
METHODS = {
    "fullkv": {},
    "streamingllm": {"budget": 256, "chunk": 128},
    "summarykv": {"budget": 256, "segment": 128, "summary_tokens": 32},
}


def thin(ids, most):
    step = len(ids) / most
    return [ids[int(i * step)] for i in range(most)]


def made(name):
    summarizer = {"summarizer": thin} if name == "summarykv" else {}
    return create_method(name, **METHODS[name], **summarizer)


@pytest.fixture(scope="module")
def lm():
    return load_model(dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def llama(environment):
    with LlamaCpp(gguf_of(EMBEDDED, "f32"), threads=1) as one:
        yield one


@pytest.fixture(scope="module")
def ids(lm):
    text = "\n\n".join(read_essays(place("data")))
    return lm.tokenizer(text, add_special_tokens=False).input_ids


def test_the_haystack_has_the_same_tokens(lm, llama):
    for text in (*read_essays(place("data")), "端侧部署：缓存里有什么？", "👩‍🔬🍜 and 🇮🇹"):
        assert llama.tokenize(text) == lm.tokenizer(text, add_special_tokens=False).input_ids


@pytest.mark.parametrize("name", METHODS)
def test_distributions_after_1280_tokens_are_the_packages(name, lm, llama, ids):
    method, text = made(name), ids[PROMPT : PROMPT + STEPS]
    cache = open_cache(llama, method, longest=PROMPT + STEPS, cache="f32", flash="off")
    ours = follow(cache, ids[:PROMPT], text)
    [one] = follow_in_torch(lm, [method], ids[:PROMPT], [text])
    theirs = one.logs[0].double().numpy()
    assert divergence(theirs, ours).mean() < 1e-6
    assert (theirs.argmax(-1) == ours.argmax(-1)).all()
    if name == "summarykv":
        with method.attach(lm.model) as run, torch.no_grad():
            lm.model(torch.tensor([ids[:PROMPT]]), past_key_values=run.cache, logits_to_keep=1)
        made_there = [one.ids for one in run.summaries]
        assert [one.ids for one in cache.summaries][: len(made_there)] == made_there != []
    cache.context.close()


def test_an_answer_is_the_packages(lm, llama):
    prompt = first_turn(lm.tokenizer, "Why do cats purr?")
    ids = lm.tokenizer(prompt, add_special_tokens=False).input_ids
    [theirs] = generate_ids(lm.model, [ids], STEPS)
    cache = open_cache(llama, create_method("fullkv"), longest=256, cache="f32", flash="off")
    ours = list(write(cache, ids, STEPS))
    assert ours == theirs.tolist()[: len(ours)] and (
        len(ours) == STEPS or ours[-1] in ends_of(lm.model)
    )
    cache.context.close()
