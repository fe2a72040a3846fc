"""Measurements in files: resumed by whole batches, never stale, never torn, one process at a time."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kvbook.errors import ResultError
from kvbook.tasks.store import OUT_OF_MEMORY, Store, complete_together, is_out_of_memory


@dataclass(frozen=True)
class Item:
    """A name and a number; its measurement is the number's square."""

    id: str
    number: int

    @property
    def digest(self):
        return str(self.number)


ITEMS = [Item(f"item {number}", number) for number in range(7)]
SQUARES = [number**2 for number in range(7)]


class Measure:
    """Squares, and remembers the batches that it was given."""

    def __init__(self, huge=(), stop_at=None):
        self.batches, self.huge, self.stop_at = [], huge, stop_at

    def __call__(self, part):
        if len(self.batches) == self.stop_at:
            raise KeyboardInterrupt
        self.batches.append([item.number for item in part])
        if any(item.number in self.huge for item in part):
            torch.empty(10**15)
        return [{"square": item.number**2} for item in part]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, "squares", {"power": 2})


def squares(records):
    return [record.get("square") for record in records]


def interrupt(store, after, batch=3):
    with pytest.raises(KeyboardInterrupt):
        store.complete(ITEMS, Measure(stop_at=after), batch=batch)


# ---- resumed, and never stale -------------------------------------------------------------------


def test_a_second_run_only_reads(store):
    store.complete(ITEMS, Measure(), batch=3)
    again = Measure()
    assert squares(store.complete(ITEMS, again, batch=3)) == SQUARES
    assert again.batches == []


def test_batches_are_the_same_after_a_resume(store):
    interrupt(store, after=1)
    rest = Measure()
    assert squares(store.complete(ITEMS, rest, batch=3)) == SQUARES
    assert rest.batches == [[3, 4, 5], [6]]


def test_a_resumed_file_is_that_of_an_uninterrupted_run(store, tmp_path):
    interrupt(store, after=2)
    store.complete(ITEMS, Measure(), batch=3)
    other = Store(tmp_path / "other", "squares", {"power": 2})
    other.complete(ITEMS, Measure(), batch=3)
    assert store.path.read_bytes() == other.path.read_bytes()


def test_a_half_known_batch_is_measured_whole_and_what_was_known_stays(store):
    store.complete(ITEMS[:2], Measure(), batch=1)
    rest = Measure()
    store.complete(ITEMS[:4], rest, batch=3)
    assert rest.batches == [[0, 1, 2], [3]]
    assert len(store.path.read_text().splitlines()) == 1 + 4


def test_a_changed_item_is_measured_again_and_the_others_are_not(store):
    store.complete(ITEMS, Measure())
    changed = [*ITEMS[:2], Item("item 2", 20), *ITEMS[3:]]
    again = Measure()
    assert squares(store.complete(changed, again))[2] == 400
    assert again.batches == [[20]]


def test_another_header_is_another_file(store, tmp_path):
    other = Store(tmp_path, "squares", {"power": 3})
    store.complete(ITEMS, Measure())
    again = Measure()
    other.complete(ITEMS, again)
    assert other.path != store.path and len(again.batches) == len(ITEMS)


def test_a_header_with_a_tuple_is_known_again(tmp_path):
    store = Store(tmp_path, "layers", {"layers": (1, 2)})
    store.complete(ITEMS, Measure())
    again = Measure()
    store.complete(ITEMS, again)
    assert again.batches == []


def test_more_items_are_added_to_those_that_are_there(store):
    store.complete(ITEMS[:3], Measure(), batch=3)
    rest = Measure()
    assert squares(store.complete(ITEMS, rest, batch=3)) == SQUARES
    assert rest.batches == [[3, 4, 5], [6]]


def test_progress_counts_all_items(store):
    done = []
    store.complete(ITEMS, Measure(), batch=3, advance=done.append)
    assert done == [3, 3, 1]


def test_times_are_in_a_file_of_their_own(store):
    store.complete(ITEMS, Measure(), batch=3)
    assert set(store.seconds()) == {item.id for item in ITEMS}
    assert "seconds" not in store.path.read_text()


def test_a_measured_item_never_lacks_its_time(store, tmp_path):
    store.times.symlink_to(tmp_path / "gone" / "away")  # times cannot be written
    with pytest.raises(ResultError, match="cannot write"):
        store.complete(ITEMS, Measure())
    store.times.unlink()
    store.complete(ITEMS, Measure())
    assert len(store.seconds()) == len(store.path.read_text().splitlines()) - 1 == len(ITEMS)


# ---- damaged ------------------------------------------------------------------------------------


def test_a_torn_last_line_is_dropped_and_measured_again(store):
    store.complete(ITEMS, Measure())
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[:-9])
    again = Measure()
    store.complete(ITEMS, again)
    assert again.batches == [[6]] and store.path.read_bytes() == whole


def test_a_torn_header_is_written_again(store):
    store.path.write_text('{"pow')
    assert squares(store.complete(ITEMS, Measure())) == SQUARES


def test_a_damaged_middle_line_is_refused_with_its_number(store):
    store.complete(ITEMS, Measure())
    lines = store.path.read_text().splitlines(keepends=True)
    store.path.write_text("".join([*lines[:3], lines[3][:10] + "\n", *lines[4:]]))
    with pytest.raises(ResultError, match=r"line 4 is damaged: take that line out"):
        store.complete(ITEMS, Measure())


def test_a_line_that_is_no_record_is_refused_with_its_number(store):
    store.complete(ITEMS, Measure())
    lines = store.path.read_text().splitlines(keepends=True)
    store.path.write_text("".join([*lines[:3], "5\n", *lines[4:]]))
    with pytest.raises(ResultError, match=r"line 4 is damaged"):
        store.complete(ITEMS, Measure())


@pytest.mark.parametrize(
    "line", ["{}", '{"id": "item 0"}', '{"id": ["item 0"], "digest": "0"}', "[" * 5000]
)
def test_a_line_without_a_name_or_a_digest_is_refused_with_its_number(store, line):
    store.complete(ITEMS, Measure(), batch=3)
    lines = store.path.read_text().splitlines()
    store.path.write_text("\n".join([*lines[:2], line, *lines[3:]]) + "\n")
    with pytest.raises(ResultError, match="line 3 is damaged"):
        store.complete(ITEMS, Measure(), batch=3)


def test_an_item_with_two_lines_is_refused(store):
    store.complete(ITEMS, Measure())
    lines = store.path.read_text().splitlines(keepends=True)
    store.path.write_text("".join([*lines, lines[3].replace("4", "5")]))
    with pytest.raises(ResultError, match=r"two lines of item 'item 2': take one of them out"):
        store.complete(ITEMS, Measure())


def test_an_item_that_is_asked_twice_has_one_line(store):
    records = store.complete([ITEMS[3], ITEMS[3]], Measure(), batch=2)
    assert squares(records) == [9, 9] and len(store.path.read_text().splitlines()) == 2
    again = Measure()
    store.complete([ITEMS[3]], again)
    assert again.batches == []


def test_another_beginning_is_refused(store):
    store.path.write_text('{"power": 3}\n')
    with pytest.raises(ResultError, match="does not begin with what it was measured with"):
        store.complete(ITEMS, Measure())


def test_a_folder_that_cannot_be_made_is_one_message(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResultError, match="cannot write to"):
        Store(tmp_path / "file" / "folder", "squares", {}).complete(ITEMS, Measure())


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="a folder where nobody may write")
def test_a_folder_where_nobody_may_write_is_one_message():
    with pytest.raises(ResultError, match="cannot write"):
        Store(Path("/sys/kernel"), "squares", {}).complete(ITEMS, Measure())


# ---- two processes ------------------------------------------------------------------------------

CHILD = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_store import ITEMS, Measure, Store

class Slow(Measure):
    def __call__(self, part):
        time.sleep(0.05)
        return super().__call__(part)

slow = Slow()
Store(Path(sys.argv[1]), "squares", {{"power": 2}}).complete(ITEMS, slow)
print(len(slow.batches))
"""


def start(code, *arguments):
    code = code.format(tests=str(Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_on_one_file_measure_each_item_once(store, tmp_path):
    both = [start(CHILD, tmp_path) for _ in range(2)]
    counts = [int(one.communicate()[0]) for one in both]
    rows = [json.loads(line) for line in store.path.read_text().splitlines()]
    assert sum(counts) == len(ITEMS)
    assert [row.get("id") for row in rows[1:]] == [item.id for item in ITEMS]


def test_the_file_is_free_again_after_an_error(store):
    with pytest.raises(KeyboardInterrupt) as kept:  # with its frames, and what they hold
        store.complete(ITEMS, Measure(stop_at=2))
    other = start(CHILD, store.folder)
    assert other.communicate(timeout=60)[0].strip() == "5"
    assert kept.value is not None


# ---- several files of the same items ------------------------------------------------------------


class Powers:
    """Powers of the items' numbers, a file each; remembers what it was asked."""

    def __init__(self, huge=(), room=99):
        self.asked, self.huge, self.room = [], huge, room

    def __call__(self, part, which):
        numbers = [item.number for item in part]
        self.asked.append((numbers, which))
        if len(which) * len(part) > self.room or any(
            (p, n) in self.huge for p in which for n in numbers
        ):
            torch.empty(10**15)
        return [[{"power": number**place} for number in numbers] for place in which]


@pytest.fixture
def three(tmp_path):
    return [Store(tmp_path, f"power {power}", {"power": power}) for power in range(3)]


def powers(records):
    return [[record.get("power") for record in of] for of in records]


ALL_POWERS = [[number**power for number in range(7)] for power in range(3)]


def test_several_files_are_measured_together(three):
    done, measure = [], Powers()
    records = complete_together(three, ITEMS, measure, batch=4, advance=done.append)
    assert powers(records) == ALL_POWERS and done == [12, 9]
    assert measure.asked == [([0, 1, 2, 3], [0, 1, 2]), ([4, 5, 6], [0, 1, 2])]


def test_only_those_that_lack_an_item_are_asked(three):
    complete_together(three[1:2], ITEMS[:4], lambda part, which: Powers()(part, [1]), batch=4)
    measure = Powers()
    assert powers(complete_together(three, ITEMS, measure, batch=4)) == ALL_POWERS
    assert measure.asked == [([0, 1, 2, 3], [0, 2]), ([4, 5, 6], [0, 1, 2])]
    again = Powers()
    assert powers(complete_together(three[::-1], ITEMS, again, batch=4)) == ALL_POWERS[::-1]
    assert again.asked == []


def test_each_file_is_the_one_that_is_measured_alone(three, tmp_path):
    complete_together(three, ITEMS, Powers(), batch=4)
    alone = Store(tmp_path / "alone", "power 2", {"power": 2})
    alone.complete(ITEMS, lambda part: Powers()(part, [2])[0], batch=4)
    assert alone.path.read_bytes() == three[2].path.read_bytes()


def test_two_of_the_same_are_one_file(three):
    measure = Powers()
    twice = complete_together(
        [three[1], three[2], three[1]], ITEMS, lambda part, which: measure(part, which), batch=9
    )
    assert twice[0] == twice[2] and len(measure.asked[0][1]) == 2


def test_what_is_measured_together_shares_the_seconds(three, monkeypatch):
    clock = iter([0.0, 42.0])
    monkeypatch.setattr(
        "kvbook.tasks.store.time", SimpleNamespace(perf_counter=lambda: next(clock))
    )
    complete_together(three, ITEMS, Powers(), batch=7)
    assert all(set(one.seconds().values()) == {2.0} for one in three)


def test_what_runs_out_of_memory_together_is_tried_file_by_file_then_item_by_item(three):
    measure = Powers(huge=[(1, 4)])
    records = complete_together(three, ITEMS[3:6], measure, batch=3)
    assert [which for _, which in measure.asked[:4]] == [[0, 1, 2], [0], [1], [1]]
    assert powers(records) == [[1, 1, 1], [3, None, 5], [9, 16, 25]]
    assert records[1][1] == {"id": "item 4", "digest": "4", "error": OUT_OF_MEMORY}


CROSSING = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_store import ITEMS, Powers, Store
from kvbook.tasks import store

real = store.FileLock.acquire
def slow(self, *args, **more):
    taken = real(self, *args, **more)
    time.sleep(0.3)  # the other one takes its first, too
    return taken

store.FileLock.acquire = slow
stores = [Store(Path(sys.argv[1]), f"power {{power}}", {{"power": int(power)}}) for power in sys.argv[2]]
measure = Powers()
store.complete_together(stores, ITEMS, measure)
print(len(measure.asked))
"""


def test_two_processes_whose_files_cross_do_not_wait_for_each_other(three, tmp_path):
    both = [start(CROSSING, tmp_path, order) for order in ("012", "210")]
    counts = [int(one.communicate(timeout=60)[0]) for one in both]
    assert sorted(counts) == [0, len(ITEMS)]


# ---- a full disk --------------------------------------------------------------------------------

FULL = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_store import ITEMS, Measure, Store
from kvbook.errors import ResultError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    Store(Path(sys.argv[1]), "squares", {{"power": 2}}).complete(ITEMS, Measure(), batch=2)
except ResultError as error:
    print(error)
"""


def test_a_full_disk_leaves_whole_lines_and_the_next_run_goes_on(store, tmp_path):
    said = start(FULL, tmp_path, 200).communicate()[0]
    assert "cannot write" in said and "the same command goes on from there" in said
    kept = store.path.read_bytes()
    assert kept.endswith(b"\n") and 2 <= len(kept.splitlines()) < 8
    rest = Measure()
    assert squares(store.complete(ITEMS, rest, batch=2)) == SQUARES
    assert rest.batches and [0, 1] not in rest.batches
    assert store.path.read_bytes().startswith(kept)


# ---- out of memory ------------------------------------------------------------------------------


def test_the_cpu_allocators_own_error_is_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error, is_one",
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("not enough memory: you tried to allocate"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_other_errors(error, is_one):
    assert is_out_of_memory(error) is is_one


def test_a_batch_that_runs_out_of_memory_is_tried_item_by_item(store):
    measure = Measure(huge=[4])
    records = store.complete(ITEMS, measure, batch=3)
    assert measure.batches == [[0, 1, 2], [3, 4, 5], [3], [4], [5], [6]]
    assert squares(records) == [0, 1, 4, 9, None, 25, 36]
    assert records[4]["error"] == OUT_OF_MEMORY


def test_a_later_run_tries_again_what_ran_out_of_memory(store):
    store.complete(ITEMS, Measure(huge=[4]), batch=3)
    again = Measure()
    assert squares(store.complete(ITEMS, again, batch=3)) == SQUARES
    assert again.batches == [[3, 4, 5]]
    assert "error" not in store.path.read_text()


def test_another_error_is_not_swallowed(store):
    with pytest.raises(ZeroDivisionError):
        store.complete(ITEMS, lambda part: [{"square": 1 / 0} for _ in part])
    assert not os.path.exists(store.times)
