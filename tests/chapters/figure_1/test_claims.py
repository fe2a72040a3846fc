"""What holds on a side is computed from its numbers: each claim on shares that bear it out, and on
others that do not."""

import pytest

from kvbook.chapters.figure_1.claims import CLAIMS, read
from kvbook.chapters.figure_1.sides import Side, report_side
from kvbook.chapters.registry import CHAPTERS
from kvbook.places import place
from kvbook.profiling.reported import SystemReport
from kvbook.results import load_report

JUDGES = {claim.name: claim.judge for claim in CLAIMS}


def tasks(*shares):
    """Shares of one method, by tasks named from 0."""
    return Side(tasks={"h2o": dict(enumerate(shares))})


@pytest.mark.parametrize(
    "name, side, verdict",
    [
        ("below", tasks(*[0.5] * 9, 1.0), (True, "9 of 10 scores are below FullKV's")),
        ("below", tasks(*[0.5] * 8, 1.0, 1.1), (False, "8 of 10 scores are below FullKV's")),
        (
            "ahead",
            Side(means={"h2o": 0.5, "fastkv": 0.9, "snapkv": 0.8}),
            (True, "ahead: fastkv 90%, snapkv 80%; next: h2o 50%"),
        ),
        (
            "ahead",
            Side(means={"h2o": 0.85, "fastkv": 0.9, "snapkv": 0.8}),
            (False, "ahead: fastkv 90%, h2o 85%; next: snapkv 80%"),
        ),
        ("window", Side(means={"streamingllm": 0.51}), (True, "streamingllm 51%")),
        ("window", Side(means={"streamingllm": 0.5}), (False, "streamingllm 50%")),
        (
            "h2o",
            Side(tasks={"h2o": {"narrativeqa": 0.4}, "snapkv": {"narrativeqa": 1.0}}),
            (True, "h2o on narrativeqa 40%, snapkv on narrativeqa 100%"),
        ),
        ("h2o", Side(tasks={"h2o": {"narrativeqa": 0.5}}), (False, "h2o on narrativeqa 50%")),
        (
            "prefill-aware",
            Side(prefill={1024: {"gemfilter": 0.5, "fastkv": 0.7}, 2048: {"fastkv": 0.6}}),
            (True, "gemfilter 50%, fastkv 70% at 1,024; fastkv 60% at 2,048"),
        ),
        (
            "prefill-aware",
            Side(prefill={1024: {"gemfilter": 0.5, "fastkv": 0.8}}),
            (False, "gemfilter 50%, fastkv 80%"),
        ),
        ("decoding-only", Side(prefill={64: {"snapkv": 1.2}}), (True, "snapkv 120%")),
        ("decoding-only", Side(prefill={64: {"streamingllm": 0.7}}), (False, "streamingllm 70%")),
        ("pyramidinfer", Side(prefill={64: {"pyramidinfer": 1.0}}), (True, "pyramidinfer 100%")),
        ("pyramidinfer", Side(prefill={64: {"pyramidinfer": 0.9}}), (False, "pyramidinfer 90%")),
        ("end to end", Side(end_to_end={64: {"h2o": 0.9}}), (True, "1 of 1 are below FullKV's")),
        (
            "end to end",
            Side(end_to_end={64: {"h2o": 0.9, "snapkv": 1.1}, 128: {"h2o": 0.5}}),
            (False, "2 of 3 are below FullKV's"),
        ),
        (
            "matrix",
            Side(
                prefill={64: {"h2o": 1.0, "snapkv": 1.0}, 128: {"snapkv": 1.0}},
                memory={64: {"h2o": 7.8, "pyramidinfer": 7.0}, 128: {}},
            ),
            (True, "h2o 7.8, pyramidinfer 7.0 times at 64; h2o out of memory beyond"),
        ),
        ("matrix", Side(memory={64: {"h2o": 1.0}}), (False, "h2o 1.0 times")),
        ("memory", Side(memory={64: {"snapkv": 0.95}}), (True, "snapkv 95%")),
        ("memory", Side(memory={64: {"snapkv": 0.8}, 128: {}}), (False, "snapkv 80% at 64")),
        ("fastkv memory", Side(memory={64: {"fastkv": 6.9}}), (True, "FastKV 6.9 times")),
        ("fastkv memory", Side(memory={64: {"fastkv": 0.9}}), (False, "FastKV 0.9 times")),
        ("fine-tuning", Side(tuning=(True, "+0.07")), (True, "+0.07")),
    ],
)
def test_a_claim_holds_by_the_numbers_and_tells_them(name, side, verdict):
    assert JUDGES[name](side) == verdict


@pytest.mark.parametrize("name", JUDGES)
def test_what_a_side_did_not_measure_is_not_judged(name):
    assert JUDGES[name](Side()) is None


def test_only_what_both_sides_measured_is_read():
    one = Side(means={"streamingllm": 0.8}, tuning=(True, "+0.07"))
    other = Side(means={"streamingllm": 0.3})
    assert [reading.claim.name for reading in read(CLAIMS, one, other)] == ["ahead", "window"]


@pytest.mark.parametrize("ours, agree", [(0.9, True), (0.3, False)])
def test_the_reason_is_that_of_agreeing_or_of_differing(ours, agree):
    claim = next(claim for claim in CLAIMS if claim.name == "window")
    sides = [Side(means={"streamingllm": mean}) for mean in (0.8, ours)]
    (reading,) = read([claim], *sides)
    assert reading.agree is agree
    assert reading.why == (claim.same if agree else claim.different)
    assert reading.row()["title"] == CHAPTERS["evaluation"].title


def test_every_claim_can_be_judged_on_the_report():
    side = report_side(load_report(), SystemReport.read(place("data")))
    assert all(judge(side) for judge in JUDGES.values())


def test_every_claim_leads_to_a_chapter():
    assert {claim.page.split(".")[0] for claim in CLAIMS} <= set(CHAPTERS)
