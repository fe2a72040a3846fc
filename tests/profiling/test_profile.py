"""What a session found: pairs with the paper, shares of FullKV, and curves; on numbers made by hand."""

from types import SimpleNamespace

import pytest

from kvbook import create_method, load_model
from kvbook.profiling.breakdown import sum_layers
from kvbook.profiling.hardware import Hardware
from kvbook.profiling.profile import GiB, Profiled, kv_agrees, seen_above
from kvbook.profiling.timing import Measurement
from kvbook.stats import Spread

MACHINE = Hardware("m", 1e9, 1e9, 1e9)


def measured(method, context=100, times=(1.0, 2.0), peak=None, **more):
    return Measurement(
        method, context, 4, prefill=times, decode=times, end_to_end=times, peak_bytes=peak,
        weight_bytes=GiB, **more,
    )  # fmt: skip


def profiled(*measurements):
    papers = [SimpleNamespace(method=one.method.upper()) for one in measurements]
    return Profiled(list(measurements), papers, MACHINE)


def test_what_did_not_fit_has_no_pair():
    done = profiled(measured("fullkv"), measured("h2o", out_of_memory=True))
    assert [one.method for one, _ in done.pairs] == ["fullkv"]


def test_shares_are_paired_by_repeat_and_of_that_context():
    done = profiled(
        measured("fullkv", 50, (9.0, 9.0)), measured("fullkv"), measured("snapkv", 100, (2.0, 1.0))
    )
    full, snap = done.shares(100)
    assert (full.method, full.prefill) == ("FULLKV", Spread(1, 1, 1))
    assert (snap.method, snap.decode) == ("SNAPKV", Spread(1.25, 0.5, 2.0))


def test_memory_is_shared_at_the_longest_context_where_it_was_measured():
    done = profiled(
        measured("fullkv", 50, peak=400), measured("snapkv", 50, peak=100),
        measured("fullkv"), measured("snapkv"),
    )  # fmt: skip
    assert done.memory_context == 50
    assert [one.memory for one in done.shares(100)] == [1.0, 0.25]


def test_without_memory_or_without_fullkv_there_is_no_share_of_it():
    done = profiled(measured("fullkv"), measured("snapkv"))
    assert done.memory_context is None and done.shares(100)[1].memory is None
    assert profiled(measured("snapkv")).shares(100) == []


def test_curves_have_the_spread_of_times_and_memory_with_the_weights():
    curves = profiled(measured("fullkv", times=(1.0, 3.0, 2.0), peak=GiB // 2)).curves
    assert curves == {
        "fullkv": {
            "prefill": {100: (2.0, 1.0, 3.0)},
            "e2e": {100: (2.0, 1.0, 3.0)},
            "memory": {100: (1.5, 1.5, 1.5)},
        }
    }


def test_a_measurement_comes_back_from_a_results_file():
    one = measured("snapkv", peak=5)
    assert Measurement(**one.data()) == one and one.total_bytes == GiB + 5
    assert measured("snapkv").total_bytes is None


def test_a_curve_says_where_memory_was_not_enough_and_nothing_where_nobody_looked():
    done = profiled(measured("h2o", 50), measured("h2o", out_of_memory=True))
    assert done.curves["h2o"]["e2e"] == {50: (1.5, 1.0, 2.0), 100: None}
    assert done.curves["h2o"]["memory"] == {100: None}


@pytest.mark.parametrize("held, same", [(100, True), (140, True), (141, False), (59, False)])
def test_the_cache_agrees_but_for_the_answer(held, same):
    paper = SimpleNamespace(kv_bytes=100, token_bytes=10)
    assert kv_agrees(measured("fullkv", kv_bytes=held), paper) is same


def test_layers_are_summed_by_part():
    layers = [{"mlp": 1.0, "norms": 2.0}, {"mlp": 3.0, "norms": 4.0}]
    assert sum_layers(layers) == {"mlp": 4.0, "norms": 6.0}


def test_of_several_prefills_the_quickest_of_each_method_stays(monkeypatch):
    from kvbook.profiling import breakdown

    taken = iter([3.0, 1.0, 2.0, 4.0])  # two turns of two methods
    monkeypatch.setattr(
        breakdown, "break_down", lambda lm, method, ids: [{"mlp": next(taken)}, {"mlp": 1.0}]
    )
    lm = SimpleNamespace(model=None, tokenizer=None)
    found = breakdown.quickest(lm, {"a": "fullkv", "b": "fullkv"}, None, turns=2)
    assert found == {"a": [{"mlp": 2.0}, {"mlp": 1.0}], "b": [{"mlp": 1.0}, {"mlp": 1.0}]}


def test_where_a_process_cannot_tell_its_memory_there_are_no_processes(monkeypatch):
    from kvbook.profiling import memory

    lm = load_model("tiny-random", dtype="float32")
    assert isinstance(memory.fresh_processes(lm), memory.FreshProcesses) is memory.measures_memory()
    monkeypatch.setattr(memory, "measures_memory", lambda: False)
    with memory.fresh_processes(lm) as fresh:
        assert fresh is None


def test_on_paper_fullkv_costs_all_of_fullkv_and_a_method_less_with_a_longer_context():
    from kvbook.lm.configs import PUBLISHED
    from kvbook.profiling.calculator import shares_on_paper

    config = PUBLISHED["SmolLM2-135M"]()
    assert shares_on_paper(config, create_method("fullkv"), [64], [1, 8], MACHINE) == [[1], [1]]
    ((short, long),) = shares_on_paper(
        config, create_method("fastkv", budget=0.1), [512, 8192], [8], MACHINE
    )
    assert long < short < 1


def test_a_run_below_its_floor_says_how_much_quicker_the_machine_is():
    paper = SimpleNamespace(prefill_seconds=1.5, decode_seconds=4.0)
    assert seen_above([measured("a", times=(1.0, 2.0))], [paper]) == 4.0
    slow = measured("a", times=(5.0, 6.0))
    assert seen_above([slow], [paper]) == 1.0
    assert seen_above([measured("h2o", times=(), out_of_memory=True)], [paper]) == 1.0


def test_of_two_micro_benchmarks_the_quicker_numbers_count():
    first, second = Hardware("m", 5.0, 2.0, 1.0, 0.2), Hardware("m", 4.0, 3.0, 1.0, 0.1)
    assert first.quicker(second) == Hardware("m", 5.0, 3.0, 1.0, 0.1)
    assert first.times(2.0) == Hardware("m", 10.0, 4.0, 1.0, 0.1)


def test_no_time_of_a_session_lies_below_its_floor(monkeypatch):
    """Not even where the micro-benchmark was ten times too slow."""
    from kvbook.profiling import profile as module

    slow = Hardware("m", 1e6, 1e6, 1e9, 1.0)
    monkeypatch.setattr(module, "measure_hardware", lambda lm: slow)
    lm = load_model("tiny-random", dtype="float32")
    done = module.profile(lm, {"fullkv": "fullkv"}, [32], 3, 1, memory=(), progress=False)
    ((one, paper),) = done.pairs
    assert done.raised > 1 and done.hardware.flops == 1e6 * done.raised
    assert paper.prefill_seconds <= min(one.prefill) * 1.0001
    assert paper.decode_seconds <= min(one.decode) * 1.0001
    assert done.data()["load"]["seconds"] > 0
