"""One turn of a conversation, as the templates of both models write it."""

import pytest
from finetune.qwen3 import qwen3_tokenizer

from kvbook.lm.models import fetch_embedded
from kvbook.lm.turns import behind_answer, first_turn, later_turn, render


@pytest.fixture
def smollm2():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(fetch_embedded())


CHATML = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
SAID = ["How are you?", "And where are you @@?"]


def test_a_template_that_rewrites_the_last_answer_still_gives_whole_turns():
    """Qwen3 writes an empty thought before the last answer, and takes it out of earlier ones."""
    qwen3 = qwen3_tokenizer()
    wanted = CHATML + "<think>\n\n</think>\n\n"
    assert first_turn(qwen3, SAID[0]) == wanted.format(SAID[0])
    assert behind_answer(qwen3) == "<|im_end|>\n"
    assert later_turn(qwen3, SAID[1]) == wanted.format(SAID[1])


def test_the_turns_of_a_conversation_are_what_the_template_writes_of_it(smollm2):
    """Also where the template begins with words of the system, which no later turn repeats."""
    answer = "Fine."
    pieces = (
        first_turn(smollm2, SAID[0]),
        answer,
        behind_answer(smollm2),
        later_turn(smollm2, SAID[1]),
    )
    messages = [
        {"role": role, "content": text}
        for role, text in zip(
            ("user", "assistant", "user"), (SAID[0], answer, SAID[1]), strict=True
        )
    ]
    whole = smollm2.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert "".join(pieces) == whole and whole.startswith("<|im_start|>system")
    assert later_turn(smollm2, SAID[1]) == CHATML.format(SAID[1])


@pytest.mark.parametrize(
    "template, end, turn",
    [
        (  # a newline only between messages: it comes with the next turn
            "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}</s>"
            "{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}[assistant] {% endif %}",
            "</s>",
            "\n[user] Why?</s>[assistant] ",
        ),
        (  # what follows the last answer, and others, begins alike within a token
            "{% for m in messages %}<|im_start|>{{ m['role'] }}@@{{ m['content'] }}<|im_end|>"
            "{% if loop.last and not add_generation_prompt %}<|endoftext|>{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant@@{% endif %}",
            "<|im_end|>",
            "<|im_start|>user@@Why?<|im_end|><|im_start|>assistant@@",
        ),
    ],
)
def test_the_end_of_an_answer_is_what_every_answer_has(smollm2, template, end, turn):
    smollm2.chat_template = template
    assert behind_answer(smollm2) == end and later_turn(smollm2, "Why?") == turn


def test_thinking_is_off_unless_it_is_asked_for():
    qwen3, asked = qwen3_tokenizer(), [{"role": "user", "content": "q"}]
    off, on = (
        render(qwen3, asked, add_generation_prompt=True, **options)
        for options in ({}, {"enable_thinking": True})
    )
    assert off == on + "<think>\n\n</think>\n\n"
