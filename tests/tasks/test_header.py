"""What a stored measurement depends on; and the values that this version of the package measures."""

import importlib
import json
import os
import sys

import pytest
import transformers
from conftest import continue_greedily, prompt_of

from kvbook import create_method, load_model
from kvbook.methods import H2O, Method, Quantized
from kvbook.methods.base import CATALOGUE
from kvbook.tasks import header
from kvbook.tasks.fidelity import make_probe, measure_probe
from kvbook.tasks.header import VERSION, code_of, describe, describe_method

METHODS = {
    "fullkv": {},
    "streamingllm": {"budget": 8},
    "snapkv": {"budget": 8, "window": 2},
    "h2o": {"budget": 8},
    "pyramidinfer": {"min_length": 2},
    "gemfilter": {"budget": 8},
    "fastkv": {"budget": 8, "window": 2},
    "summarykv": {"budget": 12, "summary_tokens": 4, "segment": 4},
}
"""Prompts of 30 tokens are too long for them."""
SECOND = {
    2: {  # as 1 in float32; in bfloat16 attention rounds elsewhere
        "fullkv": ([1, 90, 33, 42, 48, 42], list(range(30)), 0, 5.54169),
        "streamingllm": ([1, 76, 11, 67, 1, 76], [0, 1, 2, 3, 26, 27, 28, 29], 0.0102653, 5.55467),
        "snapkv": ([1, 40, 28, 90, 36, 76], [10, 11, 12, 13, 14, 15, 28, 29], 0.00392891, 5.5154),
        "h2o": ([1, 22, 71, 67, 42, 42], [0, 1, 2, 3, 26, 27, 28, 29], 0.0101761, 5.55295),
        "pyramidinfer": (
            [1, 90, 33, 42, 48, 42],
            [
                0,
                1,
                2,
                3,
                8,
                9,
                10,
                11,
                12,
                14,
                15,
                16,
                17,
                18,
                19,
                20,
                21,
                22,
                23,
                24,
                25,
                26,
                27,
                28,
                29,
            ],
            6.94603e-05,
            5.54029,
        ),
        "gemfilter": (
            [35, 52, 74, 44, 36, 23],
            [11, 12, 13, 25, 26, 27, 28, 29],
            0.0426658,
            5.53443,
        ),
        "fastkv": ([36, 92, 38, 28, 32, 5], [3, 5, 6, 7, 8, 9, 28, 29], 0.00473752, 5.58232),
        "summarykv": (
            [90, 41, 77, 42, 15, 60],
            [0, 1, 2, 3, 20, 21, 22, 23, 26, 27, 28, 29],
            0.0207611,
            5.58981,
        ),
    }
}
PINNED = SECOND | {
    3: SECOND[2]
    | {  # a deep layer of FastKV reads as few tokens as tsp_length says
        "fastkv": ([15, 92, 38, 90, 36, 76], [5, 6, 7, 9, 28, 29], 0.00529083, 5.58574),
    },
}
"""By version and method: six tokens after a prompt, what layer 2 keeps of it, and for a probe the
divergence from full KV and the answer's loss, in nats. Values of an older version stay, to
see what changed."""


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32")


@pytest.mark.parametrize("name", METHODS)
def test_this_version_measures_these_values(llama, lm, name):
    method = create_method(name, **METHODS[name])
    tokens, kept, divergence, loss = PINNED[VERSION][name]
    with method.attach(llama) as run:
        assert continue_greedily(llama, prompt_of(30), 6)[0] == [tokens]
    assert run.kept_positions[2][0, 1].tolist() == kept
    words = lm.tokenizer("The quick brown fox jumps over it.").input_ids
    probe = make_probe(lm, "a", words, words[:6], new_tokens=6)
    found = measure_probe(lm, {name: method}, probe)[name]
    assert (found["kl"], found["nll"]) == (
        pytest.approx(divergence, rel=1e-3, abs=1e-6),
        pytest.approx(loss, rel=1e-4),
    )


def test_every_method_is_pinned():
    assert set(PINNED[VERSION]) == set(METHODS) == set(CATALOGUE)


def test_another_version_is_another_header(lm, monkeypatch):
    before = describe(lm, create_method("h2o", budget=4))
    monkeypatch.setattr(header, "VERSION", VERSION + 1)
    assert describe(lm, create_method("h2o", budget=4))["code"] != before["code"]
    assert before["versions"]["transformers"] == transformers.__version__


def test_the_packages_own_text_counts_for_nothing_and_yours_for_all():
    class Mine(H2O):
        pass

    assert code_of(H2O) == f"kvbook {VERSION}"
    assert code_of(Mine).startswith(f"kvbook {VERSION}, ")


# ---- a method inside another -----------------------------------------------------------------------

MODULE = """
from kvbook.methods import Method


class Mine(Method, listed=False):
    name = "mine"

    def keep(self, seen):
        return seen.positions[:, :{kept}]
"""
SNAP = create_method("snapkv", budget=8)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Import a class of a user that keeps so many, from a file of some time ago."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(kept):
        path = tmp_path / "methods_of_a_user.py"
        path.write_text(MODULE.format(kept=kept))
        os.utime(path, (1e9, 1e9))
        sys.modules.pop(path.stem, None)
        importlib.invalidate_caches()
        return importlib.import_module(path.stem).Mine()

    yield write
    sys.modules.pop("methods_of_a_user", None)


def test_a_method_inside_another_is_written_as_json(lm):
    told = describe(lm, Quantized(SNAP, bits=2))
    assert json.loads(json.dumps(told)) == told
    assert told["method"] == "quantized" and told["parameters"]["bits"] == 2
    its = describe(lm, SNAP)
    assert told["parameters"]["method"] == {
        name: its[name] for name in ("method", "parameters", "code")
    }


@pytest.mark.parametrize(
    "other",
    [
        Quantized(create_method("snapkv", budget=9), bits=2),
        Quantized(create_method("snapkv", budget=8, window=4), bits=2),
        Quantized(create_method("gemfilter", budget=8), bits=2),
        Quantized(SNAP, bits=4),
        Quantized(SNAP, bits=2, group=8),
        SNAP,
    ],
    ids=describe_method,
)
def test_with_another_method_inside_it_is_another(lm, other):
    one = Quantized(create_method("snapkv", budget=8), bits=2)
    assert describe(lm, one) == describe(lm, Quantized(SNAP, bits=2))
    assert describe(lm, one) != describe(lm, other)
    assert describe_method(one) != describe_method(other)


def test_other_code_of_yours_inside_is_another_method(lm, written):
    before = describe(lm, Quantized(written(kept=3)))
    assert describe(lm, Quantized(written(kept=3))) == before
    after = describe(lm, Quantized(written(kept=4)))
    assert after != before and after["code"] == before["code"]  # ours is the same


def test_what_was_typed_in_a_notebook_is_never_the_same_inside_another(lm):
    class Mine(Method, listed=False):
        __module__ = "of_a_notebook"  # no file has it

    assert describe(lm, Quantized(Mine())) != describe(lm, Quantized(Mine()))


@pytest.mark.parametrize(
    "method, said",
    [
        (Quantized(), "quantized"),
        (Quantized(bits=2), "quantized bits=2"),
        (Quantized(SNAP), "quantized method=snapkv budget=8"),
        (Quantized(SNAP, bits=8, group=32), "quantized method=snapkv budget=8 bits=8 group=32"),
    ],
)
def test_a_method_inside_another_has_few_words(method, said):
    assert describe_method(method) == said
