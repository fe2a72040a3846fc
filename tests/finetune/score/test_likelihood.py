"""Likelihood, token by token."""

import math

import pytest
import torch
from finetune.rows import chat

from kvbook import load_model
from kvbook.errors import ParameterError
from kvbook.finetune.data import encode
from kvbook.finetune.score import reference_nll


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny-random", dtype="float32", device="cpu")


def dialogues(*answers):
    return [chat("头痛？", answer, line=line) for line, answer in enumerate(answers, 1)]


def test_nll_is_the_mean_over_the_answers_tokens(tiny):
    (dialogue,) = dialogues("多休息。")
    encoded = encode(tiny.tokenizer, dialogue)
    with torch.no_grad():
        logits = tiny.model(torch.tensor([encoded.ids])).logits[0]
    first = len(encoded.ids) - encoded.trained
    terms = [
        -math.log(torch.softmax(logits[i - 1], 0)[encoded.ids[i]])
        for i in range(first, len(encoded.ids))
    ]
    assert reference_nll(tiny.model, tiny.tokenizer, [dialogue]) == pytest.approx(
        [sum(terms) / len(terms)], abs=1e-5
    )


def test_nll_does_not_depend_on_the_batch(tiny):
    items = dialogues("好。", "多休息，多喝温水，少熬夜。", "不要紧。", "看医生。", "是")
    one, all_at_once = (
        reference_nll(tiny.model, tiny.tokenizer, items, batch_size=size) for size in (1, 5)
    )
    assert one == pytest.approx(all_at_once, abs=1e-5)
    assert len(set(one)) == 5


def test_nll_leaves_the_model_in_its_mode(tiny):
    tiny.model.train()
    try:
        reference_nll(tiny.model, tiny.tokenizer, dialogues("好。"))
        assert tiny.model.training
    finally:
        tiny.model.eval()


@pytest.mark.parametrize("items, size, says", [([], 4, "no answers"), (["好"], 0, "batch_size=0")])
def test_nll_of_nothing_is_refused(items, size, says, tiny):
    with pytest.raises(ParameterError, match=says):
        reference_nll(tiny.model, tiny.tokenizer, dialogues(*items), batch_size=size)
