"""Instructions of a system prompt: what is told, what is asked, and what counts as followed."""

from dataclasses import replace

import pytest
import torch
from finetune.qwen3 import qwen3_tokenizer
from transformers import AutoTokenizer

from kvbook import create_method, load_model
from kvbook.errors import ParameterError
from kvbook.lm.models import fetch_embedded
from kvbook.lm.turns import behind_answer, later_turn, render
from kvbook.methods import Method, Quantized
from kvbook.tasks.conversations import SMALL_TALK
from kvbook.tasks.instructions import (
    NEW_TOKENS,
    RULES,
    follow_rules,
    held_of_system,
    make_briefings,
)

END_OF_TEXT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>"
    "{% if loop.last and not add_generation_prompt %}<|endoftext|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A template that ends the last answer with more than the others."""


def smollm2(template=None):
    tokenizer = AutoTokenizer.from_pretrained(fetch_embedded(), local_files_only=True)
    tokenizer.chat_template = template or tokenizer.chat_template
    return tokenizer


TOKENIZERS = {
    "smollm2": smollm2,
    "qwen3": qwen3_tokenizer,
    "ends otherwise": lambda: smollm2(END_OF_TEXT),
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def briefings():
    return make_briefings(2, turns=1)


def messages_of(briefing):
    said = [{"role": "system", "content": briefing.system}]
    for pair in briefing.talk:
        for role, text in zip(("user", "assistant"), pair, strict=True):
            said.append({"role": role, "content": text})
    return said


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False).input_ids


# ---- what is told ----------------------------------------------------------------------------------


def test_every_rule_has_a_gap_for_its_word_and_asks_without_it():
    for rule in RULES.values():
        assert rule.instruction.count("{}") == 1
        assert len(set(rule.choices)) == len(rule.choices) >= 4
        said = f"{rule.user} {rule.opening}"
        assert not any(choice in said for choice in rule.choices)


def test_no_word_of_a_rule_begins_another_one():
    """Else the one would count where the other is said."""
    for rule in RULES.values():
        for one in rule.choices:
            assert [other for other in rule.choices if other.startswith(one)] == [one]


def test_an_answer_has_room_for_every_word():
    tokenizer = smollm2()
    for rule in RULES.values():
        assert max(len(ids(tokenizer, f" {one}.")) for one in rule.choices) <= NEW_TOKENS


def test_every_instruction_stands_in_the_system_prompt_once_with_its_word():
    for one in make_briefings(20):
        assert set(one.words) == set(RULES)
        at = []
        for name, word in one.words.items():
            assert word in RULES[name].choices
            told = RULES[name].instruction.format(word)
            assert one.system.count(told) == 1
            at.append(one.system.index(told))
        assert at == sorted(at)  # in the order of the words
        assert sum(map(one.system.count, ("Say that", "Send", "Answer in"))) == len(RULES)


def test_instructions_come_in_any_order_and_with_any_word():
    made = make_briefings(60)
    for i in (0, -1):
        assert {list(one.words)[i] for one in made} == set(RULES)
    for name, rule in RULES.items():
        assert {one.words[name] for one in made} == set(rule.choices)


def test_the_talk_is_about_something_else():
    said = " ".join(text for pair in SMALL_TALK for text in pair)
    for one in make_briefings(5, turns=8):
        assert len(set(one.talk)) == 8 and set(one.talk) <= set(SMALL_TALK)
    for rule in RULES.values():
        assert rule.user not in said and rule.opening not in said


def test_briefings_come_from_a_seed():
    made = make_briefings(3, turns=2, seed=5)
    assert make_briefings(3, turns=2, seed=5) == made
    assert make_briefings(2, turns=2, seed=5) == made[:2]
    assert not {one.system for one in made} & {one.system for one in make_briefings(3, turns=2)}


@pytest.mark.parametrize("count, turns", [(0, 8), (-1, 8), (1, 0), (1, len(SMALL_TALK) + 1)])
def test_no_briefing_and_more_talk_than_there_is_are_refused(count, turns):
    with pytest.raises(ParameterError, match=f"count={count}, turns={turns}: give at least 1"):
        make_briefings(count, turns)


def test_as_much_talk_as_there_is_can_be_had():
    [one] = make_briefings(1, turns=len(SMALL_TALK))
    assert sorted(one.talk) == sorted(SMALL_TALK)


# ---- as the template writes it ---------------------------------------------------------------------


@pytest.mark.parametrize("turns", [1, 3])
def test_the_text_ends_with_the_end_of_an_answer(tokenizer, turns):
    [one] = make_briefings(1, turns)
    text, end = one.text(tokenizer), behind_answer(tokenizer)
    last = one.talk[-1][1]
    assert text.endswith(last + end)


@pytest.mark.parametrize("turns", [1, 3])
def test_with_a_question_behind_it_the_text_has_the_templates_tokens(tokenizer, turns):
    """Read in two parts, as a cache reads it. Qwen3 takes thoughts out of earlier answers, which it
    writes before the last one: there it is compared without them."""
    [one] = make_briefings(1, turns)
    asked = {"role": "user", "content": "Where is the shop?"}
    whole = render(tokenizer, [*messages_of(one), asked], add_generation_prompt=True)
    text, question = one.text(tokenizer), later_turn(tokenizer, asked["content"])
    text = text.replace("<think>\n\n</think>\n\n", "")
    assert ids(tokenizer, text) + ids(tokenizer, question) == ids(tokenizer, whole)


def test_the_text_is_what_the_template_gives():
    tokenizer = smollm2()
    for one in make_briefings(3, turns=3):
        given = tokenizer.apply_chat_template(messages_of(one), tokenize=True, return_dict=False)
        assert ids(tokenizer, one.text(tokenizer)) == given


# ---- what is followed ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def said(lm, briefings):
    """By briefing and rule, what transformers' own model says after the whole text in one go."""
    found = []
    for one in briefings:
        found.append({})
        for name in one.words:
            asked = later_turn(lm.tokenizer, RULES[name].user) + RULES[name].opening
            prompt = torch.tensor([ids(lm.tokenizer, one.text(lm.tokenizer) + asked)])
            out = lm.model.generate(prompt, max_new_tokens=NEW_TOKENS, do_sample=False)
            words = lm.tokenizer.decode(out[0, prompt.shape[1] :], skip_special_tokens=True)
            found[-1][name] = words.strip("\"'*: ")
    return found


def test_with_all_entries_it_says_what_the_model_alone_says(lm, briefings, said):
    """A random model follows nothing: so its own words are what is asked for."""
    for one, words in zip(briefings, said, strict=True):
        assert all(len(word) > 3 for word in words.values())
        other = {name: word[:-1] + "§" for name, word in words.items()}
        asked = [replace(one, words=each) for each in (words, other)]
        answers = follow_rules(lm, {"all": "fullkv"}, asked)["all"]
        assert answers == [dict.fromkeys(words, True), dict.fromkeys(words, False)]


def test_every_briefing_is_told_to_every_method_by_its_label(lm, briefings):
    methods = {("snap", 64): create_method("snapkv", budget=64), "all": create_method("fullkv")}
    followed = follow_rules(lm, methods, briefings)
    assert list(followed) == list(methods)
    for answers in followed.values():
        assert [list(one) for one in answers] == [list(one.words) for one in briefings]


def test_a_method_among_others_follows_what_it_follows_alone(lm, briefings, said):
    one = replace(briefings[0], words=said[0])
    methods = {
        "some": create_method("streamingllm", budget=128),
        "packed": Quantized(bits=2, group=8),
        "all": create_method("fullkv"),
    }
    together = follow_rules(lm, methods, [one])
    alone = {label: follow_rules(lm, {label: how}, [one])[label] for label, how in methods.items()}
    assert together == alone and not all(together["some"][0].values())


READ = []


class Counting(Method):
    """Full KV that writes down the length of every prompt that a layer reads."""

    def keep(self, seen):
        if seen.layer == 0:
            READ.append(seen.prompt_length)


def test_every_briefing_is_read_once_and_without_its_questions(lm, briefings):
    READ.clear()
    follow_rules(lm, {"counting": Counting()}, briefings)
    texts = [one.text(lm.tokenizer) for one in briefings]
    assert [len(ids(lm.tokenizer, text)) for text in texts] == READ


@pytest.mark.parametrize("function", [follow_rules, held_of_system])
def test_no_briefing_is_refused(lm, function):
    with pytest.raises(ParameterError, match="give at least one"):
        function(lm, {"all": "fullkv"}, [])


# ---- what is held ----------------------------------------------------------------------------------


def test_all_of_the_system_prompt_is_held_with_all_entries(lm, briefings):
    assert held_of_system(lm, {"all": "fullkv"}, briefings) == {"all": 1}


def test_of_the_system_prompt_a_stream_holds_its_sinks(lm, briefings):
    """All of it that a method holds is counted, and nothing of the talk."""
    text = briefings[0].text(lm.tokenizer)
    size = len(ids(lm.tokenizer, text[: text.index(briefings[0].system)] + briefings[0].system))
    methods = {"some": create_method("streamingllm", budget=64, sinks=4)}
    held = held_of_system(lm, methods, briefings[:1])
    assert held["some"] == pytest.approx(4 / size)
