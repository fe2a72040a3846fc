"""What is stored, after each thing it depends on has changed: measured anew, or rightly the same."""

import json

import pytest
import torch
import transformers
from transformers import PreTrainedTokenizerFast

from kvbook import load_model
from kvbook.methods import Method
from kvbook.tasks import evaluation, header
from kvbook.tasks.evaluation import evaluate
from kvbook.tasks.fidelity import make_probe, measure_fidelity

READ = []


class Counting(Method):
    """Full KV that writes down the length of every prompt it reads."""

    def keep(self, seen):
        if seen.layer == 0:
            READ.append(seen.prompt_length)


@pytest.fixture
def lm():
    """Its own each time, since tests change it."""
    return load_model("tiny-random", dtype="float32", device="cpu")


@pytest.fixture
def data(tmp_path):
    rows = [
        {"_id": f"a{i}", "input": "Who?", "context": f"{i} = x", "answers": ["Ada"]}
        for i in range(2)
    ]
    (tmp_path / "2wikimqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def of_evaluate(lm, data):
    """Two items of a task with a chat template."""
    evaluate(lm, Counting(), "2wikimqa", data=data, max_length=200, folder=data / "out")


def of_fidelity(lm, data):
    """Two probes, the same whatever has changed."""
    ids = lm.tokenizer("The quick brown fox").input_ids
    probes = [make_probe(lm, name, ids, [40, 41], 2) for name in ("a", "b")]
    measure_fidelity(lm, {"counting": Counting()}, probes, folder=data / "out")


def one_weight(lm, patch):
    with torch.no_grad():
        lm.model.lm_head.weight[200, 3] += 1e-3


def a_column_turned(lm, patch):
    with torch.no_grad():
        lm.model.model.layers[1].mlp.down_proj.weight[:, 3] *= -1


def other_end(lm, patch):
    """The tokenizer with another special token, which words are then read and written without."""
    words = lm.tokenizer.backend_tokenizer
    made = PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<|im_start|>",
        pad_token="<|im_start|>",
        chat_template=lm.tokenizer.chat_template,
    )
    object.__setattr__(lm, "tokenizer", made)


def template(lm, patch):
    lm.tokenizer.chat_template = lm.tokenizer.chat_template.replace("}}<", "}} In French.<")


def set_own(**settings):
    def change(lm, patch):
        for name, value in settings.items():
            setattr(lm.model.generation_config, name, value)

    return change


def later_lm_eval(lm, patch):
    real = evaluation.version
    patch.setattr(evaluation, "version", lambda name: "99" if name == "lm_eval" else real(name))


ANEW = {
    "one number of one weight": one_weight,
    "the signs of a column": a_column_turned,
    "the configuration": lambda lm, patch: setattr(lm.model.config, "rms_norm_eps", 1e-3),
    "the dtype": lambda lm, patch: lm.model.to(torch.bfloat16),
    "the tokenizer": other_end,
    "the chat template": template,
    "the tokens that end an answer": set_own(eos_token_id=[1, 40]),
    "what this version measures": lambda lm, patch: patch.setattr(header, "VERSION", 99),
    "transformers": lambda lm, patch: patch.setattr(transformers, "__version__", "99"),
    "how answers are generated": lambda lm, patch: patch.setitem(
        header.GREEDY, "repetition_penalty", 2.0
    ),
}
SAME = {
    "nothing": lambda lm, patch: None,
    "a penalty of the model's own": set_own(repetition_penalty=9.0),
    "beams of the model's own": set_own(num_beams=4),
    "sampling of the model's own": set_own(do_sample=True, temperature=2.0),
    "how attention is computed without us": lambda lm, patch: lm.model.set_attn_implementation(
        "eager"
    ),
    "the padding of the last call": lambda lm, patch: lm.tokenizer(["a", "b c"], padding=True),
    "a cache that a trainer switched off": lambda lm, patch: setattr(
        lm.model.config, "use_cache", False
    ),
}


@pytest.mark.parametrize("store", [of_evaluate, of_fidelity])
@pytest.mark.parametrize("what", [*ANEW, *SAME])
def test_what_is_stored_is_measured_anew_when_what_it_depends_on_has_changed(
    lm, data, monkeypatch, store, what
):
    READ.clear()
    store(lm, data)
    first = len(READ)
    (ANEW | SAME)[what](lm, monkeypatch)
    store(lm, data)
    assert (first, len(READ) - first) == (2, 2 if what in ANEW else 0)


def test_scores_are_made_anew_with_another_lm_eval(lm, data, monkeypatch):
    READ.clear()
    of_evaluate(lm, data)
    later_lm_eval(lm, monkeypatch)
    of_evaluate(lm, data)
    assert len(READ) == 4


def test_what_is_set_is_written_down(lm, data):
    of_evaluate(lm, data)
    [path] = (data / "out").rglob("*.jsonl")
    kept = json.loads(path.read_text().splitlines()[0])
    assert kept["generation"]["repetition_penalty"] == 1.0
    assert kept["generation"]["eos_token_id"] == [1] and not kept["generation"]["do_sample"]


BASE = "from kvbook.methods import Method\n\nclass Base(Method):\n    kept = 4\n"
MINE = "from base_of_mine import Base\n\nclass Mine(Base):\n    pass\n"


def test_a_class_that_yours_extends_counts_too(tmp_path, monkeypatch):
    """In a file of its own, which is older than this process, as after a restart."""
    import importlib
    import os
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    seen = []
    for number in (4, 5, 5):
        for name, text in (("base_of_mine", BASE.replace("4", str(number))), ("mine", MINE)):
            (tmp_path / f"{name}.py").write_text(text)
            os.utime(tmp_path / f"{name}.py", (1, number))
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        seen.append(header.code_of(importlib.import_module("mine").Mine))
    assert seen[0] != seen[1] == seen[2]
