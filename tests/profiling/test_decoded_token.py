"""One decoded token: its operations are sorted by kind, and nothing is lost between them."""

import time
from dataclasses import astuple

import pytest

from kvbook import load_model
from kvbook.profiling.decoded_token import take_token_apart
from kvbook.profiling.timing import read_text


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32")


def test_every_part_takes_some_time_and_all_together_no_more_than_the_watch_says(lm):
    started = time.perf_counter()
    token = take_token_apart(lm, "fullkv", read_text(lm, 100), steps=8)
    whole = time.perf_counter() - started
    assert min(astuple(token)) > 0
    assert 8 * sum(astuple(token)) < whole


def test_attention_grows_with_the_cache_and_products_do_not(lm):
    """The least of several: another process may come between."""
    short, long = (
        [take_token_apart(lm, "fullkv", read_text(lm, n), steps=2) for _ in range(6)]
        for n in (50, 6000)
    )
    assert min(one.attention for one in long) > 3 * min(one.attention for one in short)
    assert min(one.products for one in long) < 3 * min(one.products for one in short)


def test_the_profiler_says_nothing(lm, capfd):
    take_token_apart(lm, "fullkv", read_text(lm, 20), steps=1)
    assert capfd.readouterr() == ("", "")
