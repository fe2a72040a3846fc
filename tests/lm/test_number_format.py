"""What `dtype="auto"` is on a CPU: what was quicker, the same for all who ask, and never an error."""

import threading
import time

import pytest
import torch
from filelock import FileLock
from torch.utils.flop_counter import FlopCounterMode

from kvbook.lm import number_format
from kvbook.lm.number_format import NumberFormat, find_number_format, measure, remembered

MEASURED = NumberFormat(dtype="bfloat16", float32=0.04, bfloat16=0.015, threads=1)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_CACHE", str(tmp_path))
    find_number_format.cache_clear()
    yield tmp_path / "number-format"
    find_number_format.cache_clear()


@pytest.fixture
def measurements(monkeypatch):
    """Instead of measuring: a list with an entry for each time that somebody did."""
    made = []

    def note():
        made.append(1)
        time.sleep(0.05)  # for somebody else to come
        return MEASURED

    monkeypatch.setattr(number_format, "measure", note)
    return made


def timed(monkeypatch, float32, bfloat16):
    """What `measure` finds when the products take so long, and how often it looked."""
    asked = []

    def cpu_seconds(work):
        asked.append(work)
        return bfloat16 if work is torch.bfloat16 else float32

    monkeypatch.setattr(number_format, "layer_products", lambda dtype: dtype)
    monkeypatch.setattr(number_format, "cpu_seconds", cpu_seconds)
    return measure(), len(asked)


@pytest.mark.parametrize(
    "bfloat16, taken", [(0.4, "bfloat16"), (0.89, "bfloat16"), (0.91, "float32"), (1.5, "float32")]
)
def test_bfloat16_is_taken_where_it_is_quicker_by_more_than_a_tenth(monkeypatch, bfloat16, taken):
    found, turns = timed(monkeypatch, 1.0, bfloat16)
    assert (found.dtype, turns) == (taken, 2 * number_format.TURNS)
    assert found.float32 == pytest.approx(1.0) and found.bfloat16 == pytest.approx(bfloat16)


def test_where_bfloat16_is_emulated_one_turn_is_enough(monkeypatch):
    found, turns = timed(monkeypatch, 1.0, 3.0)
    assert (found.dtype, found.bfloat16, turns) == ("float32", 3.0, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_timed_are_the_products_of_a_layer_of_the_model(monkeypatch, dtype):
    monkeypatch.setattr(number_format, "TOKENS", 8)
    attended = []
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *qkv, **_: attended.extend((one.shape, one.dtype) for one in qkv),
    )
    work = number_format.layer_products(dtype)
    with FlopCounterMode(display=False) as counter:
        work()
    matrices = 2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536  # queries, output; keys, values; MLP
    assert counter.get_total_flops() == 2 * 8 * matrices
    assert attended == [((1, heads, 8, 64), dtype) for heads in (9, 3, 3)]


def test_both_times_and_the_threads_are_measured(monkeypatch):
    monkeypatch.setattr(number_format, "TOKENS", 8)
    found = measure()
    assert found.float32 > 0 and found.bfloat16 > 0 and found.threads == torch.get_num_threads()


def test_what_was_measured_is_remembered(measurements):
    assert remembered() is None
    assert find_number_format() == MEASURED
    find_number_format.cache_clear()  # as in the next process
    assert find_number_format() == remembered() == MEASURED and len(measurements) == 1


def test_another_torch_is_measured_anew(measurements, monkeypatch):
    find_number_format()
    monkeypatch.setattr(number_format.importlib.metadata, "version", lambda package: "99.0")
    assert remembered() is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"dtype": "int4"}',
                MEASURED.model_dump_json().replace("0.04", "NaN")]
)  # fmt: skip
def test_a_damaged_file_is_measured_again_and_replaced(measurements, folder, content):
    find_number_format()
    [file] = folder.glob("*.json")
    file.write_text(content)
    find_number_format.cache_clear()
    assert remembered() is None
    assert find_number_format() == remembered() == MEASURED and len(measurements) == 2


def test_two_at_once_measure_once(measurements):
    threads = [threading.Thread(target=find_number_format) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(measurements) == 1


def test_nobody_waits_forever_for_another_who_measures(measurements, folder, monkeypatch):
    monkeypatch.setattr(number_format, "WAIT", 0.05)
    find_number_format()
    [file] = folder.glob("*.json")
    file.unlink()
    find_number_format.cache_clear()
    with FileLock(file.with_suffix(".lock")):
        assert find_number_format() == MEASURED


def test_a_cache_that_cannot_be_written_costs_a_measurement_and_no_error(
    measurements, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KVBOOK_CACHE", str(tmp_path / "file"))
    assert find_number_format() == find_number_format() == MEASURED
    assert remembered() is None and len(measurements) == 1


def test_it_says_both_times():
    assert str(MEASURED) == (
        "bfloat16: 512 tokens through a layer take 15.0 ms of CPU time in bfloat16, 40.0 in float32 "
        "(threads: 1)"
    )
