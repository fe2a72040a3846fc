"""Frames of a prompt: they are what the engine held and what the method's own functions scored."""

from dataclasses import replace

import pytest
import torch

from kvbook import load_model
from kvbook.engine.attach import attach
from kvbook.methods import H2O, GemFilter, Method, SnapKV, create_method
from kvbook.methods.base import reduce_group
from kvbook.tasks import frames as module
from kvbook.tasks.frames import (
    ANSWER,
    BUDGET,
    TOY,
    TOY_METHODS,
    Frames,
    Watched,
    looking_head,
    record,
    record_toy,
    toy_method,
)
from kvbook.tasks.trial import as_example

ROLLING = ["streamingllm", "h2o", "summarykv"]
SHORT = "a b. The key is red. c d e f g. It is"


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32")  # a token is a byte


@pytest.fixture(scope="module")
def example(lm):
    return as_example(lm, SHORT, ANSWER)


@pytest.fixture(scope="module")
def place(lm, example):
    return looking_head(lm, example)


@pytest.fixture
def watched(monkeypatch):
    """What was watched, with all its notes."""
    seen, finish = [], Watched.frames

    def frames(self, *args):
        seen.append(self)
        return finish(self, *args)

    monkeypatch.setattr(Watched, "frames", frames)
    return seen


def scores_at(frames, step):
    """By entry, in the order of the entries."""
    return {i: value for i, value in enumerate(frames.scores[step]) if value is not None}


@pytest.mark.parametrize("name", TOY_METHODS)
def test_the_frames_are_what_the_engine_held(lm, example, place, watched, name):
    frames = record(lm, toy_method(name), example, place)
    n, [notes] = example.length, watched
    steps = list(range(n)) if name in ROLLING else [n]
    steps += frames.came[n:]
    assert len(notes.held) == len(steps)
    for step, held in zip(steps, notes.held, strict=True):
        assert frames.held(step) == sorted(held), step  # so nothing comes back


@pytest.mark.parametrize("name", [one for one in TOY_METHODS if one != "fullkv"])
def test_entries_never_exceed_the_budget_after_the_cut(lm, example, place, watched, name):
    frames = record(lm, toy_method(name), example, place)
    n, [notes] = example.length, watched
    steps = range(n, len(frames.scores))
    if name in ROLLING:
        assert max(len(frames.held(step)) for step in range(len(frames.scores))) <= BUDGET
        assert len(frames.held(steps[-1])) + len(notes.summary[-1]) <= BUDGET
    else:
        prompt = [[i for i in frames.held(step) if i < n] for step in steps]
        assert all(held == prompt[0] for held in prompt)  # what the cut left stays
        assert len(prompt[0]) <= BUDGET or name == "pyramidinfer"  # whose budget is a mean


@pytest.mark.parametrize("name", ["snapkv", "fastkv", "pyramidinfer", "gemfilter"])
def test_a_prompt_that_is_read_whole_is_cut_as_everywhere(lm, example, place, name):
    layer, head = place
    frames = record(lm, toy_method(name), example, place)
    with toy_method(name).attach(lm.model) as run:
        lm.model(example.inputs.input_ids)
    assert frames.held(example.length - 1) == list(range(example.length))
    assert frames.held(example.length) == run.kept_positions[layer][0, head].tolist()


def test_the_votes_are_snapkvs_own_and_rise(lm, example, place):
    layer, head = place
    votes = {}

    class Votes(SnapKV):
        def keep(self, seen):
            votes[seen.layer] = self.score(seen, self.window)
            return super().keep(seen)

    method = toy_method("snapkv")
    with Votes(**vars(method)).attach(lm.model):
        lm.model(example.inputs.input_ids)
    frames, n = record(lm, method, example, place), example.length
    own = scores_at(frames, n - 1)
    assert list(own) == list(range(n - method.window))
    assert list(own.values()) == pytest.approx(votes[layer][head].tolist(), rel=1e-3)
    before = scores_at(frames, n - 2)
    assert all(own[i] >= before[i] for i in own) and not frames.scores[n - method.window - 1]


def test_the_accounts_are_h2os_own(lm, example, place):
    layer, head = place
    accounts = {}

    class Accounts(H2O):
        def keep(self, seen):
            total = self.accumulate(seen)
            accounts[seen.layer] = reduce_group(total, len(seen.keys), self.gqa)

    with Accounts(budget=1.0).attach(lm.model):
        lm.model(example.inputs.input_ids)
    frames = record(lm, create_method("h2o", budget=example.length), example, place)
    own = scores_at(frames, example.length - 1)
    assert list(own.values()) == pytest.approx(accounts[layer][head].tolist(), rel=1e-3)


def test_h2o_evicts_the_lowest_account_that_is_not_recent(lm, example, place):
    frames = record(lm, toy_method("h2o"), example, place)
    for step in range(BUDGET, example.length):
        gone = frames.gone.index(step)
        old = [*frames.held(step - 1), step][: BUDGET + 1 - BUDGET // 2]
        own = scores_at(frames, step)
        assert own[gone] == min(own[i] for i in old)


def test_the_products_are_gemfilters_own(lm, example, place):
    products = []

    class Products(GemFilter):
        def choose(self, seen):
            products.extend(self.score(seen).tolist())
            return super().choose(seen)

    method = toy_method("gemfilter")
    with Products(**vars(method)).attach(lm.model):
        lm.model(example.inputs.input_ids)
    frames = record(lm, method, example, place)
    own = scores_at(frames, example.length - 1)
    assert list(own.values()) == pytest.approx(products, rel=1e-3)


def test_a_summary_comes_back_and_what_it_stands_for_does_not(lm, example, place):
    frames = record(lm, toy_method("summarykv"), example, place)
    assert frames.summaries and frames.sinks == 2
    step = int(next(iter(frames.summaries)))
    gone = [i for i, at in enumerate(frames.gone) if at is not None and at <= step]
    assert gone == list(range(frames.sinks, frames.sinks + len(gone)))
    assert not set(gone) & set(frames.held(len(frames.scores) - 1))


def test_the_answer_is_the_one_of_a_plain_run(lm, example, place):
    method = toy_method("snapkv")
    frames = record(lm, method, example, place)
    with attach(method, lm.model):
        out = lm.model.generate(**example.inputs, max_new_tokens=4, do_sample=False)
    new = out[0, example.length :].tolist()
    assert frames.written == [lm.tokenizer.decode([one]) for one in new][: len(frames.written)]
    assert len(frames.came) == example.length + len(frames.written) - 1


def test_right_is_what_says_the_answer(lm, example, place):
    frames = record(lm, toy_method("fullkv"), example, place)
    assert replace(frames, written=[" r", "ed", "."]).right
    assert not replace(frames, written=[" blue"]).right


def test_a_prompt_without_an_answer_shows_the_middle(lm):
    layers = lm.model.config.num_hidden_layers
    assert looking_head(lm, as_example(lm, "a b c d e f")) == (layers // 2, 0)


def test_the_head_is_the_one_that_looks_at_the_answer(lm, example, place):
    attentions = []

    class Look:
        name = "look"

        def keep(self, seen):
            keys = seen.keys.repeat_interleave(len(seen.queries) // len(seen.keys), 0)
            rows = (seen.queries[:, -1:] @ keys.mT * seen.scaling).softmax(-1)[:, 0]
            paid = rows[:, list(example.gold)].sum(1)
            attentions.append(paid.view(len(seen.keys), -1).mean(1))

    with attach(Look(), lm.model):
        lm.model(example.inputs.input_ids)
    paid = torch.stack(attentions)
    assert paid[place] == paid.max()


def test_a_method_of_your_own_has_frames_without_scores(lm, example, place):
    class Mine(Method, listed=False):
        name = "mine"

        def keep(self, seen):
            return torch.arange(3)[None] if seen.entries > 3 else None

    frames = record(lm, Mine(), example, place)
    assert frames.held(example.length)[:3] == [0, 1, 2] and not any(frames.scores)


def test_frames_are_plain_data(lm, example, place):
    import json

    frames = record(lm, toy_method("summarykv"), example, place)
    again = Frames(**json.loads(json.dumps(vars(frames))))
    assert again.held(9) == frames.held(9) and again.scores == frames.scores


def test_what_is_kept_is_not_recorded_again(lm, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TOY", SHORT)
    first = record_toy(lm, ["snapkv"], tmp_path)
    monkeypatch.setattr(module, "looking_head", None)
    assert record_toy(lm, ["snapkv"], tmp_path)[0].scores == first[0].scores
    assert TOY.endswith("It is")
