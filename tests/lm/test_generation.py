"""Prompts in, new tokens out: padding, what is new, and options."""

import pytest
import torch
from conftest import continue_greedily, prompt_of

from kvbook import create_method, load_model
from kvbook.lm.generation import generate_ids, generate_words


def test_only_what_is_new_comes_back(llama):
    prompt = prompt_of(9)
    expected, _ = continue_greedily(llama, prompt, 5)
    assert generate_ids(llama, prompt.tolist(), 5).tolist() == expected


def test_rows_of_unequal_lengths_get_what_they_get_alone(llama):
    rows = [prompt_of(9, 1)[0].tolist(), prompt_of(4, 2)[0].tolist()]
    together = generate_ids(llama, rows, 5, pad=0)
    assert together.tolist() == [generate_ids(llama, [row], 5)[0].tolist() for row in rows]


def test_it_goes_on_with_a_cache(llama):
    first, second = prompt_of(9, 1)[0].tolist(), prompt_of(4, 2)[0].tolist()
    with create_method("fullkv").attach(llama) as run:
        new = generate_ids(llama, [first], 3)[0].tolist()
        whole = first + new + second
        on = generate_ids(llama, [whole], 3, past_key_values=run.cache)
    assert on.tolist() == generate_ids(llama, [whole], 3).tolist()


def test_options_go_to_generate(llama):
    torch.manual_seed(0)
    drawn = {
        tuple(generate_ids(llama, [[5, 6, 7]], 4, do_sample=True)[0].tolist()) for _ in range(9)
    }
    assert len(drawn) > 1


def test_words_are_without_special_tokens():
    lm = load_model("tiny-random", dtype="float32")
    ids = lm.tokenizer("Hello").input_ids
    end = lm.tokenizer.eos_token_id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            lm.model,
            "generate",
            lambda ids, **_: torch.cat((ids, torch.tensor([[72, 105, end]])), 1),
        )
        said = generate_words(lm, [ids], 3)
    assert said == [lm.tokenizer.decode([72, 105])]
