"""How often a decoded token makes the host wait for the device: by number, so that no wait comes in
unseen."""

from contextlib import nullcontext
from copy import deepcopy

import pytest
from conftest import left_pad, make_model, prompt_of
from second_device.cases import BATCHED, CASES
from second_device.second import Waits

ALONE = dict.fromkeys(CASES, (4, 0)) | {
    "pyramidinfer, generation": (9 / 2, 19 / 16),
    "summarykv": (31 / 3, 0),  # its own words, and those of its summaries
    "summarykv, extractive": (7, 1 / 12),
}
"""Waits a decoded token, and those that come to it with every layer."""
PADDED = dict.fromkeys(BATCHED, (8, 1)) | {
    "h2o": (8, 3),
    "pyramidinfer, generation": (8, 3),
}
"""The same in a batch of two rows, one cut and one not."""
STOCK = {"alone": 1, "padded": 2}
"""transformers without a method: whether to stop, and whether anything is padding."""
LAYERS = (2, 4)
TOKENS = {False: 24, True: 8}
"""That are counted, behind the first one. Alone: so many that SummaryKV writes several summaries.
In a batch: so few that the first row stays uncut."""


@pytest.fixture(scope="module")
def models(second):
    """By their depth."""
    shallow_and_deep = [make_model("llama", num_hidden_layers=layers) for layers in LAYERS]
    return [deepcopy(model).to(second) for model in shallow_and_deep]


def prompts(model, padded):
    """One prompt that is cut, or it and a shorter one that is not."""
    rows = [prompt_of(3), prompt_of(30)] if padded else [prompt_of(30)]
    return [one.to(model.device) for one in left_pad(rows)]


def waits(model, method, padded):
    """How many a decoded token: those of a longer answer, less those of a shorter one."""
    ids, mask = prompts(model, padded)
    found = []
    for new in (1, 1 + TOKENS[padded]):
        with method.attach(model) if method else nullcontext(), Waits() as waits:
            model.generate(ids, attention_mask=mask, max_new_tokens=new, do_sample=False)
        found.append(waits)
    short, long = found
    return (long.count - short.count) / TOKENS[padded], long.places - short.places


def check(models, method, padded, expected):
    """Compare with a number of the tables, at both depths."""
    a_token, a_layer = expected
    for layers, model in zip(LAYERS, models, strict=True):
        count, places = waits(model, method, padded)
        assert count == pytest.approx(a_token + a_layer * layers), places


@pytest.mark.parametrize("padded", [False, True], ids=STOCK)
def test_transformers_alone_waits_so_often(models, padded):
    check(models, None, padded, (STOCK["padded" if padded else "alone"], 0))


@pytest.mark.parametrize("name", CASES)
def test_a_decoded_token_waits_so_often(models, name):
    check(models, CASES[name], False, ALONE[name])


@pytest.mark.parametrize("name", BATCHED)
def test_a_decoded_token_of_a_padded_batch_waits_so_often(models, name):
    check(models, CASES[name], True, PADDED[name])
