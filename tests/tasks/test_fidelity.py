"""Fidelity, with the tiny random model: nothing lost is zero, and the rest is dense arithmetic."""

import json

import pytest
import torch

from kvbook import create_method, load_model
from kvbook.commands.grid import make_grid
from kvbook.methods import METHODS, Method
from kvbook.tasks.fidelity import agreements, make_probes, measure_fidelity
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


def plain(lm, ids, mask=None):
    """Log-probabilities after each token of ``ids``, by the model without us."""
    with torch.no_grad():
        logits = lm.model(torch.tensor([ids]), attention_mask=mask, use_cache=False).logits
    return logits[0].float().log_softmax(-1)


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
    for one, probe in zip(
        measure_fidelity(lm, method, probes, folder=tmp_path), probes, strict=True
    ):
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
    measured = measure_fidelity(lm, method, probes, folder=tmp_path)

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
    first = measure_fidelity(lm, Counting(), probes, folder=tmp_path)
    lengths = [len(probe.prompt) for probe in probes]
    assert lengths == READ
    assert measure_fidelity(lm, Counting(), probes, folder=tmp_path) == first
    assert len(READ) == 3


def test_a_probe_that_runs_out_of_memory_is_left_out(lm, probes, tmp_path):
    assert measure_fidelity(lm, Huge(), probes, folder=tmp_path) == []


def test_full_kv_agrees_with_itself_on_every_decoded_token(lm):
    assert agreements(lm, create_method("fullkv"), ["abc" * 20, "xyz"], 5) == [True] * 8


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
    assert agreements(lm, method, [prompt], 12) == expected
    assert not all(expected)
