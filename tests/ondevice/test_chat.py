"""Conversations in llama.cpp: they say what the package's say, and survive an error, a file and a fool."""

import json

import pytest
from finetune.rows import chat

from kvbook import create_method, load_model
from kvbook.chat import Chat
from kvbook.errors import ParameterError, ResultError, UnsupportedError
from kvbook.finetune.config import read_config
from kvbook.finetune.merge import merge
from kvbook.finetune.train import train
from kvbook.ondevice import DeviceChat

WORDS = ["My locker code is 293.", "Tell me about tea.", "缓存 🍜?", "What is my locker code?"]


def first_word(ids, most):
    return ids[:most]


METHODS = {
    "fullkv": create_method("fullkv"),
    "streamingllm": create_method("streamingllm", budget=40),
    "summarykv": create_method(
        "summarykv", budget=48, summary_tokens=12, segment=16, summarizer=first_word
    ),
    "summarykv, model": create_method("summarykv", budget=48, summary_tokens=12, segment=16),
}


def device_chat(name, folder, **settings):
    settings = dict(weights="f32", cache="f32", flash="off", threads=1, entries=1024) | settings
    return DeviceChat(METHODS[name], folder, **settings)


@pytest.fixture(autouse=True, scope="module")
def cache(environment, tmp_path_factory):
    """Every test here runs llama.cpp, on files in a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVBOOK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("name", METHODS)
def test_a_chat_says_what_the_packages_says(name, lm, folder):
    with Chat(lm, METHODS[name]) as theirs, device_chat(name, folder) as ours:
        for text in WORDS:
            assert ours.say(text, max_new_tokens=12) == theirs.say(text, max_new_tokens=12)
        if name.startswith("summarykv"):
            assert ours.contents().summary == theirs.contents().summary != ""
            assert ours.contents().entries == theirs.contents().entries


def test_pieces_that_are_streamed_are_the_answer(folder):
    with device_chat("streamingllm", folder) as chat:
        pieces = []
        answer = chat.say("Say something.", max_new_tokens=16, stream=pieces.append)
    assert "".join(pieces).strip() == answer


@pytest.mark.parametrize("how", ["shift", "reread"])
@pytest.mark.parametrize("name", ["fullkv", "summarykv, model"])
def test_a_saved_chat_goes_on_as_if_it_had_not_stopped(name, how, folder, tmp_path):
    path = tmp_path / "chat"
    with device_chat(name, folder, how=how) as chat:
        for text in WORDS[:2]:
            chat.say(text, max_new_tokens=8)
        chat.save(path)
        told = [chat.say(text, max_new_tokens=8) for text in WORDS[2:]]
        held = chat.contents()
    with DeviceChat.load(path, folder, threads=1) as again:
        assert [one.user for one in again.turns] == WORDS[:2]
        assert [again.say(text, max_new_tokens=8) for text in WORDS[2:]] == told
        assert again.contents() == held


@pytest.mark.parametrize("how", ["shift", "reread"])
@pytest.mark.parametrize("cache", ["f16", "q8_0", "q4_0"])
def test_entries_of_every_type_come_back_bit_for_bit(cache, how, folder, tmp_path):
    path = tmp_path / "chat"
    with device_chat("streamingllm", folder, cache=cache, how=how, flash="auto") as chat:
        for text in WORDS:
            chat.say(text, max_new_tokens=8)
        chat.save(path)
        state = chat._cache.mark().state
    with DeviceChat.load(path, folder, threads=1) as again:
        assert again._cache.mark().state == state


def test_a_chat_can_be_saved_before_its_first_turn(folder, tmp_path):
    with device_chat("streamingllm", folder) as chat:
        chat.save(tmp_path / "chat")
        told = chat.say(WORDS[0], max_new_tokens=8)
    with DeviceChat.load(tmp_path / "chat", folder, threads=1) as again:
        assert again.say(WORDS[0], max_new_tokens=8) == told


@pytest.mark.parametrize("name", ["fullkv", "streamingllm", "summarykv"])
def test_a_turn_that_is_stopped_leaves_the_chat_as_it_was(name, folder):
    class Stopped(Exception):
        pass

    def stop(piece):
        raise Stopped

    with device_chat(name, folder) as chat:
        chat.say(WORDS[0], max_new_tokens=8)
        with pytest.raises(Stopped):
            chat.say(WORDS[1], max_new_tokens=8, stream=stop)
        assert len(chat.turns) == 1
        after = chat.say(WORDS[1], max_new_tokens=8)
    with device_chat(name, folder) as chat:
        chat.say(WORDS[0], max_new_tokens=8)
        assert chat.say(WORDS[1], max_new_tokens=8) == after


def test_a_full_cache_refuses_a_turn_that_does_not_fit_and_keeps_the_others(folder):
    with device_chat("fullkv", folder, entries=256) as chat:
        chat.say("Hello.", max_new_tokens=8)
        with pytest.raises(ParameterError, match="more entries, or take a method"):
            chat.say("word " * 60, max_new_tokens=8)
        assert chat.say("Hello again.", max_new_tokens=8) is not None
        assert len(chat.turns) == 2


def test_a_fine_tuned_model_says_what_it_says_in_the_package(folder, tmp_path):
    rows, words = [chat("headache", "Rest, and drink water.")] * 4, "I have a headache."
    config = read_config(bf16=False, max_steps=6, learning_rate=1e-2, warmup_steps=0.0)
    trained = train(str(folder), rows, rows[:1], tmp_path / "run", config=config, progress=False)
    merged = merge(trained.adapter, tmp_path / "merged")
    lm, method = load_model(str(merged), dtype="float32", device="cpu"), METHODS["fullkv"]
    settings = dict(weights="f32", cache="f32", flash="off", threads=1)
    with Chat(lm, method) as theirs, DeviceChat(method, merged, **settings) as ours:
        told = ours.say(words, max_new_tokens=12)
        assert told == theirs.say(words, max_new_tokens=12)
    with device_chat("fullkv", folder) as before:
        assert before.say(words, max_new_tokens=12) != told


# ---- files -----------------------------------------------------------------------------------------


@pytest.fixture
def saved(folder, tmp_path):
    path = tmp_path / "chat"
    with device_chat("streamingllm", folder, flash="auto") as chat:
        chat.say(WORDS[0], max_new_tokens=8)
        chat.save(path)
    return path


def change(path, **facts):
    header, _, state = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps(json.loads(header) | facts).encode() + b"\n" + state)


def test_a_truncated_file_is_refused_by_name(saved, folder):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ResultError, match="truncated or damaged"):
        DeviceChat.load(saved, folder)


def test_a_file_of_another_kind_is_refused_by_name(saved, folder):
    saved.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ResultError, match="is no chat in llama.cpp"):
        DeviceChat.load(saved, folder)


def test_a_header_that_is_damaged_is_refused_by_name(saved, folder):
    change(saved, pending="none")
    with pytest.raises(ResultError, match="is damaged"):
        DeviceChat.load(saved, folder)


def test_a_file_of_another_llamacpp_is_refused_by_name(saved, folder):
    change(saved, version="1.0")
    with pytest.raises(ResultError, match=r"saved by llama.cpp 1\.0"):
        DeviceChat.load(saved, folder)


def test_a_file_of_another_model_is_refused_by_name(saved, folder):
    change(saved, gguf="00000000")
    with pytest.raises(ParameterError, match="another model"):
        DeviceChat.load(saved, folder)


@pytest.mark.parametrize("entry", [{"cache": "q4_0"}, {"cache": "f16"}])
def test_entries_of_another_type_are_never_taken(entry, saved, folder):
    settings = json.loads(saved.read_bytes().partition(b"\n")[0])["settings"]
    change(saved, settings=settings | entry)
    with pytest.raises(ParameterError, match="does not take these entries"):
        with DeviceChat.load(saved, folder, threads=1):
            pass


def test_a_function_of_ones_own_cannot_be_saved(folder, tmp_path):
    with device_chat("summarykv", folder) as chat:
        with pytest.raises(ParameterError, match="a function of yours"):
            chat.save(tmp_path / "chat")
    assert not (tmp_path / "chat").exists()


# ---- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"cache": "int4"}, "cache='int4': give"),
        ({"how": "move"}, "how='move': give"),
        ({"summarizer": "mine"}, "summarizer='mine': give"),
        ({"weights": "q2"}, "weights='q2': give"),
        ({"entries": 0}, "at least 1"),
        ({"flash": "yes"}, "flash='yes': give"),
    ],
)
def test_a_setting_that_is_not_allowed_is_refused_before_anything_starts(settings, words, folder):
    with pytest.raises(ParameterError, match=words):
        DeviceChat(METHODS["streamingllm"], folder, **settings)


def test_a_chat_outside_its_block_says_what_to_do(folder):
    chat = device_chat("streamingllm", folder)
    with pytest.raises(UnsupportedError, match="within the chat's block"):
        chat.say("Hello.")
    with chat:
        with pytest.raises(ParameterError, match="at least 1"):
            chat.say("Hello.", max_new_tokens=0)
        with pytest.raises(ParameterError, match="give a text"):
            chat.say(3)
