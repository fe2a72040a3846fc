"""Other programs on the machine are noticed while it measures."""

from types import SimpleNamespace

import pytest

from kvbook.profiling import load


def test_what_others_used_is_all_less_our_own(monkeypatch):
    clock, everybody, us = iter([10.0, 14.0]), iter([100.0, 107.0]), iter([20.0, 25.0])
    monkeypatch.setattr(load.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(load, "_used", lambda: next(everybody))
    monkeypatch.setattr(load, "_used_by_us", lambda: next(us))
    monkeypatch.setattr(load.psutil, "cpu_count", lambda: 2)
    found = load.Watch().read()
    assert (found.seconds, found.cores, found.ours, found.others) == (4.0, 2, 5.0, 2.0)
    assert found.share == 0.25 and found.busy


@pytest.mark.parametrize("others, busy", [(0.79, False), (0.81, True)])
def test_a_machine_is_busy_from_a_share_of_its_time_on(others, busy):
    assert load.Load(seconds=4.0, cores=2, ours=5.0, others=others).busy is busy


def test_a_process_that_ends_while_we_look_is_passed_over(monkeypatch):
    def gone():
        raise load.psutil.NoSuchProcess(1)

    here = SimpleNamespace(
        cpu_times=lambda: (1.0, 2.0, 3.0, 4.0, 9.0),
        children=lambda recursive: [SimpleNamespace(cpu_times=gone)],
    )
    monkeypatch.setattr(load.psutil, "Process", lambda: here)
    assert load._used_by_us() == 10.0


def test_our_own_work_is_ours():
    watch = load.Watch()
    while (found := watch.read()).ours < 0.1:
        pass
    assert found.seconds > 0 and found.others >= 0
