"""What was run, in words and tables."""

from types import SimpleNamespace

import pytest
from tables import cells

from kvbook import show
from kvbook.lm.number_format import NumberFormat
from kvbook.results import Provenance, ResultFile

MOST = {"clock": 20, "CPU": 36}
MACHINE = {"cpu": "C", "cores": 2, "memory_gb": 8, "os": "Linux", "threads": 1}


def ran(seconds=30.0, **more):
    known = dict(
        chapter="snapkv", profile="laptop", seed=0, model="m", started="2026-01-02T03:04:05+00:00",
        parameters={"budget": 64}, commit="0123456789", dirty=True, key="abcdef123456",
        machine=MACHINE, versions={"torch": "2"},
    )  # fmt: skip
    return Provenance(seconds=seconds, **known | more)


@pytest.mark.parametrize("seconds, words", [(4.4, "4 s"), (99, "99 s"), (100, "2 min")])
def test_seconds_are_said_as_people_say_them(seconds, words):
    assert show.duration(seconds) == words


def test_the_summary_names_the_longest_and_what_is_missing():
    titles = {"snapkv": "SnapKV", "h2o": "H2O", "fastkv": "FastKV"}
    runs = {"snapkv": ran(30, cpu_seconds=45.0), "h2o": ran(150, seed=7, cpu_seconds=255.0)}
    text = str(show.runs_summary(runs, titles, MOST))
    assert text.startswith("**2 of 3 chapters**")
    assert "Their times add up to 3 minutes, though" in text
    assert "and to 5 minutes of CPU time; the longest is *H2O* with 2 min." in text
    assert "may take 20 minutes by the clock and 36 minutes of CPU time" in text
    assert text.endswith("model: m; seed: 0, 7. Not executed here: fastkv.")


def test_without_runs_the_summary_says_how_to_get_some():
    assert "kvbook book" in str(show.runs_summary({}, {"snapkv": "SnapKV"}, MOST))


def test_a_run_has_a_row_with_its_key_and_its_tables():
    kinds = {"snapkv": {"report": 1, "measured": 4}, "h2o": {}}
    runs = {"snapkv": ran(cpu_seconds=44.0), "h2o": ran(key=None)}
    rows = cells(show.runs_table(runs, kinds, {"snapkv": 150, "h2o": None}, ""))
    assert rows[1][0] == '<a href="snapkv.html">snapkv</a>'
    assert rows[1][1:5] == ["02 Jan, 03:04", "30 s", "44 s", "150 s"]
    assert rows[1][5:] == ['<a href="results/snapkv.json">abcdef12</a>', "4 measured, 1 report"]
    assert rows[2][3:] == ["–", "–", '<a href="results/h2o.json">no key</a>', "–"]


def test_a_fact_that_differs_says_so():
    rows = cells(show.facts_table("the machine", {"cpu": "C", "cores": None}, ""))
    assert rows == [["", "the machine"], ["cpu", "C"], ["cores", "several, see below"]]


def test_the_facts_of_a_run_are_all_of_its_provenance():
    kept = ResultFile(name="snapkv-long", provenance=ran(commit=None), data={})
    quicker = NumberFormat(dtype="float32", float32=0.03, bfloat16=0.05, threads=1)
    facts = show.run_facts(ran(number_format=quicker), {"measured": 4}, [kept])
    assert facts["executed, UTC"] == "2026-01-02 03:04"
    assert facts["took"] == "30 s, threads: 1"
    assert facts["CPU time"] == "not noted"
    assert show.run_facts(ran(cpu_seconds=44.4), {})["CPU time"] == "44 s"
    assert facts["parameters"] == "budget=64"
    assert facts["commit"] == "0123456789, with changes"
    assert facts["machine"] == "C, 2 cores, 8 GB, Linux"
    assert facts["number format"] == str(quicker)
    assert facts["versions"] == "torch 2"
    assert facts["tables"] == "4 measured here"
    assert facts["kept: snapkv-long"] == "2026-01-02 03:04, commit unknown, C"


def test_what_is_not_known_of_a_run_is_said():
    facts = show.run_facts(ran(key=None, commit=None, dirty=None), {})
    assert facts["key"] == "none: executed outside the book"
    assert facts["commit"] == "no repository"
    assert facts["number format"] == "not measured on this machine"
    assert facts["tables"] == "not counted: no notebook beside the results"


def test_facts_are_folded_under_their_title_and_cannot_become_code():
    page = show.folded_facts({"SnapKV": {"model": "<m>"}, "H2O": {"model": "n"}}).data
    assert page.count("<details") == 2 and "<summary>SnapKV</summary>" in page
    assert "<tr><td>model</td><td class='kv-long'>&lt;m&gt;</td></tr>" in page


def test_what_was_fetched_is_in_gb_and_what_was_made_in_mb():
    rows = cells(show.disk_table([("packages", ".venv", 2_450_000_000)], [("x", "y", 70_000)], ""))
    assert rows[1:] == [["packages", ".venv", "2.5 GB", "once"], ["x", "y", "0.1 MB", "–"]]


def test_what_is_typed_stands_as_code():
    assert show.code("a <b>") == "<code class='kv-code'>a &lt;b&gt;</code>"


def value(state, kept=0.5, found=0.75):
    expected = SimpleNamespace(chapter="snapkv", label="needles")
    return SimpleNamespace(state=state, kept=kept, found=found, expected=expected)


def test_values_are_counted_and_those_that_are_off_or_near_are_named():
    states = ("same", "near", "off", "off", "not compared")
    told = str(show.compared_sentence([value(one) for one in states])).splitlines()
    assert told[0].startswith(
        "Of 5 values of this copy, **1 are the same as expected, 1 near, 2 off**; 1 can"
    )
    assert told[2:] == ["- Off: snapkv, needles: 0.75, expected 0.5."] * 2 + [
        "- Near: snapkv, needles: 0.75, expected 0.5."
    ]


def test_where_all_values_are_the_same_none_is_named():
    assert "snapkv" not in str(show.compared_sentence([value("same")]))
