"""`kvbook profile`, the calculator's table, and the exact architecture with random weights."""

import json

import pytest
from typer.testing import CliRunner

from kvbook import create_method, load_model
from kvbook.commands import cli
from kvbook.commands.profile_grid import profile_grid
from kvbook.errors import ParameterError
from kvbook.lm.configs import PUBLISHED
from kvbook.profiling import measure_all, predict
from kvbook.profiling.calculator import tabulate
from kvbook.profiling.hardware import TABLE
from kvbook.show import calculator


def run(*words):
    return CliRunner().invoke(cli.app, ["profile", "--model", "tiny-random", *words])


def test_the_command_measures_and_keeps_all_numbers(tmp_path):
    file = tmp_path / "deep" / "numbers.json"
    done = run(
        "--methods", "fullkv,snapkv", "--contexts", "80,120", "--repeats", "1",
        "--new-tokens", "2", "--no-memory", "--output", str(file),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    data = json.loads(file.read_text())["data"]
    assert [(one["method"], one["context_length"]) for one in data["measurements"]] == [
        ("fullkv", 80), ("snapkv", 80), ("fullkv", 120), ("snapkv", 120),
    ]  # fmt: skip
    assert data["measurements"][1]["kv_bytes"] > data["predictions"][1]["kv_bytes"] > 0
    assert data["hardware"]["flops"] > 0


@pytest.mark.parametrize(
    "words, said",
    [
        (dict(methods=["snapkw"]), "snapkw"),
        (dict(contexts=["1024", "many"]), "many"),
        (dict(contexts=["0"]), "--contexts 0"),
        (dict(contexts=["9000"]), "8192 positions"),
        (dict(budget="2.5"), "budget"),
        (dict(parameters=["windows=3"]), "windows"),
    ],
)
def test_wrong_words_are_refused_before_anything_runs(tmp_path, words, said):
    given = dict(methods=["snapkv"], contexts=["64"], budget="0.5", parameters=[]) | words
    options = dict(new_tokens=2, repeats=1, memory=False, model="tiny-random", dtype="auto")
    with pytest.raises(ParameterError, match=said):
        profile_grid(**given, **options, output=tmp_path / "numbers.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "output, says",
    [
        (".", "ends in .json"),
        ("numbers.txt", "ends in .json"),
        ("file/numbers.json", "cannot write to"),
    ],
)
def test_numbers_that_could_not_be_kept_are_not_measured(tmp_path, output, says):
    (tmp_path / "file").touch()
    with pytest.raises(ParameterError, match=says):
        profile_grid(
            ["fullkv"], ["64"], "0.5", new_tokens=2, repeats=1, memory=False,
            model="tiny-random", dtype="auto", output=tmp_path / output,
        )  # fmt: skip


@pytest.fixture(scope="module")
def table():
    machines = [TABLE["L4"]]
    return tabulate(
        {"SmolLM2-135M": PUBLISHED["SmolLM2-135M"]()}, ["fullkv", "snapkv"], [512, 1024],
        [0.1, 0.5], machines, 64,
    )  # fmt: skip


def test_the_table_holds_what_predict_says(table):
    paper = predict(
        PUBLISHED["SmolLM2-135M"](), create_method("snapkv", budget=0.5), 1024, 64,
        hardware=TABLE["L4"],
    )  # fmt: skip
    kv, peak, prefill, decode = table["cells"][0][1][1][1]
    assert (kv, peak) == (paper.kv_bytes, paper.peak_bytes)
    assert prefill == pytest.approx(paper.prefill_seconds, rel=0.01)
    assert decode == pytest.approx(paper.decode_seconds, rel=0.01)


def test_full_kv_has_no_budget(table):
    assert len(table["cells"][0][0]) == 1 and len(table["cells"][0][1]) == 2


def test_the_calculator_is_a_page_of_its_own(table):
    page = calculator(table, machine="L4", context=1024).data
    assert "http" not in page and '"context": 1' in page and "SmolLM2-135M" in page
    assert page.count("<script>") == page.count("</script>") == 1


def test_the_exact_architecture_of_qwen3_runs_with_random_weights():
    """The path of the gpu profile, at a size that a CPU can bear."""
    lm = load_model("qwen3-0.6b-random", dtype="bfloat16")
    assert sum(p.numel() for p in lm.model.parameters()) == 596_049_920
    methods = {"fullkv": create_method("fullkv"), "fastkv": create_method("fastkv", budget=0.2)}
    full, fast = measure_all(lm, methods, [48], 2, 1, memory=(), progress=False)
    assert full.kv_bytes == 114_688 * 49
    assert fast.kv_bytes < full.kv_bytes and fast.prefill[0] > 0
