"""The pictures and sentences of llama.cpp's chapter say what the numbers say."""

import pytest
from tables import cells

from kvbook import show


def kept(method, cache, how="shift", kl=(0.1,) * 9, needles=(True, False), facts=(True, False)):
    return {
        "method": method,
        "cache": cache,
        "how": how,
        "fidelity": [{"kl": one, "agreement": 1.0, "bytes": 2**20} for one in kl],
        "needles": list(needles),
        "needle_bytes": 2**20 if cache == "f16" else 2**18,
        "facts": [{"found": one, "ago": 10} for one in facts],
        "recall_bytes": 2**20,
    }


GRID = {
    "q4_1, cache f16, full": kept("fullkv", "f16", kl=[0.01] * 9),
    "q4_1, cache q4_0, full": kept("fullkv", "q4_0", kl=[0.2] * 9),
    "q4_1, cache f16, StreamingLLM": kept("streamingllm", "f16", facts=[False, False]),
    "q4_1, cache f16, SummaryKV": kept("summarykv", "f16"),
    "q4_1, cache f16, SummaryKV, read again": kept("summarykv", "f16", "reread"),
}
COSTS = [
    {
        "engine": engine,
        "context": context,
        "threads": 1,
        "prefill": [seconds * context / 512],
        "decode": [seconds / 10, seconds / 20, seconds / 5],
        "cpu": [seconds],
        "peak": [peak * 2**20],
    }
    for context in (512, 1024)
    for engine, seconds, peak in (
        ("transformers, float32", 2, 1200),
        ("kvbook, FullKV, float32", 2, 1000),
        ("llama.cpp, q4_1, cache f16", 4, 200),
    )
]
MOVING = {"f16": {"nothing": [0.010], "shift": [0.012], "reread": [0.030]}}


def test_boxes_stand_at_their_positions():
    figure = show.slots({"before": [("sinks", 0), ("recent", 3)], "after": [("recent", 1)]})
    boxes = [(one.get_x(), one.get_y()) for one in figure.axes[0].patches]
    assert boxes == [(0, 0), (3, 0), (1, -1)]
    assert [one.get_text() for one in figure.axes[0].texts] == ["before", "0", "3", "after", "1"]


def test_a_mark_stands_at_its_bytes():
    left, middle, right = show.device_grid(GRID, 0).axes
    points = [one.lines[0].get_xydata().tolist()[0] for one in middle.containers]
    assert points[:2] == [[1.0, 0.5], [0.25, 0.5]]
    assert len(left.containers) == len(right.containers) == len(GRID)


def test_the_table_has_the_same_numbers():
    rows = cells(show.device_table(GRID, 0, "x"))
    assert len(rows) == 1 + len(GRID)
    assert rows[1][1] == "1.00" and rows[1][2].startswith("0.0100")
    assert rows[1][3].startswith("1 of 2")


def test_sentences_compare_bits_and_entries():
    told = str(show.device_sentences(GRID, 0)).splitlines()
    assert "q4_0 has 25% of the bytes of f16" in told[0]
    assert "0.2000 beside 0.0100, larger. It finds 1 of 2 needles (f16: 1)" in told[0]
    assert "facts that it recalls is 0.50 beside 0.50: with 2 items no difference" in told[0]
    assert "SummaryKV recalls is 0.50 beside 0.00: with 2 items no difference" in told[-1]


def test_a_full_cache_in_few_bits_stands_beside_a_bounded_one_in_many():
    nine = {"needles": [True] * 9, "facts": [True] * 9}
    grid = {
        "q4_1, cache f16, full": kept("fullkv", "f16", kl=[0.01] * 9, **nine),
        "q4_1, cache q4_0, full": kept("fullkv", "q4_0", kl=[0.2] * 9, **nine),
        "q4_1, cache f16, SummaryKV": kept(
            "summarykv", "f16", kl=[1.5] * 9, needles=[False] * 9, facts=[True] * 9
        ),
    }
    _, told = str(show.device_sentences(grid, 0)).splitlines()
    assert "the full cache in q4_0 has 0.25 times the bytes of SummaryKV's in f16" in told
    assert "from float32 is 0.2000 beside 1.5000, smaller" in told
    assert "needles that it finds is 1.00 beside 0.00, larger" in told


def test_two_engines_say_the_same_token_every_time_or_a_share_of_it():
    same = {"a": {"kl": 2e-9, "same": 1.0}, "b": {"kl": 1e-10, "same": 1.0}}
    told = str(show.same_sentence(same))
    assert "every time" in told and "2e-09 nats" in told
    same["b"]["same"] = 0.75
    assert "in 75% of all cases or more" in str(show.same_sentence(same))


@pytest.mark.parametrize(
    "answer, held, words",
    [
        ("It is 293.", "code 293", ["**Right:**", "still in the cache"]),
        ("It is blue.", "code 293", ["**Wrong:**", "still in the cache"]),
        (
            "It is blue.",
            "bicycles",
            ["**Wrong:** the last answer should have 293", "not even in the summary"],
        ),
    ],
)
def test_an_answer_is_called_right_or_wrong(answer, held, words):
    told = str(show.recalled_sentence(answer, held, "293"))
    assert all(word in told for word in words)


def test_a_drifts_sentence_is_of_the_last_quarter():
    curves = {
        "f16, shifted": {"cache": "f16", "how": "shift", "kl": [0, 0, 0, 0.5]},
        "f16, read again": {"cache": "f16", "how": "reread", "kl": [0, 0, 0, 0.25]},
    }
    told = str(show.drift_sentence(curves))
    assert "of 4 tokens" in told
    assert "- f16: 0.5000 nats where keys are shifted, 0.2500 where" in told
    assert "a ratio of 2.0." in told
    [axes] = show.drift(curves).axes
    assert [one.get_label() for one in axes.lines] == list(curves)


def test_costs_have_their_spread_and_their_sources():
    rows = cells(show.device_costs(COSTS, "x", lambda text: f"<{text}>"))
    assert rows[3][1:3] == ["512", "1"]
    assert rows[3][3:] == [
        "&lt;128&gt;",
        "&lt;400.0 (200.0 to 800.0)&gt;",
        "&lt;4.0&gt;",
        "&lt;200&gt;",
    ]


def test_memory_has_a_line_an_engine():
    [axes] = show.device_memory(COSTS).axes
    assert [line.get_ydata().tolist() for line in axes.lines][1:] == [[1000, 1000], [200, 200]]


def test_sentences_of_the_costs_are_of_the_longest_prompt():
    other = COSTS[-1] | {"engine": "llama.cpp, q4_1, cache q4_0", "prefill": [24], "peak": [2**20]}
    two = [one | {"threads": 2} for one in COSTS]
    told = str(show.cost_sentences([*COSTS, other, *two], MOVING, 256)).splitlines()
    assert told[0] == (
        "- *llama.cpp, q4_1, cache f16* beside *kvbook, FullKV, float32*, 1,024 tokens, threads: 1: 2.00 times "
        "the time to read, 2.00 times the time to write a token, 0.20 times the peak of the process."
    )
    assert "cache q4_0* beside *llama.cpp, q4_1, cache f16*" in told[1] and "3.00 times" in told[1]
    assert "threads: 2" in told[2]
    assert (
        "10.0 ms if nothing leaves; shifting the recent entries changes that by +2.0 ms" in told[3]
    )
    assert "the sinks again by +20.0 ms." in told[3]
    assert len(told) == 4


def test_one_item_has_no_interval():
    one = {label: found | {"facts": found["facts"][:1]} for label, found in GRID.items()}
    assert "(one item: no interval)" in str(show.device_sentences(one, 0))


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0", "q4_0"])
def test_every_type_has_a_colour(kind):
    from kvbook.show.ondevice import TYPES

    assert kind in TYPES
