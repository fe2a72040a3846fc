"""One prompt through one method: examples of a text, a file or a needle, and what a trial cost."""

import pytest
import torch

from kvbook import create_method, load_model
from kvbook.errors import ParameterError
from kvbook.lm.costs import prefill_flops
from kvbook.methods import Quantized
from kvbook.places import place
from kvbook.tasks.trial import as_example, read_example, try_method


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32")  # a token is a byte


def test_an_answer_is_where_it_stands_last(lm):
    example = as_example(lm, "a 42. b 42. c", "42")
    assert example.gold == (8, 9) and [example.tokens[i] for i in example.gold] == ["4", "2"]
    assert example.length == 13 and "".join(example.tokens) == "a 42. b 42. c"
    assert str(example) == "13 tokens; the answer 42 is at positions [8, 9]"


@pytest.mark.parametrize("answer", ["", "7", "4"])
def test_an_answer_that_is_not_there_has_no_place(lm, answer):
    example = as_example(lm, "a 42. b", answer)
    assert example.gold == () and str(example) == "7 tokens"


def test_an_empty_prompt_is_refused(lm):
    with pytest.raises(ParameterError, match="the prompt is empty"):
        as_example(lm, "")


def test_a_file_comes_before_a_text_and_a_text_before_a_needle(lm, tmp_path):
    file = tmp_path / "prompt.txt"
    file.write_text("from a file", encoding="utf-8")
    assert read_example(lm, place("data"), "a text", str(file)).length == len("from a file")
    assert read_example(lm, place("data"), "a text").length == len("a text")
    drawn = read_example(lm, place("data"), length=2000)
    assert "".join(drawn.tokens[i] for i in drawn.gold) == drawn.answer
    with pytest.raises(ParameterError, match="cannot be read"):
        read_example(lm, place("data"), prompt_file=str(tmp_path / "none.txt"))


def test_a_trial_says_what_the_model_says_and_what_it_cost(lm):
    example = as_example(lm, "The capital of France is")
    out = lm.model.generate(**example.inputs, max_new_tokens=5, do_sample=False)
    trial = try_method(lm, create_method("fullkv"), example, new_tokens=5)
    assert trial.text == lm.tokenizer.decode(out[0, 24:], skip_special_tokens=True)
    assert trial.flops == prefill_flops(lm.model.config, [24] * 4, 24)
    row = trial.cost_row()
    assert (row["method"], row["tokens a layer reads"]) == ("fullkv", "24")
    assert row["KV now"] == f"{4 * 2 * 16 * 2 * 4 * 28 / 2**20:.2f} MiB"  # the last is not read


def test_a_trial_is_called_by_what_its_method_does_not_share_with_the_default(lm):
    example = as_example(lm, "word " * 20)
    own = {"budget": 8, "chunk": 4, "sinks": 4}  # four sinks are the default
    assert try_method(lm, create_method("streamingllm", **own), example, 1).label == (
        "streamingllm, budget 8, chunk 4"
    )
    assert try_method(lm, create_method("fullkv"), example, 1).label == "fullkv"


def test_a_first_pass_is_a_cost_of_its_own(lm):
    example = as_example(lm, "word " * 20)
    trial = try_method(lm, create_method("gemfilter", budget=10, filter_layer=1), example, 2)
    assert trial.flops == prefill_flops(lm.model.config, [10] * 4, 100, 2)
    assert trial.cost_row()["tokens a layer reads"] == "10 (+ 2 layers, all)"
    assert torch.equal(trial.run.layer_inputs[0], trial.run.layer_inputs[3])


def test_a_method_may_call_itself_something_else(lm):
    example = as_example(lm, "word " * 20)
    packed = Quantized(create_method("snapkv", budget=0.5, window=8), bits=8, group=8)
    assert try_method(lm, packed, example, 1).label == "snapkv, 8 bits"
