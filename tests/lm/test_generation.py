"""Prompts in, new tokens out: padding, what is new, and options."""

import pytest
import torch
from conftest import continue_greedily, prompt_of

from kvbook import create_method, load_model
from kvbook.engine.panel import Panel
from kvbook.errors import ParameterError
from kvbook.lm.generation import GREEDY, NOT_TAKEN, ends_of, generate_ids, generate_words

OWN = [
    dict(repetition_penalty=5.0),
    dict(encoder_repetition_penalty=5.0),
    dict(no_repeat_ngram_size=1),
    dict(num_beams=3),
    dict(num_beams=2, num_return_sequences=2),
    dict(do_sample=True, temperature=9.0),
    dict(penalty_alpha=0.6, top_k=4),
    dict(prompt_lookup_num_tokens=2),
    dict(guidance_scale=3.0),
    dict(min_length=90, eos_token_id=[*range(96)]),
    dict(min_new_tokens=4, eos_token_id=[*range(96)]),
    dict(forced_eos_token_id=7, forced_bos_token_id=8),
    dict(suppress_tokens=[*range(50)], begin_suppress_tokens=[*range(50, 90)]),
    dict(bad_words_ids=[[token] for token in range(60)]),
    dict(sequence_bias=[[[5], 99.0]]),
    dict(exponential_decay_length_penalty=(1, 9.0), eos_token_id=3),
    dict(stop_strings=["a"]),
    dict(max_time=0.0),
    dict(max_length=10),
    dict(use_cache=False),
    dict(cache_implementation="static"),
    dict(return_dict_in_generate=True),
    dict(output_attentions=True, return_dict_in_generate=True),
    dict(something_of_a_later_version=3),
]
"""What a model's ``generation_config.json`` may say, each alone; greedy is greedy all the same."""


@pytest.fixture
def own(llama, monkeypatch):
    """Set what the model itself asks for."""

    def set_own(**settings):
        for name, value in settings.items():
            monkeypatch.setattr(llama.generation_config, name, value, raising=False)

    return set_own


def test_only_what_is_new_comes_back(llama):
    prompt = prompt_of(9)
    expected, _ = continue_greedily(llama, prompt, 5)
    assert generate_ids(llama, prompt.tolist(), 5).tolist() == expected


def test_rows_of_unequal_lengths_get_what_they_get_alone(llama):
    rows = [prompt_of(9, 1)[0].tolist(), prompt_of(4, 2)[0].tolist()]
    together = generate_ids(llama, rows, 5, pad=0)
    assert together.tolist() == [generate_ids(llama, [row], 5)[0].tolist() for row in rows]


def test_prompts_of_unequal_lengths_go_on_from_what_was_read(llama):
    read, later = prompt_of(20)[0].tolist(), [prompt_of(n, n)[0].tolist() for n in (9, 4)]
    panel = Panel([create_method("fullkv")])
    with panel.attach(llama) as run:
        llama(torch.tensor([read]))
        run.restore(run.snapshot().pick([0, 0]))
        together = generate_ids(llama, later, 5, pad=0, read=run.real, past_key_values=run.cache)
    assert together.tolist() == [generate_ids(llama, [read + row], 5)[0].tolist() for row in later]


def test_it_goes_on_with_a_cache(llama):
    first, second = prompt_of(9, 1)[0].tolist(), prompt_of(4, 2)[0].tolist()
    with create_method("fullkv").attach(llama) as run:
        new = generate_ids(llama, [first], 3)[0].tolist()
        whole = first + new + second
        on = generate_ids(llama, [whole], 3, past_key_values=run.cache)
    assert on.tolist() == generate_ids(llama, [whole], 3).tolist()


def most_likely(model, ids, count):
    """Token by token, without ``generate``; ended where the model's own configuration says."""
    new = []
    with torch.no_grad():
        while len(new) < count and (not new or new[-1] not in ends_of(model)):
            new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
    return new


@pytest.mark.parametrize("settings", OWN, ids=lambda settings: "-".join(settings))
@pytest.mark.parametrize("name", [None, "fullkv", "snapkv"])
def test_greedy_is_greedy_whatever_the_model_asks_for(llama, own, settings, name):
    prompt = prompt_of(60)[0].tolist()
    own(**settings)
    if name is None:
        found = generate_ids(llama, [prompt], 6)
    else:
        method = create_method(name, **({"budget": 64} if name == "snapkv" else {}))
        with method.attach(llama):
            found = generate_ids(llama, [prompt], 6)
    assert found.tolist() == [most_likely(llama, prompt, 6)]


def test_what_a_caller_gives_is_kept_and_nothing_else_of_the_model(llama, own, monkeypatch):
    own(temperature=0.1, top_k=3, top_p=0.2, repetition_penalty=7.0)
    given = []
    monkeypatch.setattr(llama, "generate", lambda ids, **how: given.append(how) or ids)
    generate_ids(llama, [[5, 6, 7]], 4, do_sample=True, temperature=0.7)
    assert {name: given[0][name] for name in GREEDY} == GREEDY | {
        "do_sample": True,
        "temperature": 0.7,
    }


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_what_would_change_what_comes_back_is_refused_before_anything_runs(
    llama, name, monkeypatch
):
    monkeypatch.setattr(llama, "forward", None)
    with pytest.raises(ParameterError, match=f"{name} cannot be given here"):
        generate_ids(llama, [[5, 6, 7]], 4, **{name: 2})


def test_rows_are_padded_without_any_special_token(llama, own):
    own(eos_token_id=None, pad_token_id=None, bos_token_id=None)
    rows = [prompt_of(9, 1)[0].tolist(), prompt_of(4, 2)[0].tolist()]
    assert generate_ids(llama, rows, 5).tolist() == [most_likely(llama, row, 5) for row in rows]


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
