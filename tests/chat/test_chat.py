"""A chat on one bounded cache: turns, what the cache holds, interruption, and saved chats."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from kvbook import create_method, load_model
from kvbook.chat import Chat
from kvbook.engine.cache import KVLayer
from kvbook.errors import ParameterError, ResultError, UnsupportedError


@pytest.fixture(scope="module")
def lm():
    return load_model(dtype="float32")  # the same words on every processor


def bounded(**parameters):
    own = dict(budget=96, segment=32, summary_tokens=32, summarizer="extractive") | parameters
    return create_method("summarykv", **own)


FIRST = "My locker code is 293. Please remember it."


def test_turns_are_what_the_template_says(lm):
    """Token by token the cache reads what the template writes for the whole conversation."""
    with Chat(lm, create_method("fullkv")) as chat:
        a = chat.say("Say hello.", max_new_tokens=12)
        b = chat.say("And now goodbye.", max_new_tokens=12)
        read = lm.tokenizer.decode(chat._ids + chat._pending)
    said = ["Say hello.", a, "And now goodbye.", b]
    messages = [
        {"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)
    ]
    assert read == lm.tokenizer.apply_chat_template(messages, tokenize=False)


def test_a_small_cache_recalls_through_its_summary(lm):
    pieces = []
    with Chat(lm, bounded(budget=128, segment=48, summary_tokens=48)) as chat:
        chat.say(FIRST, max_new_tokens=60)
        for text in ("How do I keep basil fresh?", "And what makes bread rise?"):
            chat.say(text, max_new_tokens=60, stream=pieces.append)
        contents = chat.contents()
        assert contents.entries <= 128 and "293" in contents.summary
        assert "293" not in contents.recent and "bread" in contents.recent
        assert "293" in chat.say("What is my locker code?", max_new_tokens=20)
    assert chat.turns[2].assistant.endswith("".join(pieces)[-20:].strip())


@pytest.mark.parametrize("name", ["fullkv", "streamingllm", "h2o", "summarykv"])
def test_a_saved_chat_goes_on_from_its_file(lm, tmp_path, name):
    method = (
        bounded()
        if name == "summarykv"
        else create_method(name, **({} if name == "fullkv" else {"budget": 64}))
    )
    path = tmp_path / "chat.kv"
    with Chat(lm, method) as chat:
        chat.say(FIRST, max_new_tokens=40)
        chat.say("How do I keep basil fresh?", max_new_tokens=40)
        chat.save(path)
        expected, contents = chat.say("Why?", max_new_tokens=20), chat.contents()
    with Chat.load(path, lm) as chat:
        assert chat.say("Why?", max_new_tokens=20) == expected
        assert chat.contents() == contents and len(chat.turns) == 3


@pytest.mark.parametrize("content", [b"", b"hello", "half", "foreign"])
def test_a_file_that_is_no_saved_chat_is_refused(lm, tmp_path, content):
    path = tmp_path / "chat.kv"
    with Chat(lm, bounded()) as chat:
        chat.say(FIRST, max_new_tokens=4)
        chat.save(path)
    if content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif content == "foreign":
        save_file({"a": chat.run.inv_freq.clone()}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ResultError, match="chat"):
        Chat.load(path, lm)


@pytest.mark.parametrize(
    "words, damage",
    [
        ("turns", lambda facts, tensors: facts.pop("turns")),
        ("state", lambda facts, tensors: facts.pop("state")),
        ("state.read_lengths", lambda facts, tensors: facts["state"].update(read_lengths="all")),
        ("ids", lambda facts, tensors: facts.update(ids=[*facts["ids"], 1])),
        ("ids", lambda facts, tensors: facts["ids"].__setitem__(0, 10**6)),
        ("turns.0.contents", lambda facts, tensors: facts["turns"][0].pop("contents")),
        ("part of its cache", lambda facts, tensors: tensors.pop("29/values")),
        ("part of its cache", lambda facts, tensors: tensors.update({"0/keys": tensors["0/keys"][:, :, 1:].clone()})),
    ],
)  # fmt: skip
def test_a_damaged_file_says_what_is_wrong(lm, tmp_path, words, damage):
    path, broken = tmp_path / "chat.kv", tmp_path / "broken.kv"
    with Chat(lm, bounded()) as chat:
        chat.say(FIRST, max_new_tokens=4)
        chat.save(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    facts = json.loads(metadata["facts"])
    damage(facts, tensors)
    save_file(tensors, broken, metadata | {"facts": json.dumps(facts)})
    with pytest.raises(ResultError, match=f"{words}.*save it again"):
        Chat.load(broken, lm)


def test_a_saved_chat_that_cannot_be_put_back_leaves_the_model_alone(lm, tmp_path, monkeypatch):
    path = tmp_path / "chat.kv"
    with Chat(lm, bounded()) as chat:
        chat.say(FIRST, max_new_tokens=4)
        chat.save(path)
    chat = Chat.load(path, lm)
    with monkeypatch.context() as patch:
        patch.setattr(KVLayer, "assign", lambda *args: torch.empty(10**15))  # out of memory
        with pytest.raises(RuntimeError, match="memory"), chat:
            pass
    with chat:
        assert len(chat.turns) == 1


def test_a_saved_chat_of_another_format_says_which(lm, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "old.kv", {"format": "kvbook-session-1"})
    with pytest.raises(ResultError, match="'kvbook-session-1', and 'kvbook-chat-4' is read"):
        Chat.load(tmp_path / "old.kv", lm)


def test_a_missing_file_and_another_model_are_refused(lm, tmp_path):
    with pytest.raises(ResultError, match="no saved chat at"):
        Chat.load(tmp_path / "none.kv", lm)
    with Chat(lm, bounded()) as chat:
        chat.save(tmp_path / "empty.kv")
    other = load_model("tiny-random")
    with pytest.raises(ParameterError, match="saved with"):
        Chat.load(tmp_path / "empty.kv", other)


def test_a_function_cannot_be_saved(lm, tmp_path):
    with Chat(lm, bounded(summarizer=lambda ids, most: ids[:most])) as chat:
        with pytest.raises(ParameterError, match="summarizer is a function"):
            chat.save(tmp_path / "chat.kv")
    assert not list(tmp_path.iterdir())


def test_an_interruption_within_a_summary_leaves_the_chat_as_it_was(lm):
    made, armed = [], []

    def impatient(ids, most):
        if armed:
            raise KeyboardInterrupt
        made.append(ids)
        return ids[:most]

    with Chat(lm, bounded(segment=16, summarizer=impatient)) as chat:
        chat.say(FIRST, max_new_tokens=40)
        chat.say("Go on.", max_new_tokens=40)
        assert made
        before = chat.contents()
        armed.append(True)
        with pytest.raises(KeyboardInterrupt):
            chat.say("How do I keep basil fresh?", max_new_tokens=60)
        armed.clear()
        assert chat.contents() == before and len(chat.turns) == 2
        answer = chat.say("And now?", max_new_tokens=8)
    with Chat(lm, bounded(segment=16, summarizer=impatient)) as fresh:  # as if nothing had happened
        fresh.say(FIRST, max_new_tokens=40)
        fresh.say("Go on.", max_new_tokens=40)
        assert fresh.say("And now?", max_new_tokens=8) == answer


@pytest.mark.parametrize("name", ["fullkv", "streamingllm"])
def test_a_saved_chat_of_one_answer_of_one_token_is_saved(lm, tmp_path, name):
    """Nothing has been decoded yet: the layers still share what the prompt left."""
    method = create_method(name, **({} if name == "fullkv" else {"budget": 8}))
    with Chat(lm, method) as chat:
        chat.say(FIRST, max_new_tokens=1)
        chat.save(tmp_path / "chat.kv")
        expected = chat.say("Why?", max_new_tokens=8)
    with Chat.load(tmp_path / "chat.kv", lm) as chat:
        assert chat.say("Why?", max_new_tokens=8) == expected


@pytest.mark.parametrize("budget, sinks", [(4, 4), (3, 8), (1, 1)])
def test_a_budget_that_the_sinks_fill_has_contents(lm, budget, sinks):
    with Chat(lm, bounded(budget=budget, sinks=sinks)) as chat:
        chat.say(FIRST, max_new_tokens=4)
        contents = chat.contents()
    assert contents.entries == budget and contents.recent == contents.summary == ""
    assert contents.waiting == len(chat._ids) - budget


def test_a_method_with_a_first_pass_is_refused(lm):
    with pytest.raises(UnsupportedError, match="gemfilter"):
        Chat(lm, create_method("gemfilter", budget=64))


def test_a_chat_is_one_block(lm):
    with Chat(lm, create_method("fullkv")) as chat:
        chat.say("Hello?", max_new_tokens=2)
    assert chat.contents().recent
    with pytest.raises(UnsupportedError, match="block has ended"):
        chat.say("Still there?")
    with pytest.raises(UnsupportedError, match="one `with` block"), chat:
        pass


@pytest.mark.parametrize("call, words", [("say", ["Hello?"]), ("contents", []), ("save", ["x.kv"])])
def test_outside_its_block_a_chat_says_where_to_talk(call, words, lm):
    with pytest.raises(UnsupportedError, match="with Chat"):
        getattr(Chat(lm, bounded()), call)(*words)


# ---- a turn that fails, and words that are none ---------------------------------------------------


@pytest.fixture
def tiny():
    """Its own each time, since tests change it."""
    return load_model("tiny-random", dtype="float32", device="cpu")


def fails(*_, **__):
    raise RuntimeError("failed")


class Breaks:
    """Takes so many pieces."""

    def __init__(self, pieces):
        self.left = pieces

    def __call__(self, piece):
        self.left -= 1
        if not self.left:
            fails()


FAILURES = {
    "an option that is refused": lambda chat, patch: {"return_dict_in_generate": True},
    "an option that transformers does not know": lambda chat, patch: {"temprature": 1.0},
    "no token is asked for": lambda chat, patch: {"max_new_tokens": 0},
    "a stream, at once": lambda chat, patch: {"stream": fails},
    "a stream, in the middle": lambda chat, patch: patch.setattr(
        "kvbook.chat.chat._Stream.put", Breaks(4)
    ) or {"stream": print},
    "a stream, at its end": lambda chat, patch: patch.setattr(
        "kvbook.chat.chat._Stream.end", fails
    ) or {"stream": print},
    "the template": lambda chat, patch: patch.setattr(chat, "_opening", fails),
    "the template behind the answer": lambda chat, patch: patch.setattr(chat, "_closing", fails),
    "the words of the answer": lambda chat, patch: patch.setattr(
        type(chat.lm.tokenizer), "decode", fails
    ),
    "what the cache holds": lambda chat, patch: patch.setattr(chat, "contents", fails),
    "Ctrl-C at the very end": lambda chat, patch: patch.setattr(
        "kvbook.chat.chat.Turn", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    ),
}  # fmt: skip


def test_a_turn_does_not_copy_the_cache(tiny):
    """That it can be taken back costs nothing: what is new stands behind what was there."""

    def stand(chat):
        return [layer.keys.data_ptr() for layer in chat.run.cache.layers]

    with Chat(tiny, create_method("fullkv")) as chat:
        chat.say("word " * 400, max_new_tokens=4)
        before = stand(chat)
        chat.say("And now?", max_new_tokens=4)
        assert stand(chat) == before


@pytest.mark.parametrize("name", ["fullkv", "streamingllm", "summarykv"])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_turn_that_fails_anywhere_leaves_the_chat_as_it_was(tiny, failure, name):
    method = (
        bounded(segment=16, summarizer="model")
        if name == "summarykv"
        else create_method(name, **({} if name == "fullkv" else {"budget": 64}))
    )
    answers = []
    for broken in (False, True):
        with Chat(tiny, method) as chat:
            chat.say("Hello there!", max_new_tokens=9)
            before = list(chat._ids), list(chat._pending), chat.contents(), list(chat.turns)
            if broken:
                with pytest.MonkeyPatch.context() as patch:
                    options = {"max_new_tokens": 9} | (FAILURES[failure](chat, patch) or {})
                    with pytest.raises((Exception, KeyboardInterrupt)):
                        chat.say("Again, please.", **options)
            assert (chat._ids, chat._pending, chat.contents(), chat.turns) == before
            answers.append((chat.say("And now?", max_new_tokens=9), chat._ids))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "said, why",
    [
        (5, "is int, '5': give a text"),
        (None, "is NoneType"),
        (b"hello", "is bytes"),
        (["hello"], "is list"),
        ("caf\ud83d", r"half a character, '\\ud83d' at position 3"),
        ("\udc00", "half a character"),
    ],
)
def test_what_is_no_text_is_refused_before_anything_runs(tiny, monkeypatch, said, why):
    with Chat(tiny, create_method("fullkv")) as chat:
        monkeypatch.setattr(tiny.model, "generate", None)
        with pytest.raises(ParameterError, match=why):
            chat.say(said)
        assert chat.turns == []


@pytest.mark.parametrize(
    "said",
    ["", " \n", "\x00", "\u2028", "\ufeffHello", "\ufffd", "🦊 né 缓存", "<|im_end|>", '"}{"'],
)
def test_what_is_saved_can_be_loaded(tiny, tmp_path, said):
    with Chat(tiny, create_method("streamingllm", budget=64)) as chat:
        chat.say(said, max_new_tokens=5)
        chat.save(tmp_path / "chat.kv")
        expected = chat.say(said, max_new_tokens=5)
    with Chat.load(tmp_path / "chat.kv", tiny) as chat:
        assert chat.turns[0].user == said and chat.say(said, max_new_tokens=5) == expected


def test_a_chat_that_is_asked_to_sample_does(tiny):
    """By what the user gives: the model's own settings would always draw the first."""
    tiny.model.generation_config.top_k = 1
    said = set()
    for seed in range(4):
        torch.manual_seed(seed)
        with Chat(tiny, create_method("fullkv")) as chat:
            said.add(chat.say("Hello?", max_new_tokens=6, do_sample=True, temperature=2.0))
    assert len(said) > 1


# ---- a saved chat after what it depends on has changed --------------------------------------------


def with_noise(lm):
    with torch.no_grad():
        lm.model.lm_head.weight[:, 3] *= -1


def of_bytes_and(lm, **changes):
    """The tokenizer with other special tokens or another template."""
    from transformers import PreTrainedTokenizerFast

    words = lm.tokenizer.backend_tokenizer
    given = {"eos_token": "<|im_end|>", "chat_template": lm.tokenizer.chat_template} | changes
    object.__setattr__(lm, "tokenizer", PreTrainedTokenizerFast(tokenizer_object=words, **given))


CHANGED = {
    "weights": with_noise,
    "weights, dtype": lambda lm: lm.model.to(torch.bfloat16),
    "weights of another configuration": lambda lm: setattr(lm.model.config, "rms_norm_eps", 1e-3),
    "tokenizer": lambda lm: of_bytes_and(lm, eos_token="<|im_start|>"),
    "chat template": lambda lm: setattr(
        lm.tokenizer, "chat_template", lm.tokenizer.chat_template.replace("user", "human") + " "
    ),
}
SAME = {
    "its name": lambda lm: object.__setattr__(lm, "name", "moved/elsewhere"),
    "how it would generate": lambda lm: setattr(lm.model.generation_config, "num_beams", 4),
    "how attention is computed": lambda lm: lm.model.set_attn_implementation("eager"),
    "the last padding": lambda lm: lm.tokenizer(["a", "b c"], padding=True, truncation=True),
}


@pytest.fixture
def saved(tmp_path):
    lm = load_model("tiny-random", dtype="float32", device="cpu")
    with Chat(lm, create_method("fullkv")) as chat:
        chat.say("My code is 293.", max_new_tokens=6)
        chat.save(tmp_path / "chat.kv")
    return tmp_path / "chat.kv"


@pytest.mark.parametrize("what", CHANGED)
def test_a_saved_chat_does_not_go_on_with_something_else(tiny, saved, what):
    CHANGED[what](tiny)
    named = what.removesuffix(" of another configuration")
    with pytest.raises(ParameterError, match=f"chat.kv was saved with.*not the same {named}: load"):
        Chat.load(saved, tiny)


@pytest.mark.parametrize("what", SAME)
def test_a_saved_chat_goes_on_with_the_same(tiny, saved, what):
    SAME[what](tiny)
    with Chat.load(saved, tiny) as chat:
        assert len(chat.turns) == 1 and chat.say("What is it?", max_new_tokens=3) is not None
