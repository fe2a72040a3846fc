"""Chats, tasks and measurements on the second device: the words and numbers of the CPU."""

from copy import deepcopy
from dataclasses import replace

import pytest

from kvbook import create_method, load_model
from kvbook.chat import Chat
from kvbook.methods import METHODS, Quantized, with_budget
from kvbook.places import place
from kvbook.profiling.breakdown import break_down
from kvbook.profiling.timing import measure_all, read_text
from kvbook.tasks import fidelity, needle
from kvbook.tasks.evaluation import evaluate_all

OWN = {
    "pyramidinfer": {"min_length": 8},
    "fastkv": {"tsp_length": 60},
    "summarykv": {"segment": 32, "summary_tokens": 8},
}
ALL = {
    name: with_budget(name, 48, **OWN.get(name, {})) for name in METHODS if name != "pyramidinfer"
}
ALL |= {
    "pyramidinfer": create_method("pyramidinfer", budget=0.5, min_length=8),
    "quantized": Quantized(create_method("snapkv", budget=48), bits=8, group=16),
}


@pytest.fixture(scope="module")
def pair(second):
    """The tiny model of the smoke profile on the CPU, and on the second device."""
    lm = load_model("tiny-random", dtype="float32", device="cpu")
    return lm, replace(lm, model=deepcopy(lm.model).to(second))


@pytest.mark.parametrize("name", [name for name in ALL if not hasattr(ALL[name], "first_pass")])
def test_a_chat_says_and_holds_what_it_does_on_the_cpu(pair, name):
    def go(lm):
        with Chat(lm, ALL[name]) as chat:
            chat.say("My locker code is 293, and I live in Ghent.", max_new_tokens=12)
            chat.say("What is it?", max_new_tokens=12, stream=lambda piece: None)
        return [(turn.assistant, turn.contents) for turn in chat.turns]

    on_cpu, on_second = map(go, pair)
    assert on_second == on_cpu


@pytest.mark.parametrize("name", ["fullkv", "streamingllm", "h2o", "summarykv"])
@pytest.mark.parametrize("way", [1, -1], ids=["to the device", "to the CPU"])
def test_a_chat_saved_on_one_device_goes_on_on_the_other(pair, name, way, tmp_path):
    here, there = pair[::way]
    with Chat(here, ALL[name]) as chat:
        chat.say("My locker code is 293, and I live in Ghent.", max_new_tokens=12)
        chat.save(tmp_path / "chat")
        expected = chat.say("What is it?", max_new_tokens=12), chat.contents()
    with Chat.load(tmp_path / "chat", there) as chat:
        assert (chat.say("What is it?", max_new_tokens=12), chat.contents()) == expected


@pytest.mark.parametrize("question", ["before", "after"])
def test_answers_and_scores_of_a_task_are_the_cpus(pair, question, tmp_path):
    def go(lm):
        folder = tmp_path / lm.model.device.type
        how = dict(question=question, limit=1, max_length=400, folder=folder)
        results = evaluate_all(lm, ALL, "2wikimqa", **how)
        return {
            name: [(item.prediction, item.score, item.kept_bytes) for item in result.items]
            for name, result in results.items()
        }

    on_cpu, on_second = map(go, pair)
    assert on_second == on_cpu


@pytest.mark.parametrize("question", ["before", "after"])
def test_needles_are_found_as_on_the_cpu(pair, question):
    needles = needle.make_needles(pair[0].tokenizer, place("data"), 1, 200)
    on_cpu, on_second = (needle.ask_each(lm, ALL, needles, question=question) for lm in pair)
    assert on_second == on_cpu


def test_fidelity_is_the_cpus(pair):
    def go(lm):
        [probe] = fidelity.make_probes(lm, 1, max_length=200, new_tokens=6)
        measured = fidelity.measure_probe(lm, ALL, probe)
        same = fidelity.agreements(lm, ALL, ["A locker has a code, and nobody has it."], 6)
        return probe.continuation, measured, same

    on_cpu, on_second = map(go, pair)
    assert on_second == on_cpu


def test_what_is_measured_of_a_run_is_the_cpus_but_for_times(pair):
    some = {name: ALL[name] for name in ("fullkv", "h2o", "fastkv", "summarykv")}

    def go(lm):
        measured = measure_all(lm, some, [60], 3, 1, memory=(), progress=False)
        return [(one.tokens, one.kv_bytes, one.kv_bytes_peak, one.notes) for one in measured]

    on_cpu, on_second = map(go, pair)
    assert on_second == on_cpu


def test_the_parts_of_a_prefill_are_timed(pair):
    _, lm = pair
    parts = break_down(lm, ALL["fastkv"], read_text(lm, 100))
    assert len(parts) == 4 and all(one["attention"] > 0 for one in parts)
