"""The lines that a student types do what the engine does."""

import pytest
from pages import cells

from kvbook.chapters.execute import run_chapter
from kvbook.results import load


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    output = tmp_path_factory.mktemp("from_scratch")
    done = run_chapter("from_scratch", profile="smoke", output=output, progress=False)
    return load("from_scratch", done.results.parent).data


def test_every_step_writes_the_engines_tokens(data):
    assert len(data["same_tokens"]) == 4 and all(map(all, data["same_tokens"].values()))


def test_every_layer_keeps_the_engines_positions(data):
    assert len(data["same_layers"]) == 3 and all(map(all, data["same_layers"].values()))


def test_logits_differ_from_the_engines_by_rounding_only(data):
    """Wrong positions change them, and often no token."""
    assert len(data["logits_off"]) == 4 and max(data["logits_off"].values()) < 1e-5


def test_a_cache_reads_the_prompt_once_and_then_a_token_a_step(data):
    again, *cached = data["computed"].values()
    n, new = data["prompt_tokens"], 6
    assert again == sum(range(n, n + new)) and set(cached) == {n + new - 1}


def test_a_budget_bounds_what_is_held(data):
    without, cache, ends, votes = data["entries"].values()
    n, new, budget = data["prompt_tokens"], 6, 20
    assert (without, cache) == (0, n + new - 1)
    assert (ends, votes) == (budget, budget + new - 1)


def test_a_cell_to_type_has_at_most_twelve_lines():
    typed = [one for one in cells("from_scratch", "code") if not one["metadata"].get("tags")]
    assert max(one["source"].count("\n") + 1 for one in typed) <= 12
