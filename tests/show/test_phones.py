"""What the memory of phones allows, on numbers made by hand."""

from types import SimpleNamespace

from tables import cells

from kvbook import show
from kvbook.profiling.hardware import UNKNOWN, Hardware

SLOW, FAST = (Hardware(name, UNKNOWN, speed, 6e9) for name, speed in (("old", 30e9), ("new", 75e9)))


def paper(phone, seconds, fits=True):
    return SimpleNamespace(hardware=phone, decode_seconds=seconds, fits=fits)


PAPERS = {
    "fullkv": [paper(SLOW, 0.15, False), paper(FAST, 0.06)],
    "snapkv": [paper(SLOW, 0.05), paper(FAST, 0.02)],
}


def test_a_phone_has_its_memory_and_the_least_time_of_a_token():
    assert cells(show.phone_table(PAPERS, "")) == [
        ["phone", "GB/s", "memory, GB", "fullkv, ms a token", "snapkv, ms a token"],
        ["old", "30.0", "6", "150 (does not fit)", "50"],
        ["new", "75.0", "6", "60", "20"],
    ]


def test_the_gain_of_a_method_and_the_distance_of_the_phones_are_told():
    told = str(show.phone_sentence(PAPERS, "snapkv"))
    assert "with snapkv can be 3.0 times as quick" in told and "a factor of 2.5." in told
