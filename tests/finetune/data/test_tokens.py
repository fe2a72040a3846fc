"""Tokens: what of a dialogue is trained, with each kind of chat template, and how long rows are."""

import json

import pytest
from finetune.rows import chat

from kvbook import load_model
from kvbook.errors import ParameterError
from kvbook.finetune.data import encode, length_statistics
from kvbook.finetune.data.tokens import count_pieces, count_tokens, token_bytes


def trained(tokenizer, encoded):
    """The text that counts for the loss."""
    return tokenizer.decode([label for label in encoded.labels if label != -100])


def test_the_answer_and_its_end_are_trained_and_nothing_before(tiny):
    encoded = encode(tiny, chat("q", "old", "q2", "new", system="S"))
    start, end = "<|im_start|>", "<|im_end|>\n"
    prompt = f"{start}system\nS{end}{start}user\nq{end}{start}assistant\nold{end}{start}user\nq2{end}{start}assistant\n"
    assert tiny.decode(encoded.ids) == prompt + "new" + end
    ours = encoded.labels.index(encoded.ids[-5])  # n, e, w, the end of the turn, the newline
    assert encoded.labels == [-100] * ours + encoded.ids[ours:]
    assert (trained(tiny, encoded), encoded.trained, encoded.cut) == ("new" + end, 5, False)


@pytest.mark.parametrize("missing, left", [(0, "new<|im_end|>\n"), (1, "new<|im_end|>"), (4, "n")])
def test_an_answer_that_is_too_long_is_cut_at_its_end(missing, left, tiny):
    whole = encode(tiny, chat("q", "new"))
    encoded = encode(tiny, chat("q", "new"), max_length=len(whole.ids) - missing)
    assert (trained(tiny, encoded), encoded.cut) == (left, missing > 0)
    assert encoded.ids == whole.ids[: len(encoded.labels)]


def test_a_prompt_that_fills_the_length_leaves_nothing_to_train(tiny):
    encoded = encode(tiny, chat("q" * 100, "new"), max_length=50)
    assert (len(encoded.ids), encoded.trained, encoded.cut) == (50, 0, True)


def test_a_length_below_one_is_refused(tiny):
    with pytest.raises(ParameterError, match="max_length=0: give a number of tokens"):
        encode(tiny, chat("q", "a"), max_length=0)


def test_a_tokenizer_without_a_chat_template_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "chat_template", None)
    with pytest.raises(ParameterError, match="no chat template: take an instruct model"):
        encode(tiny, chat("q", "a"))


def test_what_a_template_refuses_is_one_message_with_the_line(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "chat_template", "{{ raise_exception('no system messages') }}")
    with pytest.raises(ParameterError, match=r"line 7: .* refuses it \(no system messages\)"):
        encode(tiny, chat("q", "a", system="S", line=7))


def test_a_template_that_changes_the_prompt_behind_an_answer_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(
        tiny,
        "chat_template",
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<think>{% endif %}",
    )
    with pytest.raises(ParameterError, match="line 7: the tokens of the prompt change"):
        encode(tiny, chat("q", "a", line=7))


def test_the_embedded_models_template_ignores_thinking():
    tokenizer = load_model().tokenizer
    encoded = encode(tokenizer, chat("What helps?", "Rest."))
    assert trained(tokenizer, encoded) == "Rest.<|im_end|>\n"
    assert tokenizer.decode(encoded.ids).endswith("<|im_start|>assistant\nRest.<|im_end|>\n")


# ---- Qwen3 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, ids",
    [
        (
            "高血压患者可以长期喝脱脂奶粉吗？",
            [109155, 101924, 73670, 101930, 100399, 99694, 100553, 107706, 101037, 11319],
        ),
        ("What should I do about a headache?", [3838, 1265, 358, 653, 911, 264, 46746, 30]),
        (
            "体温38.5℃，咳嗽3天。\n",
            [109207, 18, 23, 13, 20, 144105, 3837, 109244, 18, 35727, 8997],
        ),
        (
            "<|endoftext|><|im_start|><|im_end|><think></think>",
            [151643, 151644, 151645, 151667, 151668],
        ),
    ],
)
def test_the_rebuilt_tokenizer_gives_tiktokens_ids(text, ids, qwen3):
    """What tiktoken 0.14 makes of the same file of ranks, and Qwen3's published added tokens."""
    assert qwen3(text).input_ids == ids


def test_qwen3s_prompt_is_the_official_one_with_thinking_off(qwen3):
    dialogue = chat("头痛", "休息", "多久？", "三天。", system="你是医生。")
    encoded = encode(qwen3, dialogue)
    prompt = qwen3.apply_chat_template(
        dialogue.prompt, add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    assert encoded.ids[: len(prompt)] == prompt
    assert encoded.labels == [-100] * len(prompt) + encoded.ids[len(prompt) :]


def test_qwen3s_ids_by_hand(qwen3):
    encoded = encode(qwen3, chat("你好", "多喝水。"))
    user, assistant = [151644, 872, 198, 108386, 151645, 198], [151644, 77091, 198]
    think, answer = [151667, 271, 151668, 271], [42140, 111824, 1773, 151645, 198]
    assert encoded.ids == user + assistant + think + answer
    assert encoded.labels == [-100] * 13 + answer


@pytest.mark.parametrize("answer", ["多喝水。", "多喝水。\n\n", "38.5℃ is a fever", "(1) 休息"])
def test_qwen3s_ids_are_those_of_the_pieces_that_llamafactory_encodes(answer, qwen3):
    """Its template ``qwen3`` with ``enable_thinking: false`` encodes the question, an empty
    thought and the answer one by one; the last of them is trained."""
    pieces = [
        "<|im_start|>user\n头痛？<|im_end|>\n<|im_start|>assistant\n",
        "<think>\n\n</think>\n\n",
        f"{answer}<|im_end|>\n",
    ]
    question, thought, target = (qwen3(piece).input_ids for piece in pieces)
    encoded = encode(qwen3, chat("头痛？", answer))
    assert encoded.ids == question + thought + target
    assert encoded.labels == [-100] * len(question + thought) + target


# ---- lengths ------------------------------------------------------------------------------------


def test_length_statistics(tiny):
    """In the tiny model's tokens, bytes: 痛 is three; the template ends an answer with two."""
    template = len(encode(tiny, chat("q", "a")).ids) - 4
    found = length_statistics(tiny, [chat("q" * 4, "a" * 10), chat("痛", "a" * 20)])
    expected = {
        "prompt": {"tokens": (template + 3, template + 4), "characters": (1, 4)},
        "answer": {"tokens": (12, 22), "characters": (10, 20)},
        "whole": {"tokens": (template + 16, template + 25), "characters": (14, 21)},
    }
    assert found.pop("count") == 2
    for part, units in expected.items():
        for unit, (low, high) in units.items():
            middle, p95 = (low + high) / 2, low + 0.95 * (high - low)
            expected = {"min": low, "median": middle, "mean": middle, "p95": p95, "max": high}
            assert found[part][unit] == pytest.approx(expected)


def test_statistics_are_plain_numbers(tiny):
    json.dumps(length_statistics(tiny, [chat("q", "a")]))


def test_statistics_of_nothing_are_refused(tiny):
    with pytest.raises(ParameterError, match="no dialogues"):
        length_statistics(tiny, [])


@pytest.mark.parametrize("model", ["tiny", "qwen3"])
def test_the_bytes_of_all_tokens_are_the_text(model, request):
    tokenizer = request.getfixturevalue(model)
    text = "<|im_start|>头痛 ok\n"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert b"".join(token_bytes(tokenizer, ids)) == text.encode()


def test_pieces_are_the_tokens_that_are_no_text_alone(tiny):
    """The tiny model has a token a byte."""
    ids = tiny("a痛b", add_special_tokens=False).input_ids
    assert (len(token_bytes(tiny, ids)), count_pieces(tiny, ids)) == (5, 3)


def test_tokens_of_texts_are_counted_without_a_template(tiny):
    assert count_tokens(tiny, ["ab", "痛"]) == 5
