"""What a re-run should find: values by their paths, how near is near, and what is not compared."""

import pytest

from kvbook import results
from kvbook.chapters import rerun
from kvbook.chapters.expected import EXPECTED, Expected
from kvbook.chapters.registry import CHAPTERS
from kvbook.chapters.resolve import resolve_parameters
from kvbook.errors import ParameterError, ResultError
from kvbook.files import write_whole
from kvbook.results import Provenance, ResultFile

BYTES = Expected("snapkv", "bytes", "kv_bytes", "bytes", 0.05)
FOUND = Expected("snapkv", "found", "needle/a, budget 64/*", "rounding", 0.25)
SHARE = Expected("snapkv", "share", "parts/fast/*", "clock", 0.1, over="parts/full/*")
DATA = {
    "kv_bytes": 100,
    "needle": {"a, budget 64": [True, True, False, True]},
    "parts": {"fast": {"x": 1.0, "y": 2.0}, "full": {"x": 2.0, "y": 4.0}},
}


def run(data=DATA, started="2026-01-01T00:00:00+00:00", **parameters):
    """A result of the chapter on SnapKV, with parameters of its own."""
    provenance = Provenance(
        chapter="snapkv", profile="laptop", seed=0, model="m", started=started, seconds=1,
        parameters=resolve_parameters(CHAPTERS["snapkv"]) | parameters,
        commit=None, dirty=None, machine={}, versions={},
    )  # fmt: skip
    return ResultFile(name="snapkv", provenance=provenance, data=data)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Three values are expected, and those of `run` are kept."""
    monkeypatch.setenv("KVBOOK_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "results").mkdir(parents=True)
    monkeypatch.setattr(rerun, "EXPECTED", (BYTES, FOUND, SHARE))
    return rerun.keep({"snapkv": run()})


def states(data, **parameters):
    return [one.state for one in rerun.compare({"snapkv": run(data, **parameters)})]


def test_a_value_is_a_number_a_mean_or_a_ratio():
    assert [one.read(DATA) for one in (BYTES, FOUND, SHARE)] == [100, 0.75, 0.5]


def test_a_value_that_is_not_there_says_which():
    with pytest.raises(ResultError, match="no needle/a, budget 64"):
        FOUND.read({"kv_bytes": 100})


def test_the_run_that_is_kept_is_the_same(kept):
    assert states(DATA) == ["same"] * 3


def test_near_is_within_the_tolerance_and_off_is_beyond(kept):
    assert states(DATA | {"needle": {"a, budget 64": [True, True, False, False]}})[1] == "near"
    assert states(DATA | {"needle": {"a, budget 64": [True, False, False, False]}})[1] == "off"


@pytest.mark.parametrize("odd", ["100", None, [100], {"a": 1}])
def test_a_value_that_is_no_number_is_told(kept, odd):
    told = rerun.compare({"snapkv": run(DATA | {"kv_bytes": odd})})[0]
    assert (told.state, told.reason) == ("not compared", "not in the file: kv_bytes")


def test_a_ratio_to_nothing_is_told(kept):
    nothing = DATA | {"parts": {"fast": {"x": 1.0}, "full": {"x": 0.0}}}
    assert states(nothing)[2] == "not compared"


def test_a_file_with_the_name_of_another_chapter_is_refused(kept, tmp_path):
    (tmp_path / "results").mkdir()
    write_whole(tmp_path / "results" / "h2o.json", run().model_dump_json())
    with pytest.raises(ResultError, match="holds the results of 'snapkv'"):
        rerun.find_runs(tmp_path)


def test_bytes_are_those_of_either_dtype_and_of_an_answer_of_about_that_length(kept):
    """An answer ends a token earlier or later when rounding turns a word."""
    values = {
        100: "same",
        104: "near",
        106: "off",
        200: "near",
        191: "near",
        189: "off",
        51: "near",
    }
    assert {n: states(DATA | {"kv_bytes": n})[0] for n in values} == values


def test_a_run_with_other_parameters_is_not_compared(kept):
    told = rerun.compare({"snapkv": run(budget=32)})
    assert {one.state for one in told} == {"not compared"}
    assert told[0].reason == "other parameters: budget=32"


def test_a_parameter_that_a_chapter_no_longer_has_is_none_that_differs(kept):
    old = run(budget=32, gone="paper")
    rerun.keep({"snapkv": old})
    assert states(DATA, budget=32) == ["same"] * 3


def test_of_several_runs_the_newest_that_can_be_compared_is_taken(kept, tmp_path):
    for folder, one in {
        "a": run(DATA | {"kv_bytes": 1}),
        "b": run(DATA | {"kv_bytes": 2}, "2026-01-02T00:00:00+00:00"),
        "c": run(DATA | {"kv_bytes": 3}, "2026-01-03T00:00:00+00:00", budget=32),
    }.items():
        write_whole(tmp_path / folder / "results" / "snapkv.json", one.model_dump_json())
    assert rerun.find_runs(tmp_path)["snapkv"].data["kv_bytes"] == 2


@pytest.mark.parametrize("folder, says", [("nowhere", "no folder"), (".", "no results")])
def test_a_folder_without_results_is_refused(folder, says, tmp_path):
    with pytest.raises(ParameterError, match=says):
        rerun.find_runs(tmp_path / folder)


def test_keeping_one_chapter_leaves_the_others(kept):
    results.save("reproduce", {"h2o": {"values": {}}}, directory=kept.parent)
    rerun.keep({"snapkv": run()})
    assert set(rerun.load_kept()) == {"h2o", "snapkv"}


def test_a_row_has_what_is_kept_and_what_a_run_found(kept):
    compared = rerun.compare({"snapkv": run(DATA | {"kv_bytes": 104})})
    rows = rerun.rows("snapkv", compared)
    assert [row["value"] for row in rows] == ["bytes", "found", "share"]
    first = rows[0]
    assert (first["expected"], first["this copy"], first[""]) == ("100", "104", "near")
    assert (first["within"], first["kind"]) == ("5%", "bytes")
    assert rows[2]["path"] == (
        "<code class='kv-code'>parts/fast/*</code> over <code class='kv-code'>parts/full/*</code>"
    )


def test_a_row_without_a_run_has_a_dash(kept):
    row = rerun.rows("snapkv", [])[0]
    assert (row["expected"], row["this copy"], row[""]) == ("100", "–", "–")


def test_the_origin_of_kept_values_says_when_and_on_what(kept):
    saved = rerun.load_kept()
    saved["snapkv"]["provenance"]["machine"] = {"cpu": "C", "threads": 2}
    results.save("reproduce", saved, directory=kept.parent)
    told = rerun.origin("snapkv", rerun.compare({"snapkv": run(budget=32)}))
    assert told == (
        "expected: 2026-01-01, m, C, threads: 2, commit unknown; this copy: other parameters: budget=32"
    )
    assert rerun.origin("h2o", []) == "no expected values are kept yet"


def test_the_command_of_a_run_has_what_differs_from_its_profile():
    one = run(budget=32, chunk=None, windows=[4, 8], pooling="avg")
    assert rerun.command(one) == (
        "kvbook run snapkv -p budget=32 -p pooling=avg -p 'windows=[4, 8]'"
    )


def test_the_command_of_a_second_file_of_a_chapter_is_the_chapters():
    second = run().model_copy(update={"name": "snapkv_costs"})
    assert rerun.command(second) == "kvbook run snapkv"


def test_every_expected_value_is_of_a_chapter_and_has_a_name_of_its_own():
    assert {one.chapter for one in EXPECTED} <= set(CHAPTERS)
    assert len({(one.chapter, one.label) for one in EXPECTED}) == len(EXPECTED)


def test_what_is_counted_has_no_tolerance_and_what_is_computed_has():
    for one in EXPECTED:
        assert one.kind == "bytes" or (one.kind == "count") == (one.tolerance == 0), one
