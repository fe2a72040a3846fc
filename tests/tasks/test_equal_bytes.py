"""Methods by the bytes that they keep: what each finds, and how far it moves a distribution."""

from dataclasses import replace

import pytest
import torch

from kvbook import create_method, load_model
from kvbook.errors import ParameterError
from kvbook.methods import Quantized
from kvbook.places import place
from kvbook.tasks.equal_bytes import compare_bytes
from kvbook.tasks.fidelity import make_probe, measure_probe
from kvbook.tasks.needle import ask, found, make_needles

METHODS = {
    "all": create_method("fullkv"),
    "some": create_method("snapkv", budget=0.25),
    "packed": Quantized(bits=4),
    "both": Quantized(create_method("snapkv", budget=0.5), bits=2, group=32),
}


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def probes(lm):
    texts = ("The quick brown fox jumps over it. " * 4, "A tide comes in, and goes out. " * 5)
    prompts = [lm.tokenizer(text).input_ids for text in texts]
    return [make_probe(lm, str(len(one)), one, one[:4], new_tokens=5) for one in prompts]


@pytest.fixture(scope="module")
def needles(lm):
    """What full KV says after a prompt is the answer to it, and to the other one something else."""
    first, second = make_needles(lm.tokenizer, place("data"), count=2, length=300)
    words = ask(lm, METHODS["all"], first).strip().strip("*:\"' ")
    assert len(words) > 2
    return [replace(first, answer=words), replace(second, answer=words + "§")]


@pytest.fixture(scope="module")
def compared(lm, needles, probes):
    return compare_bytes(lm, METHODS, needles, probes)


def test_what_is_found_is_what_each_says(lm, compared, needles):
    assert list(compared) == list(METHODS) and compared["all"]["found"] == [True, False]
    for label, method in METHODS.items():
        assert compared[label]["found"] == [found(one, ask(lm, method, one)) for one in needles]


def test_distributions_are_those_of_the_probes(lm, compared, probes):
    for label, of in compared.items():
        each = [measure_probe(lm, METHODS, probe)[label] for probe in probes]
        assert of["kl"] == pytest.approx([one["kl"] for one in each], abs=1e-6)
        assert of["agreement"] == [one["agreement"] for one in each]
    assert compared["all"]["kl"] == pytest.approx([0, 0], abs=1e-6)


def test_bytes_are_what_the_prefill_left_of_the_prompts(lm, compared, needles, probes):
    encoded = [lm.tokenizer(one.prompt, add_special_tokens=False).input_ids for one in needles]
    prompts = {"needle_bytes": encoded, "probe_bytes": [one.prompt for one in probes]}
    for label, method in METHODS.items():
        for name, many in prompts.items():
            left = []
            for ids in many:
                with method.attach(lm.model) as run:
                    lm.model(torch.tensor([ids]))
                    left.append(run.kv_bytes)
            assert compared[label][name] == sum(left) / 2
    size = {label: of["needle_bytes"] for label, of in compared.items()}
    assert size["both"] < size["some"] < size["packed"] < size["all"]


@pytest.mark.parametrize("nothing", ["needles", "probes"])
def test_no_needle_and_no_probe_are_refused(lm, needles, probes, nothing):
    given = {"needles": needles, "probes": probes} | {nothing: []}
    with pytest.raises(ParameterError, match=f"0 {nothing}.*give at least one of each"):
        compare_bytes(lm, METHODS, **given)
