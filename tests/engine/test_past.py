"""A mask over what was read before: a row is as it is alone without what is hidden, or refused."""

import pytest
import torch
from conftest import left_pad, prompt_of

from kvbook import create_method
from kvbook.errors import UnsupportedError

UNDROPPED = {"fullkv": {}}
PREFILL_ONLY = {
    "snapkv": {"budget": 9, "window": 2},
    "fastkv": {"budget": 9, "window": 2},
    "pyramidinfer": {"min_length": 2},
}
EVICTING = {"streamingllm": {"budget": 9}, "h2o": {"budget": 9}}


def after_a_short_answer(model, method):
    """Two rows answer with four tokens; the first one has ended after two; then both are asked
    again. The logits of the first row, and what it gives alone."""
    rows, said, turn = [prompt_of(12, 1), prompt_of(9, 2)], prompt_of(4, 3), prompt_of(5, 4)
    ids, mask = left_pad(rows)
    with method.attach(model) as run:
        model(ids, attention_mask=mask)
        for token in said[0]:
            mask = torch.cat((mask, torch.ones(2, 1, dtype=torch.long)), 1)
            model(token.expand(2, 1), attention_mask=mask, past_key_values=run.cache)
        mask[0, -2:] = 0
        mask = torch.cat((mask, torch.ones(2, 5, dtype=torch.long)), 1)
        ours = model(turn.expand(2, 5), attention_mask=mask, past_key_values=run.cache).logits
        on = continue_greedily_on(model, run, ours, mask)
    with method.attach(model) as run:
        model(rows[0])
        for token in said[0, :2]:
            model(token.view(1, 1), past_key_values=run.cache)
        alone = model(turn, past_key_values=run.cache).logits
        alone_on = continue_greedily_on(model, run, alone, None)
    return (ours[:1, -1], on[:1]), (alone[:, -1], alone_on)


def continue_greedily_on(model, run, logits, mask):
    said = []
    for _ in range(4):
        token = logits[:, -1].argmax(-1, keepdim=True)
        said.append(token)
        if mask is not None:
            mask = torch.cat((mask, torch.ones(len(mask), 1, dtype=torch.long)), 1)
        logits = model(token, attention_mask=mask, past_key_values=run.cache).logits
    return torch.cat(said, 1)


@pytest.mark.parametrize("name", UNDROPPED | PREFILL_ONLY)
def test_an_answer_that_ended_early_was_never_longer(model, name):
    method = create_method(name, **(UNDROPPED | PREFILL_ONLY)[name])
    (ours, on), (alone, alone_on) = after_a_short_answer(model, method)
    assert torch.allclose(ours, alone, atol=2e-4) and on.tolist() == alone_on.tolist()


@pytest.mark.parametrize("name", EVICTING)
def test_what_has_changed_an_eviction_cannot_be_hidden(model, name):
    with pytest.raises(UnsupportedError, match="cannot be taken back"):
        after_a_short_answer(model, create_method(name, **EVICTING[name]))


def test_the_end_of_a_prompt_can_be_hidden_where_nothing_was_chosen(llama):
    """transformers' own cache gives the same, with the positions counted."""
    first, turn = prompt_of(16, 1), prompt_of(5, 2)
    mask = torch.ones(1, 21, dtype=torch.long)
    mask[0, 14:16] = 0
    alone = llama(torch.cat((first[:, :14], turn), 1)).logits[:, -1]
    with create_method("fullkv").attach(llama) as run:
        llama(first)
        ours = llama(turn, attention_mask=mask, past_key_values=run.cache).logits[:, -1]
    assert torch.allclose(ours, alone, atol=1e-4)


@pytest.mark.parametrize(
    "name, hide, says",
    [
        ("fullkv", slice(3, 5), "cannot be taken back"),  # in the middle
        ("snapkv", slice(14, 16), "cannot be taken back"),  # of the prompt, by which it has chosen
        ("fullkv", slice(0, 16), "cannot be taken back"),  # all of it
    ],
)
def test_other_tokens_cannot_be_hidden(llama, name, hide, says):
    method = create_method(name, **({} if name == "fullkv" else {"budget": 9}))
    mask = torch.ones(1, 21, dtype=torch.long)
    mask[0, hide] = 0
    with method.attach(llama) as run:
        llama(prompt_of(16))
        lengths = run.kv_lengths
        with pytest.raises(UnsupportedError, match=says):
            llama(prompt_of(5), attention_mask=mask, past_key_values=run.cache)
        assert run.kv_lengths == lengths


@pytest.mark.parametrize("mask, says", [(torch.ones(2, 14), "shows padding"), (torch.ones(2, 9), "does not cover the 12")])  # fmt: skip
def test_a_mask_that_does_not_fit_what_was_read_is_refused(llama, mask, says):
    ids, first = left_pad([prompt_of(12, 1), prompt_of(9, 2)])
    with create_method("fullkv").attach(llama) as run:
        llama(ids, attention_mask=first)
        with pytest.raises(UnsupportedError, match=says):
            llama(prompt_of(2).expand(2, 2), attention_mask=mask, past_key_values=run.cache)
