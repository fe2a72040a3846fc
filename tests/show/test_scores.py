"""The evaluation chapter's tables and pictures, on numbers made by hand."""

from types import SimpleNamespace

from tables import cells

from kvbook import show
from kvbook.tasks.longbench import Benchmark

FULL = {
    "scores": {"trec": {"a": 1.0, "b": 1.0}, "lcc": {"a": 0.5, "b": 0.5}},
    "kept_bytes": {"trec": 4 * 2**20, "lcc": 2 * 2**20},
    "seconds": {"trec": 1.0, "lcc": 5.0},
    "out_of_memory": 0,
}
HALF = FULL | {"kept_bytes": {"trec": 2 * 2**20, "lcc": 2**20}}


def test_a_task_is_shown_with_the_words_of_its_items():
    benchmark = Benchmark("trec")
    rows = cells(show.benchmark_table({"trec": benchmark}, ""))
    sizes = [len(row.context.split()) for row in benchmark.rows]
    assert rows[1][:4] == [
        "trec", benchmark.task.metric, str(len(sizes)), f"{min(sizes)}–{max(sizes)}",
    ]  # fmt: skip
    assert rows[1][5] == benchmark.rows[0].answers[0]


def test_scores_have_intervals_a_mean_and_a_share_of_the_bytes():
    rows = cells(show.score_table({"fullkv": FULL, "snapkv": HALF}, ""))
    assert rows[0] == ["method", "trec", "lcc", "mean", "KV kept"]
    assert rows[2] == ["snapkv", "100.0 (16–100)", "50.0 (50–50)", "75.0", "0.50"]


def test_items_without_memory_are_counted_in_every_row():
    rows = cells(show.score_table({"fullkv": FULL, "h2o": HALF | {"out_of_memory": 3}}, ""))
    assert [row[-1] for row in rows] == ["OOM", "0", "3"]


def test_a_star_is_where_the_interval_leaves_0_out():
    points = {("a", "a"): (0, 0, 0), ("a", "b"): (1.5, 0.5, 2)}
    points |= {("b", "a"): (-1.5, -2, -0.5), ("b", "b"): (0, 0, 0)}
    assert cells(show.difference_table(points, ""))[1:] == [
        ["a", "·", "+1.5 *"],
        ["b", "-1.5 *", "·"],
    ]
    points["a", "b"] = (1.5, 0, 3)
    assert cells(show.difference_table(points, ""))[1] == ["a", "·", "+1.5"]


def test_some_differences_stand_with_what_they_are_over():
    rows = cells(show.paired_table({("all", "a", "b"): (1.0, -0.5, 2.0)}))
    assert rows[1] == ["a − b", "all", "+1.0", "-0.5 to +2.0"]


def test_fidelity_is_a_mean_over_probes_at_the_budgets_asked_for():
    probes = [{"kl": 0.1, "agreement": 1.0, "nll": 2.0}, {"kl": 0.3, "agreement": 0.5, "nll": 4.0}]
    rows = cells(show.fidelity_table({"h2o": {64: probes, 128: probes[:1]}}, [64], ""))
    assert rows == [
        ["method", "KL, nats (64)", "same next token (64)", "NLL, nats a token (64)"],
        ["h2o", "0.200", "0.750", "3.000"],
    ]


def test_needles_are_counted_over_the_depths_at_every_length():
    grid = [[True, False], [True, True], [True, False]]
    rows = cells(show.needle_table({"h2o": {"64": grid}}, [200, 400], ""))
    assert rows == [
        ["method", "budget", "200 tokens", "400 tokens"], ["h2o", "64", "3 of 3", "1 of 3"],
    ]  # fmt: skip


def test_a_fixed_budget_keeps_a_share_and_never_more_than_all():
    table = show.kept_by_protocol({"long": 900, "short": 300}, {"long": 2048, "short": 400}, "x")
    rows = cells(table)
    assert rows[1] == ["short", "300", "400", "40", "100.0%", "100.0%"]
    assert rows[2] == ["long", "900", "2,048", "205", "25.0%", "100.0%"]


def test_a_line_has_a_share_at_the_length_of_every_task():
    axes = show.shares_by_length({"h2o": [0.9, 0.4]}, [100, 1000], ["trec", "lcc"]).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[0, 0.9], [1, 0.4]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["trec\n100", "lcc\n1,000"]


def test_an_item_costs_the_mean_bytes_and_its_part_of_the_seconds():
    assert cells(show.item_cost_table({"fullkv": FULL}, ""))[1] == ["fullkv", "3.00", "1.50"]


def test_a_run_is_named_by_its_budget_and_its_items():
    run = {"budget": 0.1, "evaluated": {"fullkv": FULL}, "source": "embedded"}
    assert show.protocol(run) == "budget 0.1, 2 items a task (embedded)"


def test_a_kept_run_says_where_it_comes_from():
    where = SimpleNamespace(
        model="m", started="2026-01-02T03:04", commit="0123456789", versions={"torch": "2.13"}
    )
    evaluated = {"a": {"seconds": {"x": 60.0}}, "b": {"seconds": {"x": 30.0, "y": 90}}}
    said = show.origin(evaluated, where)
    assert said == "m, 2026-01-02, 3 minutes for its items, commit 01234567, torch 2.13"


def test_an_arrow_leads_from_each_score_before_to_the_one_after():
    before = {"fullkv": (90.0, 80.0, 95.0), "snapkv": (70.0, 60.0, 80.0)}
    after = {"fullkv": (90.0, 80.0, 95.0), "snapkv": (20.0, 10.0, 35.0)}
    axes = show.before_after(before, after, "score").axes[0]
    arrows = [(one.xyann, one.xy) for one in axes.texts]
    assert arrows == [((90.0, 0), (90.0, 0)), ((70.0, 1), (20.0, 1))]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fullkv", "snapkv"]
