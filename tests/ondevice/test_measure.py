"""What is measured of caches in llama.cpp: nothing where they are the same, and something where not."""

import pytest

from kvbook import create_method
from kvbook.errors import ParameterError
from kvbook.ondevice.cost import entry_bytes, measure_costs, price_of_moving, seconds_a_token
from kvbook.ondevice.measure import Kept, compare, find_needles, measure_drift, recall
from kvbook.tasks.conversations import Conversation, Fact
from kvbook.tasks.needle import Needle

IDS = list(range(2, 120))
WINDOW = create_method("streamingllm", budget=20)


def test_methods_in_float32_are_the_packages(lm, llama):
    found = compare(llama, lm, {"full": create_method("fullkv"), "window": WINDOW}, IDS[:80], 60)
    assert set(found) == {"full", "window"}
    assert all(one["kl"] < 1e-6 and one["same"] == 1 for one in found.values())


def test_a_window_drifts_in_few_bits_and_not_in_float32(lm, llama):
    ways = {
        "f32": Kept(WINDOW, "f32", flash="off", step=1),
        "q4_0": Kept(WINDOW, "q4_0", step=1),
    }
    found = measure_drift(llama, lm.tokenizer, ways, IDS, 30)
    assert len(found["q4_0"]["kl"]) == len(IDS) - 30
    assert max(found["f32"]["kl"]) < 1e-6 < 1e-3 < max(found["q4_0"]["kl"])


def test_needles_and_facts_are_asked_of_every_way(lm, llama):
    needle = Needle("The number is 12. The number is", " 12", 0.5, 10)
    hits, size = find_needles(llama, lm.tokenizer, Kept(WINDOW), [needle, needle])
    assert len(hits) == 2 and hits[0] == hits[1] and size > 0
    talk = Conversation(
        turns=[("My cat is Tom.", "Fine."), ("And now?", "Now tea.")],
        facts=[Fact(turn=0, question="Who?", opening="It is", answer="Tom")],
    )
    for method in (WINDOW, create_method("fullkv")):
        [fact], size = recall(llama, lm.tokenizer, Kept(method), [talk])
        after = "<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\nNow tea.<|im_end|>\n"
        assert fact["ago"] == len(llama.tokenize(after))


def test_the_price_of_moving_has_a_time_a_token(llama):
    found = price_of_moving(llama, IDS, 20, "f16", 5)
    assert {name: len(times) for name, times in found.items()} == dict.fromkeys(
        ("nothing", "shift", "reread"), 5
    )


def test_too_few_tokens_are_refused_before_anything_starts(folder):
    with pytest.raises(ParameterError, match="118 tokens are not enough for a prompt of 4096"):
        measure_costs(folder, {}, IDS, contexts=[64, 4096])


def test_bytes_and_seconds_on_paper():
    assert entry_bytes(30, 3, 64, "f16") == 2 * 30 * 3 * 64 * 2
    assert entry_bytes(1, 1, 32, "q4_0") == 2 * 18
    assert seconds_a_token(80e6, 20e6, 1e9) == pytest.approx(0.1)
