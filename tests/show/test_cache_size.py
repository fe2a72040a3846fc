"""How large a cache grows, in a table and as lines."""

from types import SimpleNamespace

import pytest
from tables import cells

from kvbook import show
from kvbook.lm.costs import SHAPES


def test_a_model_has_what_decides_its_cache_and_its_size():
    rows = cells(show.cache_table({"Qwen3-0.6B": SHAPES["Qwen3-0.6B"]}, [1024], ""))
    assert rows[0][5] == "1,024 tokens"
    assert rows[1] == ["Qwen3-0.6B", "28", "8", "128", "114,688", "112 MiB"]


def test_the_cache_is_a_line_and_the_weights_a_level():
    cache, weights, *_ = show.cache_and_weights(SHAPES, [1024, 2048]).axes[0].lines
    name, shape = next(iter(SHAPES.items()))
    assert (cache.get_label(), weights.get_label()) == (f"{name}: cache", f"{name}: weights")
    assert cache.get_ydata()[1] == 2 * cache.get_ydata()[0]
    assert weights.get_ydata()[0] == pytest.approx(2 * shape.parameters / 2**20)


def test_a_run_is_what_it_holds_and_what_it_took():
    run = SimpleNamespace(
        kv_lengths=[7], kv_bytes=1234, kv_bytes_peak=5678, prefill_seconds=0.5, decode_seconds=0.6,
        decode_tokens=3,
    )  # fmt: skip
    assert cells(show.record_table(run, ""))[1] == [
        "7",
        "1,234",
        "5,678",
        "0.50 s",
        "200 ms a token",
    ]


def test_the_cache_is_said_beside_the_weights():
    told = str(show.cache_sentence({"Qwen3-0.6B": SHAPES["Qwen3-0.6B"]}, [1024, 131072]))
    times = 114688 * 131072 / (2 * SHAPES["Qwen3-0.6B"].parameters)
    assert told == (
        "- Qwen3-0.6B: 114,688 bytes a token; at 131,072 tokens the cache has "
        f"{times:.1f} times the bytes of the weights."
    )
