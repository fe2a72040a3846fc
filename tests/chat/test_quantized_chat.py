"""A chat whose entries are packed: its turns, and that it is not written to a file."""

import pytest

from kvbook import create_method, load_model
from kvbook.chat import Chat
from kvbook.engine.packed import PackedLayer
from kvbook.errors import ParameterError
from kvbook.methods import Method, Quantized


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny-random", dtype="float32", device="cpu")


def quantized(**parameters):
    return Quantized(create_method("snapkv", budget=48), **({"bits": 2, "group": 8} | parameters))


def talk(chat):
    return [chat.say(said, max_new_tokens=9) for said in ("Hello there!", "And now?", "Why?")]


def test_its_contents_are_those_of_the_method_inside(tiny):
    contents = {}
    for method in (quantized(bits=8), create_method("snapkv", budget=48)):
        with Chat(tiny, method) as chat:
            chat.say("Hello there! " * 8, max_new_tokens=1)
            contents[method.name] = chat.contents()
    mine, its = contents["quantized"], contents["snapkv"]
    assert mine.recent == its.recent and mine.entries == its.entries
    assert mine.kv_bytes < its.kv_bytes / 2


def test_a_turn_that_is_interrupted_leaves_the_chat_as_it_was(tiny):
    def stop(piece):
        raise KeyboardInterrupt

    with Chat(tiny, quantized()) as chat:
        expected = talk(chat)
    with Chat(tiny, quantized()) as chat:
        said = [chat.say("Hello there!", max_new_tokens=9)]
        before = chat.contents()
        with pytest.raises(KeyboardInterrupt):
            chat.say("Tell me more.", max_new_tokens=9, stream=stop)
        assert chat.contents() == before
        said += [chat.say(one, max_new_tokens=9) for one in ("And now?", "Why?")]
    assert said == expected


class Packing(Method, listed=False):
    """A method of your own that packs."""

    name = "packing"

    def make_layer(self):
        return PackedLayer(8, 8)


@pytest.mark.parametrize("method", [quantized(), Packing()], ids=["quantized", "packing"])
@pytest.mark.parametrize("turns", [0, 1])
def test_it_cannot_be_saved_and_leaves_no_file(tiny, tmp_path, method, turns):
    with Chat(tiny, method) as chat:
        for _ in range(turns):
            chat.say("Hello there!", max_new_tokens=9)
        with pytest.raises(ParameterError, match=method.name):
            chat.save(tmp_path / "chat.kv")
        assert not list(tmp_path.iterdir())
        chat.say("And now?", max_new_tokens=9)
        assert len(chat.turns) == turns + 1


def test_a_file_that_is_there_is_left_alone(tiny, tmp_path):
    path = tmp_path / "chat.kv"
    with Chat(tiny, "fullkv") as chat:
        expected = chat.say("Hello there!", max_new_tokens=9)
        chat.save(path)
    with Chat(tiny, quantized()) as chat:
        chat.say("Something else.", max_new_tokens=9)
        with pytest.raises(ParameterError):
            chat.save(path)
    with Chat.load(path, tiny) as chat:
        assert [one.assistant for one in chat.turns] == [expected]
