"""When a method pays, in a picture, a table and sentences, on numbers made by hand."""

from dataclasses import replace

from tables import cells

from kvbook import show
from kvbook.profiling.timing import Measurement


def timed(prefill, decode, kv_bytes=100):
    whole = tuple(a + 3 * b for a, b in zip(prefill, decode, strict=True))
    return Measurement(
        "m", 100, 4, prefill=prefill, decode=decode, end_to_end=whole, kv_bytes=kv_bytes
    )


FULL = timed((2.0, 2.0), (1.0, 1.0))
AT_ONCE = timed((1.0, 1.5), (0.5, 0.5), 25)
LATER = timed((3.0, 4.0), (0.5, 0.5))
UNCLEAR = timed((3.0, 3.0), (0.5, 1.5))
BEHIND = timed((3.0, 3.0), (1.0, 1.5))


def test_a_line_goes_through_the_seconds_saved_and_full_kv_saves_nothing():
    axes = show.saved_by_length({"fullkv": FULL, "snapkv": LATER}, [1, 5]).axes[0]
    (bars,) = axes.containers
    assert bars.get_label() == "snapkv"
    assert bars.lines[0].get_xydata().tolist() == [[1, -1.5], [5, 0.5]]
    (whiskers,) = bars.lines[2]
    assert [one[:, 1].tolist() for one in whiskers.get_segments()] == [[-2.0, -1.0], [0.0, 1.0]]
    assert set(axes.lines[0].get_ydata()) == {0}


def test_a_row_has_what_was_measured_and_what_follows():
    rows = cells(show.answer_times({"fullkv": FULL, "a": AT_ONCE, "b": UNCLEAR}, 5, "c"))
    assert rows[0][-3:] == ["5 tokens, s", "ahead from, tokens", "saved, s"]
    assert rows[1] == ["fullkv", "1.00", "2.00", "1000.0", "6.0", "–", "–"]
    assert rows[2] == ["a", "0.25", "1.25", "500.0", "3.2", "1 (1 to 1)", "+2.8 (+2.5 to +3.0)"]
    assert rows[3][-2:] == ["never (4 to never)", "-1.0 (-3.0 to +1.0)"]


def test_only_what_all_repeats_say_is_said():
    timed = {"fullkv": FULL, "a": AT_ONCE, "b": LATER, "c": UNCLEAR, "d": BEHIND}
    told = str(show.answer_times_sentence(timed, 9)).splitlines()
    assert [line.split("**")[1] for line in told[:4]] == [
        "Ahead from the first token on",
        "Ahead after 9 tokens",
        "Not told apart from FullKV after 9 tokens",
        "Slower than FullKV after 9 tokens",
    ]
    assert told[0].endswith("after 9 tokens by: a 4.8 s (4.5 to 5.0).")
    assert "b 2.5 s (2.0 to 3.0). They overtake FullKV at 5 to 5 tokens" in told[1]
    assert told[1].endswith("single repeats lie between 4 and 6.")
    assert told[2].endswith("disagree: c -1.0 s (-5.0 to 3.0).")
    assert told[3].endswith("in every repeat: d.")
    assert "For the 4 tokens" in told[4] and "at most 0.0% from" in told[4]


def test_the_sums_stand_beside_the_answers_that_were_measured_whole():
    longer = replace(FULL, end_to_end=(6.25, 6.25))
    assert "at most 20.0% from" in str(show.answer_times_sentence({"fullkv": longer}, 9))


def test_a_group_without_anybody_is_not_told():
    told = str(show.answer_times_sentence({"fullkv": FULL, "a": AT_ONCE}, 9)).splitlines()
    assert len(told) == 2 and "Not told apart" not in told[0]
