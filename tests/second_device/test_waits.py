"""How often the host waits for the device: by number, so that no wait comes in unseen. These tables
are the only place to change when the engine waits less often."""

from contextlib import nullcontext
from copy import deepcopy

import pytest
from conftest import left_pad, make_model, prompt_of
from second_device.cases import BATCHED, CASES
from second_device.second import Waits

from kvbook import Panel

STOCK = {"alone": (1, 0), "padded": (2, 0)}
"""Waits a decoded token, and those that come to it with every layer. transformers without a method
asks whether to stop, and in a padded batch whether anything is padding."""
ALONE = dict.fromkeys(CASES, (1, 0)) | {
    "pyramidinfer, generation": (3 / 2, 3 / 16),  # three whenever a layer is thinned
    "summarykv": (23 / 6, 0),  # its own words, and what each of its summaries takes
    "summarykv, extractive": (11 / 6, 1 / 12),
}
"""No method waits by itself, but where it thins or summarises."""
PADDED = dict.fromkeys(BATCHED, (1, 0))
"""In a batch of two rows, one cut and one not."""
CHUNKS = {"alone": (1, 0), "padded": (3, 0)}
"""Of a chunk of a prompt, instead of a token."""
PANEL = {"alone": (1, 0), "padded": (1, 0)}
"""In a panel, whatever the depth: a token, and those that come to it with every row."""

LAYERS = (2, 4)
TOKENS = {"alone": 24, "padded": 8}
"""That are counted, behind the first one. Alone: so many that SummaryKV writes several summaries.
In a batch: so few that the first row stays uncut."""


@pytest.fixture(scope="module")
def models(second):
    """Of the depths `LAYERS`."""
    both = [make_model("llama", num_hidden_layers=layers) for layers in LAYERS]
    return [deepcopy(model).to(second) for model in both]


def batch(batching, length=30):
    """A prompt that is cut, alone or behind a shorter one that is not."""
    return left_pad(
        [prompt_of(3), prompt_of(length)] if batching == "padded" else [prompt_of(length)]
    )


def listen(model, method, ids, mask, new):
    """The waits of reading prompts and writing ``new`` tokens."""
    ids, mask = ids.to(model.device), mask.to(model.device)
    with method.attach(model) if method else nullcontext(), Waits() as waits:
        model.generate(ids, attention_mask=mask, max_new_tokens=new, do_sample=False)
    return waits


def check_decoded(model, method, batching, expected):
    """Compare what a longer answer has more than one of a single token."""
    more = TOKENS[batching]
    short, long = (listen(model, method, *batch(batching), new) for new in (1, 1 + more))
    where = long.places - short.places
    assert (long.count - short.count) / more == pytest.approx(expected), where


@pytest.mark.parametrize("batching", STOCK)
def test_a_decoded_token_of_transformers_alone_waits_so_often(models, batching):
    for layers, model in zip(LAYERS, models, strict=True):
        fixed, a_layer = STOCK[batching]
        check_decoded(model, None, batching, fixed + layers * a_layer)


@pytest.mark.parametrize("name", CASES)
def test_a_decoded_token_waits_so_often(models, name):
    for layers, model in zip(LAYERS, models, strict=True):
        fixed, a_layer = ALONE[name]
        check_decoded(model, CASES[name], "alone", fixed + layers * a_layer)


@pytest.mark.parametrize("name", BATCHED)
def test_a_decoded_token_of_a_padded_batch_waits_so_often(models, name):
    for layers, model in zip(LAYERS, models, strict=True):
        fixed, a_layer = PADDED[name]
        check_decoded(model, CASES[name], "padded", fixed + layers * a_layer)


@pytest.mark.parametrize("batching", CHUNKS)
def test_a_chunk_of_a_prompt_waits_so_often(models, batching):
    method = CASES["streamingllm, in chunks"]
    for layers, model in zip(LAYERS, models, strict=True):
        fixed, a_layer = CHUNKS[batching]
        chunks = [listen(model, method, *batch(batching, 9 * count), 1) for count in (3, 5)]
        more = (chunks[1].count - chunks[0].count) / 2
        assert more == fixed + layers * a_layer, chunks[1].places - chunks[0].places


@pytest.mark.parametrize("name", [name for name in BATCHED if "chunks" not in name])
def test_a_longer_prompt_waits_no_more_often(models, name):
    for batching in TOKENS:
        short, long = (
            listen(models[1], CASES[name], *batch(batching, length), 1) for length in (30, 60)
        )
        assert long.places == short.places


@pytest.mark.parametrize("methods", [["fullkv", "h2o"], ["fullkv", "snapkv", "h2o", "gemfilter"]])
@pytest.mark.parametrize("batching", PANEL)
def test_a_decoded_token_of_a_panel_waits_so_often(models, batching, methods):
    panel = Panel([CASES[name] for name in methods])
    rows = [one for one in (prompt_of(20), prompt_of(30))[batching == "alone" :] for _ in methods]
    fixed, a_row = PANEL[batching]
    for model in models:
        short, long = (listen(model, panel, *left_pad(rows), new) for new in (1, 9))
        where = long.places - short.places
        assert (long.count - short.count) / 8 == fixed + len(rows) * a_row, where


def test_what_the_tables_name_is_there():
    assert ALONE.keys() == CASES.keys() and PADDED.keys() == set(BATCHED)
