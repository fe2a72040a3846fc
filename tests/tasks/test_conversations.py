"""Conversations: the file is what the seed gives, and recall is measured on the real model."""

import pytest

from kvbook import create_method, load_model
from kvbook.errors import ResultError
from kvbook.places import place
from kvbook.tasks.conversations import (
    Conversation,
    Fact,
    make_conversations,
    read_conversations,
    recall,
)


def test_the_file_is_what_the_script_writes():
    assert read_conversations(place("data")) == make_conversations(40)


def test_facts_are_told_once_and_small_talk_tells_none():
    for one in make_conversations(10, seed=3):
        text = " ".join(" ".join(turn) for turn in one.turns)
        for fact in one.facts:
            told = fact.opening.split('"')[1]
            assert f"{told} {fact.answer}." in one.turns[fact.turn][0]
            assert text.count(told) == 1


@pytest.mark.parametrize("content", [None, "{}\n", "not json\n"])
def test_a_bad_file_says_where(tmp_path, content):
    if content:
        (tmp_path / "conversations").mkdir()
        (tmp_path / "conversations" / "conversations.jsonl").write_text(content)
    with pytest.raises(ResultError, match="conversations"):
        read_conversations(tmp_path)


def test_the_whole_conversation_is_read_and_a_fact_is_as_old_as_what_came_after_it():
    lm = load_model("tiny-random", dtype="float32")
    said = [
        ("My code is 293.", "All right."),
        ("Tell me more.", "There is not much."),
        ("Ah.", "So."),
    ]
    facts = [Fact(turn=at, question="Which?", opening="It is", answer="293") for at in (0, 1)]
    answers, run = recall(
        lm, create_method("fullkv"), Conversation(turns=said, facts=facts), new_tokens=2
    )

    def tokens(turns):
        messages = [
            {"role": role, "content": text}
            for turn in turns
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
        return len(lm.tokenizer.apply_chat_template(messages, return_dict=False))

    assert run.tokens_seen == tokens(said)
    assert [one.ago for one in answers] == [tokens(said[1:]), tokens(said[2:])]


def test_early_facts_survive_in_the_summary_and_not_in_the_stream():
    lm, found = load_model(dtype="float32"), {}
    methods = {
        "streamingllm": create_method("streamingllm", budget=256),
        "summarykv": create_method(
            "summarykv", budget=256, segment=64, summary_tokens=96, summarizer="extractive"
        ),
    }
    for name, method in methods.items():
        answers = [
            a for one in read_conversations(place("data"))[:2] for a in recall(lm, method, one)[0]
        ]
        found[name] = sum(answer.found for answer in answers if answer.ago > 256)
    assert found["summarykv"] > found["streamingllm"] == 0
