"""Fidelity, with the tiny random model: nothing lost is zero, and the rest is dense arithmetic."""

import json

import pytest
import torch

from kvbook import create_method, load_model
from kvbook.commands.grid import make_grid
from kvbook.methods import METHODS, Method
from kvbook.tasks.fidelity import (
    agreements,
    make_probe,
    make_probes,
    measure_fidelity,
    measure_probe,
)
from kvbook.tasks.longbench import Benchmark

TASKS = ("lcc", "2wikimqa")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two would only wait for each other on so small a model."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32")


@pytest.fixture(scope="module")
def probes(lm, tmp_path_factory):
    """Three, of prompts of about 90 and 400 bytes."""
    folder = tmp_path_factory.mktemp("data")
    for task in TASKS:
        rows = [
            {"_id": f"a{i}", "input": "Who?", "context": f"{i} = x\n" * 5, "answers": ["Ada Bo"]}
            for i in range(2)
        ]
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return make_probes(lm, 3, data=folder, tasks=TASKS, new_tokens=8)


def measure(lm, method, probes, folder):
    """What one method is found to do."""
    return measure_fidelity(lm, {"asked": method}, probes, folder=folder)["asked"]


def plain(lm, ids, mask=None):
    """Log-probabilities after each token of ``ids``, by the model without us."""
    with torch.no_grad():
        logits = lm.model(torch.tensor([ids]), attention_mask=mask, use_cache=False).logits
    return logits[0].float().log_softmax(-1)


@pytest.fixture(scope="module")
def asked_after(lm, tmp_path_factory):
    """A probe whose question comes after its context."""
    folder = tmp_path_factory.mktemp("data")
    row = {"_id": "a", "input": "Who?", "context": "x = 1\n" * 9, "answers": ["Ada Bo"]}
    (folder / "2wikimqa.jsonl").write_text(json.dumps(row) + "\n")
    own = {"data": folder, "tasks": ["2wikimqa"], "new_tokens": 8}
    [before], [after] = (make_probes(lm, 1, question=when, **own) for when in ("before", "after"))
    assert before.prompt == after.prompt + after.question and before.digest != after.digest
    assert before.continuation == after.continuation
    return after


def test_a_question_after_the_compression_is_read_before_what_follows(lm, asked_after):
    """As a method alone: the context, then the question, then the continuation."""
    probe, method = asked_after, create_method("snapkv", budget=16, window=4)
    with method.attach(lm.model) as run, torch.no_grad():
        lm.model(torch.tensor([probe.prompt]))
        rest = torch.tensor([probe.question + probe.continuation[:-1]])
        logits = lm.model(rest, past_key_values=run.cache).logits[0]
    ours = logits[len(probe.question) - 1 :].float().log_softmax(-1)
    full = probe.reference
    kl = float((full.exp() * (full - ours)).sum(-1).mean())
    found = measure_probe(lm, {"asked": method}, probe)["asked"]
    assert found["kl"] == pytest.approx(kl, rel=1e-3) and kl > 1e-4
    assert found["tokens"] == len(probe.prompt) + len(probe.question)


def test_before_and_after_do_not_forget_each_other(lm, asked_after, tmp_path):
    before = make_probe(lm, "2wikimqa/a", asked_after.prompt + asked_after.question, [40], 4)
    method = create_method("fullkv")
    for probe in (before, asked_after):
        measure(lm, method, [probe], tmp_path)
    [file] = tmp_path.rglob("*.jsonl")
    assert file.read_text().count("\n") == 3  # what was measured with, and both


def test_what_drops_nothing_is_as_far_from_full_kv_after_as_before(lm, asked_after):
    found = measure_probe(lm, {"asked": create_method("fullkv")}, asked_after)["asked"]
    assert found["kl"] < 1e-5 and found["agreement"] == 1


def test_probes_take_the_tasks_in_turn(probes):
    assert [probe.id for probe in probes] == ["lcc/a0", "2wikimqa/a0", "lcc/a1"]


def test_the_answer_continues_the_prompt(lm, probes):
    line_end, word = (lm.tokenizer.decode(probe.answer) for probe in probes[:2])
    assert (line_end, word) == ("Ada Bo", "Ada Bo")  # after a line end, and after the template's


def test_behind_a_word_an_answer_begins_with_a_blank_and_code_with_a_line(lm, monkeypatch):
    monkeypatch.setattr(Benchmark, "prompt", lambda *_: "Answer:")
    probes = make_probes(lm, 2, tasks=TASKS, new_tokens=3)
    assert [lm.tokenizer.decode(probe.answer)[0] for probe in probes] == ["\n", " "]


def test_the_reference_is_a_plain_forward_of_the_model(lm, probes):
    for probe in probes:
        dense = plain(lm, probe.prompt + probe.continuation[:-1])[len(probe.prompt) - 1 :]
        torch.testing.assert_close(probe.reference, dense, atol=1e-5, rtol=1e-5)
        assert probe.continuation == dense.argmax(-1).tolist()


@pytest.mark.parametrize("name", METHODS)
def test_a_budget_that_holds_the_prompt_is_full_kv(name, lm, probes, tmp_path):
    [method] = make_grid([name], budgets=["1.0"]).methods
    for one, probe in zip(measure(lm, method, probes, tmp_path), probes, strict=True):
        dense = plain(lm, probe.prompt + probe.answer[:-1])[len(probe.prompt) - 1 :]
        nll = -dense.gather(1, torch.tensor(probe.answer)[:, None]).mean()
        assert one.kl == pytest.approx(0, abs=1e-6)
        assert one.agreement == 1 and one.tokens == len(probe.prompt)
        assert one.nll == pytest.approx(float(nll), abs=1e-5)
        assert one.kept_bytes == len(probe.prompt) * 4 * 2 * 16 * 2 * 4


def test_a_small_budget_is_a_dense_forward_with_a_mask(lm, probes, tmp_path):
    """StreamingLLM that does not roll: the prompt is read whole, and what comes later sees its
    first 4 and its last 12 tokens."""
    method = create_method("streamingllm", budget=16, positions="original", rolling=False)
    measured = measure(lm, method, probes, tmp_path)

    def after(probe, ids):
        prompt, count = len(probe.prompt), len(probe.prompt) + len(ids) - 1
        sees = torch.ones(count, count).tril()
        sees[prompt:, 4 : prompt - 12] = 0
        mask = torch.zeros(count, count).masked_fill(sees == 0, torch.finfo(torch.float32).min)
        return plain(lm, probe.prompt + ids[:-1], mask[None, None])[prompt - 1 :]

    for one, probe in zip(measured, probes, strict=True):
        ours = after(probe, probe.continuation)
        kl = (probe.reference.exp() * (probe.reference - ours)).sum(-1).mean()
        same = (probe.reference.argmax(-1) == ours.argmax(-1)).float().mean()
        answer = after(probe, probe.answer)
        nll = -answer.gather(1, torch.tensor(probe.answer)[:, None]).mean()
        assert one.kl == pytest.approx(float(kl), abs=1e-6) and one.kl > 1e-4
        assert one.agreement == pytest.approx(float(same))
        assert one.nll == pytest.approx(float(nll), abs=1e-5)
        assert one.kept_bytes == 16 * 4 * 2 * 16 * 2 * 4


def token_by_token(lm, method, probe):
    """One method alone, which reads what comes after the prompt one token at a time."""

    def after(ids):
        with method.attach(lm.model) as run, torch.no_grad():
            steps = [lm.model(torch.tensor([probe.prompt])).logits[0, -1]]
            kept = sum(kept.numel() for kept in run.kept_positions) * 2 * 16 * 4
            for token in ids[:-1]:
                new = torch.tensor([[token]])
                steps.append(lm.model(new, past_key_values=run.cache).logits[0, -1])
        return torch.stack(steps).log_softmax(-1), kept

    (ours, kept), (answer, _) = after(probe.continuation), after(probe.answer)
    return {
        "kl": float((probe.reference.exp() * (probe.reference - ours)).sum(-1).mean()),
        "agreement": float((probe.reference.argmax(-1) == ours.argmax(-1)).float().mean()),
        "nll": float(-answer.gather(1, torch.tensor(probe.answer)[:, None]).mean()),
        "tokens": len(probe.prompt),
        "kept_bytes": kept,
    }


@pytest.fixture(scope="module")
def several():
    """Every method at two budgets, and ways of StreamingLLM's own."""
    every = make_grid(list(METHODS), budgets=["24", "40"]).methods
    streaming = [{"rolling": False}, {"positions": "original"}, {"chunk": 9}]
    every += tuple(create_method("streamingllm", budget=24, **how) for how in streaming)
    return {str(method): method for method in every}


def test_all_methods_together_are_each_alone_token_by_token(lm, probes, several):
    for probe in probes[:2]:
        found = measure_probe(lm, several, probe)
        assert list(found) == list(several)
        for label, one in found.items():
            alone = token_by_token(lm, several[label], probe)
            assert one == pytest.approx(alone, abs=1e-5), label
    assert sum(one["kl"] > 1e-4 for one in found.values()) > len(found) / 2


@pytest.mark.parametrize("answer", [[7], [7, 8, 9, 10, 11, 12]])
def test_an_answer_and_a_continuation_have_lengths_of_their_own(answer, lm, several):
    probe = make_probe(lm, "a", lm.tokenizer("x = 1\n" * 12).input_ids, answer, new_tokens=3)
    for label, one in measure_probe(lm, several, probe).items():
        assert one == pytest.approx(token_by_token(lm, several[label], probe), abs=1e-5), label


def test_a_probe_is_read_once_and_followed_at_once_but_by_those_that_evict(lm, probes, monkeypatch):
    read, forward = [], lm.model.base_model.layers[0].forward
    monkeypatch.setattr(
        lm.model.base_model.layers[0],
        "forward",
        lambda hidden, *args, **more: (
            read.append(tuple(hidden.shape[:2])) or forward(hidden, *args, **more)
        ),
    )
    methods = {size: create_method("snapkv", budget=size, window=4) for size in (8, 16)}
    methods["h2o"] = create_method("h2o", budget=16)
    probe = probes[0]
    measure_probe(lm, methods, probe)
    longest = max(len(probe.continuation), len(probe.answer)) - 1
    assert read == [(1, len(probe.prompt)), (4, longest)] + [(2, 1)] * longest


READ = []


class Counting(Method):
    """Full KV that writes down the length of every prompt it reads."""

    def keep(self, seen):
        if seen.layer == 0:
            READ.append(seen.prompt_length)


class Huge(Method):
    """Full KV that needs a petabyte."""

    def keep(self, seen):
        torch.empty(10**15)


def test_a_second_call_measures_nothing(lm, probes, tmp_path):
    READ.clear()
    first = measure(lm, Counting(), probes, tmp_path)
    lengths = [len(probe.prompt) for probe in probes]
    assert lengths == READ
    assert measure(lm, Counting(), probes, tmp_path) == first
    assert len(READ) == 3


def test_a_probe_that_runs_out_of_memory_is_left_out(lm, probes, tmp_path):
    assert measure(lm, Huge(), probes, tmp_path) == []


def test_full_kv_agrees_with_itself_on_every_decoded_token(lm):
    assert agreements(lm, {"full": create_method("fullkv")}, ["abc" * 20, "xyz"], 5) == {
        "full": [True] * 8
    }


def test_agreements_of_all_methods_together_are_those_of_each_alone(lm, several):
    prompts = ["abcdefgh" * 20, "x = 1\n" * 9, "abc"]
    together = agreements(lm, several, prompts, 6)
    for label, method in several.items():
        alone = (agreements(lm, {0: method}, [prompt], 6)[0] for prompt in prompts)
        assert together[label] == [one for of_prompt in alone for one in of_prompt], label
    assert {len(one) for one in together.values()} == {15}
    assert len({tuple(one) for one in together.values()}) > 3


def test_a_continuation_goes_on_where_full_kv_would_end(lm, monkeypatch):
    """Its second most likely token is what it then says."""
    ids = torch.tensor([lm.tokenizer("abc" * 20, add_special_tokens=False).input_ids])
    how = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 6, "do_sample": False}
    end = int(lm.model.generate(ids, **how)[0, ids.shape[1] + 2])
    monkeypatch.setattr(lm.model.generation_config, "eos_token_id", end)
    said = lm.model.generate(ids, min_new_tokens=6, **how)[0, ids.shape[1] :]
    logits = lm.model(torch.cat((ids, said[None]), 1)).logits[0, ids.shape[1] - 1 : -1]
    expected = (logits.argmax(-1) == said)[1:].tolist()
    assert agreements(lm, {0: "fullkv"}, ["abc" * 20], 6)[0] == expected
    assert not all(expected)


def test_a_method_that_forgets_agrees_less(lm):
    """Against the model's own words after the entries that are left."""
    prompt = "abcdefgh" * 20
    ids = lm.tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
    out = lm.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, min_new_tokens=12,
        do_sample=False,
    )  # fmt: skip
    method = create_method("snapkv", budget=8, window=2)
    with method.attach(lm.model) as run:
        lm.model(ids)
        said = [
            int(lm.model(token.view(1, 1), past_key_values=run.cache).logits[0, -1].argmax())
            for token in out[0, ids.shape[1] : -1]
        ]
    expected = [a == b for a, b in zip(said, out[0, ids.shape[1] + 1 :].tolist(), strict=True)]
    assert agreements(lm, {"snap": method}, [prompt], 12) == {"snap": expected}
    assert not all(expected)
