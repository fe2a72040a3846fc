"""Answers: as token by token without a batch, in the given order, ended where the model ends them."""

from itertools import pairwise

import pytest
import torch
from finetune.qwen3 import qwen3_tokenizer
from finetune.rows import asks

from kvbook.errors import ParameterError
from kvbook.finetune.answers import continue_text, generate_answers
from kvbook.lm.models import LoadedModel, load_model

QUESTIONS = ["a cough", "头痛怎么办？", "What helps against a cold that lasts for a week?", "x"]


@pytest.fixture
def tiny():
    """Its own each time, since tests change it."""
    return load_model("tiny-random", dtype="float32", device="cpu")


def one_by_one(lm, question, count, ends=(1,), **template):
    """The tokens of an answer, each the most likely behind all before it."""
    ids = lm.tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_dict=False,
        **template,
    )
    new = []
    with torch.no_grad():
        while len(new) < count and (not new or new[-1] not in ends):
            new.append(lm.model(torch.tensor([ids + new])).logits[0, -1].argmax().item())
    return new


def answers(lm, *questions, **options):
    return generate_answers(lm, asks(*questions), progress=False, **options)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_answers_are_those_of_one_by_one_in_the_given_order(batch_size, tiny):
    found = answers(tiny, *QUESTIONS, max_new_tokens=20, batch_size=batch_size)
    tokens = [one_by_one(tiny, one, 20) for one in QUESTIONS]
    assert found == [tiny.tokenizer.decode(one, skip_special_tokens=True) for one in tokens]
    assert len(set(found)) == len(QUESTIONS)


def test_an_answer_ends_with_the_turn_and_others_go_on(tiny):
    tokens = [one_by_one(tiny, one, 20) for one in QUESTIONS[:2]]
    end = tokens[0][4]
    assert end not in tokens[1]
    tiny.model.generation_config.eos_token_id = [end]
    first, second = answers(tiny, *QUESTIONS[:2], max_new_tokens=20)
    assert first == tiny.tokenizer.decode(tokens[0][: tokens[0].index(end) + 1])
    assert second == tiny.tokenizer.decode(tokens[1])


def say(lm, *texts):
    """Make the model answer with these tokens, all of them different, whatever the question."""
    tokens = [lm.tokenizer(text).input_ids[0] for text in ("\n", *texts)]  # a prompt ends with \n
    model = lm.model
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        for one, following in pairwise(tokens):
            model.lm_head.weight[following] = model.model.embed_tokens.weight[one]


def test_the_end_of_the_turn_special_tokens_and_white_space_are_left_out(tiny):
    say(tiny, " ", "H", "<|im_start|>", "i", "\t", "<|im_end|>")
    tiny.model.generation_config.eos_token_id = None  # the tokenizer knows
    assert answers(tiny, "x", "another") == ["Hi", "Hi"]


def test_a_models_own_way_to_generate_does_not_count(tiny):
    expected = answers(tiny, *QUESTIONS, max_new_tokens=20)
    own = tiny.model.generation_config
    own.do_sample, own.temperature, own.top_k, own.repetition_penalty = True, 0.6, 20, 1.5
    assert answers(tiny, *QUESTIONS, max_new_tokens=20) == expected


def test_thinking_is_off(tiny):
    tiny.model.resize_token_embeddings(151_936)
    lm = LoadedModel(tiny.model, qwen3_tokenizer(), "qwen3", "a test")
    off, on = (one_by_one(lm, "x", 8, (), enable_thinking=wanted) for wanted in (False, True))
    assert off != on
    assert answers(lm, "x", max_new_tokens=8) == [lm.tokenizer.decode(off).strip()]


def test_no_prompts_have_no_answers(tiny):
    assert answers(tiny) == []


@pytest.mark.parametrize("option", ["max_new_tokens", "batch_size"])
def test_a_number_below_one_is_refused(option, tiny):
    with pytest.raises(ParameterError, match=f"{option}=0: give at least 1"):
        answers(tiny, "x", **{option: 0})


def test_a_text_is_continued_as_it_stands(tiny):
    ids, new = tiny.tokenizer("a cough", add_special_tokens=False).input_ids, []
    with torch.no_grad():
        while len(new) < 4:
            new.append(tiny.model(torch.tensor([ids + new])).logits[0, -1].argmax().item())
    said = tiny.tokenizer.decode(new, skip_special_tokens=True).strip()
    assert continue_text(tiny, "a cough", max_new_tokens=4) == (said, False)


def test_a_text_that_ends_by_itself_says_so(tiny):
    weight = tiny.model.get_output_embeddings().weight
    with torch.no_grad():
        weight.zero_()  # all logits are the same, and the first id wins
    tiny.tokenizer.eos_token = tiny.tokenizer.convert_ids_to_tokens(0)
    tiny.model.generation_config.eos_token_id = 0
    assert continue_text(tiny, "a cough")[1]
