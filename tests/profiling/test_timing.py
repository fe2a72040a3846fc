"""Measuring: on a tiny model, what is counted is right; times are only there, and positive."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from kvbook import create_method, load_model
from kvbook.errors import ExecutionError, ParameterError
from kvbook.profiling import measure, measure_all
from kvbook.profiling import timing as timing_module
from kvbook.profiling.breakdown import PARTS, break_down
from kvbook.profiling.hardware import measure_hardware
from kvbook.profiling.memory import FreshProcesses, measures_memory
from kvbook.profiling.timing import STOCK, Measurement, read_text
from kvbook.stats import Spread


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32")


@pytest.fixture(scope="module")
def pair(lm):
    methods = {STOCK: None, "snapkv": create_method("snapkv", budget=50)}
    return measure_all(lm, methods, [200, 300], 5, 2, memory=(), progress=False)


def test_there_is_a_measurement_for_each_method_and_context(pair):
    assert [(one.method, one.context_length) for one in pair] == [
        (STOCK, 200), ("snapkv", 200), (STOCK, 300), ("snapkv", 300),
    ]  # fmt: skip


def test_every_repeat_is_kept(pair):
    for one in pair:
        assert len(one.prefill) == len(one.first_token) == len(one.end_to_end) == 2


def test_the_parts_of_a_run_are_in_order(pair):
    for one in pair:
        for prefill, first, decode, whole in zip(
            one.prefill, one.first_token, one.decode, one.end_to_end, strict=True
        ):
            assert 0 < prefill <= first <= whole and 0 < decode < whole


def test_cache_bytes_are_real(pair):
    entry = 2 * 2 * 16 * 4 * 4  # keys and values, heads, size, float32, layers
    assert [one.kv_bytes for one in pair] == [
        entry * tokens for tokens in (200 + 4, 50 + 4, 300 + 4, 50 + 4)
    ]


def test_transformers_alone_and_full_kv_write_the_same(lm):
    methods = {STOCK: None, "fullkv": create_method("fullkv")}
    stock, ours = measure_all(lm, methods, [150], 6, 1, memory=(), progress=False)
    assert stock.tokens == ours.tokens and len(ours.tokens) == 6


def test_the_models_own_way_to_generate_has_no_part(lm, monkeypatch):
    """Greedy, one sequence, and as many tokens as were asked for."""
    method = create_method("snapkv", budget=50)
    expected = measure_all(lm, {"snapkv": method}, [150], 6, 1, memory=(), progress=False)
    own = {"repetition_penalty": 9.0, "num_beams": 3, "output_logits": True, "max_time": 0.0}
    for name, value in own.items():
        monkeypatch.setattr(lm.model.generation_config, name, value)
    found = measure_all(lm, {"snapkv": method}, [150], 6, 1, memory=(), progress=False)
    assert found[0].tokens == expected[0].tokens
    assert found[0].kv_bytes == expected[0].kv_bytes


def test_methods_take_turns_and_begin_with_another_one(lm, monkeypatch):
    """The order of runs, by what is attached."""
    ran = []
    real = timing_module.run_once

    def watched(lm, method, ids, new_tokens):
        if ids.shape[1] > timing_module.WARM_UP:
            ran.append(method.name)
        return real(lm, method, ids, new_tokens)

    monkeypatch.setattr(timing_module, "run_once", watched)
    methods = {name: create_method(name, budget=20) for name in ("snapkv", "h2o")}
    measure_all(lm, methods, [100], 2, 3, memory=(), progress=False)
    assert ran == ["snapkv", "h2o", "h2o", "snapkv", "snapkv", "h2o"]


def test_out_of_memory_is_a_result(lm):
    class Greedy(type(create_method("snapkv", budget=9))):
        name = ""

        def keep(self, seen):
            if seen.entries > 100:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().keep(seen)

    methods = {"greedy": Greedy(budget=9), "fullkv": create_method("fullkv")}
    greedy, full = measure_all(lm, methods, [120], 2, 1, memory=(), progress=False)
    assert greedy.out_of_memory and not greedy.prefill
    assert set(list(greedy.row().values())[2:]) == {"OOM"}
    assert full.prefill


def test_another_error_is_not_hidden(lm):
    class Broken(type(create_method("snapkv", budget=9))):
        name = ""

        def keep(self, seen):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure_all(lm, {"broken": Broken(budget=9)}, [120], 2, 1, memory=(), progress=False)


def test_one_method_alone(lm):
    one = measure(lm, create_method("gemfilter", budget=30), 100, 3, 1)
    assert "GemFilter(budget=30" in one.method and one.new_tokens == 3
    assert json.loads(json.dumps(one.data()))["context_length"] == 100


def test_what_a_method_had_to_change_is_said(lm):
    one = measure_all(
        lm, {"p": create_method("pyramidinfer", budget=0.1)}, [200], 2, 1, memory=(),
        progress=False,
    )[0]  # fmt: skip
    assert "pyramidinfer" in one.notes[0]


@pytest.mark.parametrize("wrong", [dict(context_length=0), dict(new_tokens=0), dict(repeats=0)])
def test_numbers_below_one_are_refused(lm, wrong):
    given = dict(context_length=10, new_tokens=2, repeats=1) | wrong
    with pytest.raises(ParameterError, match="at least 1"):
        measure(lm, None, **given)


def test_the_prompt_is_real_text_of_that_length(lm):
    ids = read_text(lm, 3000)
    assert ids.shape == (1, 3000) and len(ids.unique()) > 30
    assert not torch.equal(ids[:, :1000], ids[:, 1000:2000])
    assert torch.equal(ids[:, :100], read_text(lm, 100))


def test_spread_of_ratios_is_paired():
    assert Spread.ratio([2, 30, 4], [1, 10, 4]) == Spread(2, 1, 3)
    assert Spread(0.5, 0.25, 0.75).show() == "0.50 (0.25 to 0.75)"


def test_ratios_are_of_the_same_repeat():
    first, second = (
        Measurement("m", 10, 2, prefill=times) for times in ((1.0, 10.0, 3.0), (2.0, 10.0, 4.0))
    )
    assert first.ratio_to(second, "prefill") == Spread(0.75, 0.5, 1.0)


def test_the_micro_benchmark_finds_positive_numbers(lm):
    machine = measure_hardware(lm, repeats=1)
    assert min(machine.flops, machine.bandwidth, machine.memory) > 1e6
    assert machine.layer_seconds >= 0


@pytest.mark.parametrize("name", ["fullkv", "pyramidinfer", "gemfilter", "fastkv"])
def test_the_parts_of_every_layer_are_there(lm, name):
    method = create_method(name, **({} if name == "fullkv" else {"budget": 60}))
    layers = break_down(lm, method, read_text(lm, 200))
    assert len(layers) == 4 and all(tuple(layer) == PARTS for layer in layers)
    assert all(layer["mlp"] > 0 for layer in layers)
    assert any(layer["scoring"] > 0 for layer in layers) is (name != "fullkv")


# ---- memory in fresh processes (Linux) -------------------------------------------------------------

linux = pytest.mark.skipif(not measures_memory(), reason="needs Linux's /proc")


@pytest.fixture(scope="module")
def fresh(lm):
    with FreshProcesses(lm) as processes:
        yield processes


class Holds(type(create_method("snapkv", budget=9))):
    """Holds 200 MB in the first layer that is asked."""

    name = ""

    def keep(self, seen):
        if seen.layer == 0 and seen.entries > 64:
            seen.shared["held"] = torch.ones(50_000_000)
        return super().keep(seen)


@linux
def test_the_peak_sees_what_a_run_holds(lm, fresh):
    ids = read_text(lm, 100)
    (small,) = fresh.peaks(create_method("snapkv", budget=9), ids, 2)
    (large,) = fresh.peaks(Holds(budget=9), ids, 2)
    assert 195e6 < large - small < 215e6


@linux
def test_every_process_is_fresh(lm, fresh):
    ids = read_text(lm, 100)
    first, second = (fresh.peaks(Holds(budget=9), ids, 2)[0] for _ in range(2))
    assert abs(first - second) < 10e6


@linux
def test_a_process_that_is_killed_ran_out_of_memory(lm, fresh):
    class Killed(type(create_method("snapkv", budget=9))):
        name = ""

        def keep(self, seen):
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)

    ids = read_text(lm, 100)
    assert fresh.peaks(Killed(budget=9), ids, 2) is None
    assert fresh.peaks(create_method("fullkv"), ids, 2)[0] > 0  # the server lives on


@linux
def test_another_fault_is_said(lm, fresh):
    class Broken(type(create_method("snapkv", budget=9))):
        name = ""

        def keep(self, seen):
            raise ZeroDivisionError("no reason")

    with pytest.raises(ExecutionError, match="ZeroDivisionError: no reason"):
        fresh.peaks(Broken(budget=9), read_text(lm, 100), 2)


@linux
def test_memory_is_part_of_a_measurement(lm):
    assert measure(lm, create_method("fullkv"), 300, 2, 1).peak_bytes > 0


ASKER = """
import os, sys, time
from kvbook import create_method, load_model
from kvbook.profiling.memory import FreshProcesses

class Slow(type(create_method("snapkv", budget=9))):
    name = ""

    def keep(self, seen):
        if seen.entries > 64:
            print("running", os.getpid(), file=sys.stderr, flush=True)
            time.sleep(60)

lm = load_model("tiny-random")
with FreshProcesses(lm) as fresh:
    fresh.peaks(Slow(budget=9), __import__("torch").ones(1, 100, dtype=int), 2)
"""


@linux
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_ends_when_who_asked_for_it_does(how):
    asker = subprocess.Popen(
        [sys.executable, "-c", ASKER], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    said = next(line for line in asker.stderr if line.startswith("running"))
    os.killpg(asker.pid, how)  # as a terminal does
    rest = asker.communicate(timeout=30)[1]
    assert rest.count("Traceback") == (how == signal.SIGINT)  # the asker's own
    run = Path(f"/proc/{said.split()[1]}/cmdline")
    for _ in range(100):
        try:
            if not run.read_bytes():  # ended, and nobody has looked yet
                break
        except OSError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the run goes on")
