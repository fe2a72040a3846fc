"""What is measured within a time: estimates by the cost model, and repeats that pair."""

import time

import pytest

from kvbook import create_method, load_model
from kvbook.profiling import memory
from kvbook.profiling.hardware import Hardware
from kvbook.profiling.timing import Measurement, turns
from kvbook.profiling.within import NO_TIME, LeftOut, Within

MACHINE = Hardware("one", 1e9, 1e9, 1e9)
METHODS = {"fullkv": create_method("fullkv"), "h2o": create_method("h2o", budget=0.5)}


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32", device="cpu")


@pytest.fixture
def within(lm, monkeypatch):
    monkeypatch.setattr(memory, "measures_memory", lambda: False)
    return Within(lm, METHODS, 3, MACHINE)


def took(method, context, *seconds):
    return Measurement(method, context, 3, prefill=seconds, end_to_end=seconds)


def test_before_anything_ran_the_estimate_is_the_paper(within):
    assert within.estimate(64, "h2o") == within.paper(64, "h2o").seconds > 0


def test_a_method_takes_as_many_times_its_paper_as_at_its_longest_context(lm, within):
    paper = within.paper
    done = [
        took("h2o", 64, 50 * paper(64, "h2o").seconds),
        took("h2o", 128, 2 * paper(128, "h2o").seconds, 3 * paper(128, "h2o").seconds),
        took("fullkv", 128, 7 * paper(128, "fullkv").seconds),
    ]
    later = Within(lm, METHODS, 3, MACHINE, done)
    assert later.estimate(1024, "h2o") == pytest.approx(3 * paper(1024, "h2o").seconds)


def test_one_that_never_ran_takes_what_the_slowest_did(lm, within):
    done = [took("h2o", 64, 5 * within.paper(64, "h2o").seconds)]
    later = Within(lm, METHODS, 3, MACHINE, done)
    assert later.estimate(64, "fullkv") == pytest.approx(5 * within.paper(64, "fullkv").seconds)


def test_a_method_that_has_no_time_once_has_none_later(within):
    """H2O's next run would take too long, and FullKV's would not."""
    kept = []
    h2o = within.paper
    within.paper = lambda context, name: h2o(10**6 if name == "h2o" else context, name)
    until = time.monotonic() + 3600
    within.measure(
        list(METHODS), [64, 48], 2, until, lambda: kept.append(len(within.measurements)), False
    )
    assert [(one.method, one.context_length, len(one.prefill)) for one in within.measurements] == [
        ("fullkv", 48, 2), ("fullkv", 64, 2),
    ]  # fmt: skip
    assert within.left_out == [LeftOut("h2o", 48, 2, NO_TIME), LeftOut("h2o", 64, 2, NO_TIME)]
    assert kept == [1, 1, 2, 2, 2]  # after every run, and at the end


def test_what_is_there_is_not_measured_again(lm, within):
    within.measure(["fullkv"], [48], 3, time.monotonic() + 3600, lambda: None, False)
    later = Within(lm, METHODS, 3, MACHINE, within.measurements)
    later.measure(["fullkv"], [48], 3, time.monotonic(), lambda: None, False)
    assert later.measurements == within.measurements and later.left_out == []


def test_repeats_are_joined_one_after_the_other():
    first = Measurement("m", 9, 3, (1.0,), (2.0,), (0.1,), (3.0,), 7, 8, 5, 40, tokens=(1, 2))
    later = Measurement("m", 9, 3, (1.5,), (2.5,), (), (3.5,), 7, 9, 5, None, tokens=(1, 2))
    both = first.join(later)
    assert both.prefill == (1.0, 1.5) and both.end_to_end == (3.0, 3.5) and both.decode == (0.1,)
    assert (both.kv_bytes_peak, both.peak_bytes, both.tokens) == (9, 40, (1, 2))


def test_memory_that_was_not_enough_once_was_not_enough():
    fitted, out = took("m", 9, 1.0), Measurement("m", 9, 3, out_of_memory=True)
    assert fitted.join(out).out_of_memory and fitted.join(out).prefill == ()


def test_a_share_is_of_the_repeats_that_both_have():
    assert took("m", 9, 2.0, 9.0, 100.0).ratio_to(took("n", 9, 1.0, 3.0), "prefill").high == 3.0


def test_each_repeat_begins_with_another_one():
    assert "".join(name for _, name in turns("abc", 4)) == "abcbcacababc"


def test_plain_values_are_the_same_measurement_again():
    one = took("m", 9, 1.0, 2.0)
    assert (
        Measurement.read(
            {key: list(v) if isinstance(v, tuple) else v for key, v in one.data().items()}
        )
        == one
    )
