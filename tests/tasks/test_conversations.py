"""Conversations: the file is what the seed gives, and recall is measured on the real model."""

import pytest

from kvbook import create_method, load_model
from kvbook.errors import ParameterError, ResultError
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
    talk = Conversation(turns=said, facts=facts)
    [answers], [run] = recall(lm, {"full": create_method("fullkv")}, [talk], new_tokens=2)["full"]

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
    lm = load_model(dtype="float32")
    methods = {
        "streamingllm": create_method("streamingllm", budget=256),
        "summarykv": create_method(
            "summarykv", budget=256, segment=64, summary_tokens=96, summarizer="extractive"
        ),
    }
    recalled = recall(lm, methods, read_conversations(place("data"))[:2])
    found = {
        name: sum(one.found for told in answers for one in told if one.ago > 256)
        for name, (answers, _) in recalled.items()
    }
    assert found["summarykv"] > found["streamingllm"] == 0


def test_what_is_read_together_is_recalled_as_alone():
    """Methods with and without summaries; conversations of unequal turns, and of unequally many."""
    lm = load_model("tiny-random", dtype="float32")
    methods = {
        "all": create_method("fullkv"),
        "ends": create_method("streamingllm", budget=40),
        "notes": create_method("summarykv", budget=60, segment=20, summary_tokens=20),
        "short": create_method("summarykv", budget=40, segment=20, summary_tokens=10),
    }
    talks = [make_conversations(1, turns, 2, seed)[0] for seed, turns in enumerate((6, 5, 6))]
    together = recall(lm, methods, talks, new_tokens=3)
    for name, (answers, runs) in together.items():
        for talk, told, run in zip(talks, answers, runs, strict=True):
            [alone], [own] = recall(lm, {name: methods[name]}, [talk], new_tokens=3)[name]
            assert alone == told
            assert (run.tokens_seen, run.kv_bytes) == (own.tokens_seen, own.kv_bytes)
            assert [one.ids for one in run.summaries] == [one.ids for one in own.summaries]


def test_a_conversation_without_facts_is_read():
    lm = load_model("tiny-random", dtype="float32")
    talk = Conversation(turns=[("Hello.", "Hello.")], facts=[])
    answers, [run] = recall(lm, {"all": create_method("fullkv")}, [talk])["all"]
    assert answers == [[]] and run.tokens_seen > 0


def test_no_conversation_is_refused():
    with pytest.raises(ParameterError, match="at least one"):
        recall(load_model("tiny-random"), {"all": create_method("fullkv")}, [])
