"""Scores on tasks, with the tiny random model: what a naive loop gives, resumed and never stale."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from kvbook import create_method, load_model
from kvbook.commands.grid import evaluate_grid, make_grid, table_rows
from kvbook.errors import ParameterError
from kvbook.methods import METHODS, Method
from kvbook.tasks.evaluation import evaluate, evaluate_all, summarise
from kvbook.tasks.header import describe
from kvbook.tasks.longbench import Benchmark

CODE = "Please complete the code given below. \n{}Next line of code:\n"
CONTEXTS = ["def f(x):\n", "import os\n\nfor name in os.listdir():\n    ", "x = [1,\n", "y\n" * 20]
TASK = "lcc"  # no chat template, and a score that even random words can have
ANSWER = "8 * V"  # letters that the random model happens to say


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two would only wait for each other on so small a model."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def lm():
    return load_model("tiny-random", dtype="float32")


def write(folder, contexts=CONTEXTS, answers=(ANSWER,), task=TASK):
    """Items in LongBench's format."""
    own = {"input": "Who?", "answers": list(answers), "all_classes": list(answers)}
    rows = [own | {"_id": f"a{i}", "context": context} for i, context in enumerate(contexts)]
    folder.mkdir(exist_ok=True)
    (folder / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "data")


@pytest.fixture
def measure(lm, data, tmp_path):
    """`evaluate` on the items of this test, into its folder."""

    def run(method=None, folder="out", **more):
        method = method or create_method("fullkv")
        return evaluate(lm, method, TASK, data=data, folder=tmp_path / folder, **more)

    return run


def predictions(result):
    return [item.prediction for item in result.items]


def records(result):
    return {row["id"]: row for row in map(json.loads, result.path.read_text().splitlines()[1:])}


ASKED = []


class Counting(Method):
    """Full KV that writes down the length of every prompt it reads."""

    def keep(self, seen):
        if seen.layer == 0:
            ASKED.append(seen.prompt_length)


class Huge(Method):
    """Full KV that needs a petabyte for the prompt of one item."""

    def keep(self, seen):
        if seen.prompt_length == len(CODE.format(CONTEXTS[1])):
            torch.empty(10**15)


@pytest.fixture
def asked():
    ASKED.clear()
    return ASKED


# ---- what is measured ---------------------------------------------------------------------------


def test_items_are_those_of_a_naive_loop(lm, measure):
    result = measure()
    from lm_eval.tasks.longbench import metrics

    for context, item in zip(CONTEXTS, result.items, strict=True):
        ids = lm.tokenizer(CODE.format(context), return_tensors="pt").input_ids
        out = lm.model.generate(ids, max_new_tokens=64, do_sample=False)
        words = lm.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        assert item.prediction == words
        assert item.score == metrics.code_sim_score(words, ANSWER)
        assert item.tokens == ids.shape[1]
    assert result.score == pytest.approx(100 * sum(item.score for item in result.items) / 4)
    assert 0 < result.low <= result.score <= result.high


def test_a_batch_says_what_its_rows_say_alone(measure):
    together, alone = measure(batch=4), measure(batch=1, folder="alone")
    assert predictions(together) == predictions(alone)
    assert len(set(predictions(together))) == 4


@pytest.mark.parametrize("batch", [1, 4])
def test_kept_bytes_are_those_of_the_entries_without_padding(batch, measure, lm):
    result = measure(create_method("snapkv", budget=16, window=8), batch=batch)
    config = lm.model.config
    entry = config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 2 * 4
    assert [item.kept_bytes for item in result.items] == [16 * entry] * 4
    full = measure(batch=batch)
    assert [item.kept_bytes for item in full.items] == [item.tokens * entry for item in full.items]


@pytest.mark.parametrize("name", METHODS)
def test_the_whole_prompt_as_the_budget_is_full_kv(name, measure):
    [method] = make_grid([name], budgets=["1.0"]).methods
    assert predictions(measure(method)) == predictions(measure())


# ---- several methods ----------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3])
def test_several_methods_score_what_each_scores_alone(batch, lm, data, measure, tmp_path):
    methods = {one.name: one for one in make_grid(list(METHODS), budgets=["24"]).methods}
    together = evaluate_all(lm, methods, TASK, data=data, batch=batch, folder=tmp_path / "both")
    assert list(together) == list(methods)
    for name, method in methods.items():
        alone = measure(method, batch=batch)
        assert together[name].items == alone.items, name
        assert together[name].path.read_bytes() == alone.path.read_bytes(), name


def test_a_prompt_is_read_once_for_the_methods_that_lack_it(lm, data, measure, asked, monkeypatch):
    read, forward = [], lm.model.base_model.layers[0].forward
    monkeypatch.setattr(
        lm.model.base_model.layers[0],
        "forward",
        lambda hidden, *args, **more: (
            read.append(hidden.shape[1]) or forward(hidden, *args, **more)
        ),
    )
    snap = create_method("snapkv", budget=16)
    measure(snap, limit=2, batch=2)
    read.clear()
    methods = {"counting": Counting(), "snap": snap}
    where = measure(snap, limit=2, batch=2).path.parents[2]
    evaluate_all(lm, methods, TASK, data=data, batch=2, folder=where)
    lengths = [len(CODE.format(context)) for context in CONTEXTS]
    assert [one for one in read if one > 1] == lengths and sorted(asked) == sorted(lengths)


def test_seconds_are_shared_by_those_who_were_asked_together(lm, data, tmp_path):
    methods = {"full": create_method("fullkv"), "snap": create_method("snapkv", budget=16)}
    both = evaluate_all(lm, methods, TASK, data=data, batch=4, folder=tmp_path / "both")
    assert both["full"].seconds == both["snap"].seconds > 0


def test_the_answers_of_all_methods_are_counted(lm, data, tmp_path):
    done, names = [], ["fullkv", "snapkv", "summarykv"]
    methods = {one.name: one for one in make_grid(names, budgets=["32"]).methods}
    evaluate_all(lm, methods, TASK, data=data, folder=tmp_path / "out", advance=done.append)
    assert sum(done) == 3 * len(CONTEXTS)


def test_one_that_runs_out_of_memory_takes_nobody_with_it(lm, data, measure, tmp_path):
    methods = {"huge": Huge(), "full": create_method("fullkv")}
    both = evaluate_all(lm, methods, TASK, data=data, batch=4, folder=tmp_path / "both")
    assert both["huge"].out_of_memory == 1 and both["full"].items == measure().items


# ---- resumed, and never stale -------------------------------------------------------------------


def test_a_second_call_measures_nothing(measure, asked):
    first = measure(Counting())
    assert len(asked) == 4
    assert measure(Counting()).items == first.items and len(asked) == 4


TYPED = """
from typing import ClassVar
from pydantic.dataclasses import dataclass
from kvbook.methods.base import STRICT, Method

@dataclass(frozen=True, config=STRICT)
class Typed(Method):
    name: ClassVar[str] = "typed"

    def keep(self, seen):
        return seen.positions[0][-{kept}:][None] if seen.entries > {kept} else None
"""


def test_a_method_typed_in_a_notebook_is_measured_anew(measure):
    """There is no file of it whose text could be compared."""
    results = []
    for entries in (4, 8):
        space = {"__name__": "__console__"}
        exec(TYPED.format(kept=entries), space)
        results.append(measure(space["Typed"]()))
    assert results[1].kept_bytes == 2 * results[0].kept_bytes


def test_a_lost_file_of_times_loses_the_times_only(measure, asked):
    first = measure(Counting())
    first.path.with_suffix(".seconds").unlink()
    again = measure(Counting())
    assert len(asked) == 4 and again.scores == first.scores
    assert again.cell["seconds"] is None and table_rows([again.cell])[0][-1] == "–"


def test_a_limit_asks_only_the_first(measure, asked):
    result = measure(Counting(), limit=2)
    assert [item.id for item in result.items] == ["a0", "a1"]
    assert asked == [len(CODE.format(context)) for context in CONTEXTS[:2]]


def test_the_rest_after_a_limit_is_added(measure, asked):
    measure(Counting(), limit=2, batch=2)
    assert len(measure(Counting(), batch=2).items) == 4
    assert len(asked) == 4


def test_a_changed_item_changes_only_its_score(measure, data):
    before = records(measure())
    lines = (data / f"{TASK}.jsonl").read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace(ANSWER, "8" * 20)
    (data / f"{TASK}.jsonl").write_text("".join(lines))
    after = records(measure())
    changed = {
        (id, field)
        for id, row in before.items()
        for field, value in row.items()
        if after[id][field] != value
    }
    assert changed == {("a1", "score"), ("a1", "digest")}


@pytest.mark.parametrize("other", [{"budget": 17}, {"budget": 16, "kernel": 5}])
def test_another_parameter_is_another_file(other, measure):
    one = measure(create_method("snapkv", budget=16), limit=1)
    assert measure(create_method("snapkv", **other), limit=1).path != one.path


def test_another_length_or_batch_is_another_file(measure):
    paths = {measure(limit=2, **more).path for more in ({}, {"max_length": 40}, {"batch": 2})}
    assert len(paths) == 3


@pytest.mark.parametrize("change", ["weights", "dtype"])
def test_another_model_is_another_header(lm, change):
    other = load_model("tiny-random", dtype="bfloat16" if change == "dtype" else "float32")
    if change == "weights":
        with torch.no_grad():
            other.model.lm_head.weight += 1
    ours, theirs = (describe(one, create_method("fullkv")) for one in (lm, other))
    assert ours[change] != theirs[change]


def test_another_seed_only_draws_another_interval(measure, asked, lm, tmp_path):
    one, other = measure(Counting()), measure(Counting(), seed=1)
    assert other.items == one.items and len(asked) == 4
    records = [{"id": str(i), "score": i * 0.137 % 1, "kept_bytes": 100} for i in range(20)]
    one, other = (
        summarise(Benchmark(TASK, tmp_path / "data"), lm, Counting(), records, 1.0, tmp_path, seed)
        for seed in (0, 1)
    )
    assert one.score == other.score and (one.low, one.high) != (other.low, other.high)


# ---- out of memory ------------------------------------------------------------------------------


def test_an_item_that_runs_out_of_memory_is_recorded_and_the_others_are_scored(measure):
    result, full = measure(Huge()), measure()
    assert [item.score is None for item in result.items] == [False, True, False, False]
    assert result.out_of_memory == 1 and "1 OOM" in str(result)
    assert result.scores == {id: full.scores[id] for id in ("a0", "a2", "a3")}
    assert result.score == pytest.approx(100 * sum(result.scores.values()) / 3)
    sizes = [item.kept_bytes for item in result.items if item.score is not None]
    assert result.kept_bytes == sum(sizes) / 3 and min(sizes) > 0


def test_when_nothing_fits_the_score_says_so(lm, tmp_path):
    data = write(tmp_path / "data", CONTEXTS[1:2])
    result = evaluate(lm, Huge(), TASK, data=data, folder=tmp_path)
    assert str(result) == "OOM" and result.scores == {} and result.score != result.score


# ---- the question after the compression ----------------------------------------------------------


@pytest.fixture
def asks(lm, tmp_path):
    """`evaluate` by either protocol, on items of a task that asks."""
    data = write(tmp_path / "data", CONTEXTS, task="trec")

    def run(question, method=None, **more):
        method = method or create_method("snapkv", budget=0.5, window=4)
        own = dict(data=data, folder=tmp_path, question=question)
        return evaluate(lm, method, "trec", **own | more)

    return run


def test_the_two_protocols_are_two_files(asks):
    before, after = asks("before"), asks("after")
    assert before.path != after.path and "question=after" in after.path.name
    assert (before.cell["question"], after.cell["question"]) == ("before", "after")
    assert [one.tokens for one in before.items] == [one.tokens for one in after.items]
    for one, other in zip(before.items, after.items, strict=True):
        assert other.kept_bytes < one.kept_bytes  # of a share, the context's is less


def test_full_kv_answers_the_same_by_both_protocols(asks):
    full = create_method("fullkv")
    assert predictions(asks("after", full)) == predictions(asks("before", full))


def test_an_item_that_cannot_be_asked_is_found_before_the_model_runs(lm, tmp_path, monkeypatch):
    data = write(tmp_path / "data", [*CONTEXTS, " "], task="trec")
    monkeypatch.setattr(lm.model, "forward", lambda **more: pytest.fail("it ran"))
    with pytest.raises(ParameterError, match="item a4 of trec has no context"):
        evaluate(lm, "fullkv", "trec", question="after", data=data, folder=tmp_path, batch=1)


def test_all_tasks_are_those_that_ask_when_the_question_comes_after():
    assert "lcc" in make_grid(["fullkv"]).tasks
    assert "lcc" not in make_grid(["fullkv"], question="after").tasks
    with pytest.raises(ParameterError, match="asks nothing"):
        make_grid(["fullkv"], ["lcc"], question="after")


# ---- killed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task, question", [(TASK, "before"), ("trec", "after")])
def test_killed_and_run_again_gives_the_file_of_an_uninterrupted_run(tmp_path, task, question):
    """The command line, ended by ``kill -9`` while it measures."""
    data = write(tmp_path / "data", [f"{i}\n" for i in range(100)], task=task)
    more = ["--task", task, "--method", "fullkv", "--data", data, "--output", tmp_path / "killed"]
    more += ["--question", question]
    more += ["--model", "tiny-random", "--dtype", "float32", "--batch", "1"]
    running = subprocess.Popen(
        [sys.executable, "-m", "kvbook.commands.cli", "evaluate", *map(str, more)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    lines = wait_for_items(tmp_path / "killed")
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    files = []
    for folder in ("killed", "whole"):
        grid = make_grid(["fullkv"], [task], question=question)
        done = evaluate_grid(
            grid,
            model="tiny-random",
            dtype="float32",
            data=data,
            batch=1,
            folder=tmp_path / folder,
        )
        files.append(done.results[0].path.read_bytes())
    assert 1 < lines < 101 and files[0] == files[1]


def wait_for_items(folder, seconds=120):
    """Lines of the first file that has an item, as soon as there is one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        counts = [path.read_bytes().count(b"\n") for path in folder.rglob("*.jsonl")]
        if max(counts, default=0) > 1:
            return max(counts)
        time.sleep(0.02)
    raise AssertionError("nothing was measured")


# ---- refused before the model runs --------------------------------------------------------------


@pytest.mark.parametrize("name", ["limit", "batch", "max_length"])
def test_less_than_one_is_refused(name, measure):
    with pytest.raises(ParameterError, match=f"{name}=0: give at least 1"):
        measure(**{name: 0})


def test_an_unknown_task_is_refused(lm):
    with pytest.raises(ParameterError, match="unknown task 'squad'"):
        evaluate(lm, create_method("fullkv"), "squad")
