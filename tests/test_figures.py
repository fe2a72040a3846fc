"""Figures say what they show, and let nothing of a prompt out into the page's code."""

import json
import re
from types import SimpleNamespace

import torch

from kvbook import figures

RUN = SimpleNamespace(
    kept_positions=[torch.tensor([[[0, 2], [-1, 1]]]), torch.tensor([[[0, 1], [1, 2]]])]
)


def test_the_map_marks_what_each_head_kept():
    grid = figures.kept_map(RUN, 3).axes[0].images[0].get_array()
    assert grid.tolist() == [[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 1, 1]]


def test_the_explorer_holds_the_same_for_every_layer():
    page = figures.kept_explorer(RUN, ["a", "b", "c"]).data
    (trace,), layout, _ = json.loads(re.search(r"\.\.\.(\[.*\])\);", page).group(1))
    steps = layout["sliders"][0]["steps"]
    assert trace["z"] == steps[0]["args"][0]["z"][0] == [[1, 0, 1], [0, 1, 0]]
    assert steps[1]["args"][0]["z"][0] == [[1, 1, 0], [0, 1, 1]]


def test_tokens_cannot_become_code():
    token = "</script><img src=x>"
    explorer = figures.kept_explorer(RUN, [token] * 3).data
    assert explorer.count("</script>") == 2 and "<img" not in explorer
    assert "<img" not in figures.kept_text([token], [0]).data


def test_shown_source_is_the_source():
    from kvbook.attention import fold

    assert (
        "q.reshape(batch, kv_heads, heads // kv_heads * queries, dim)"
        in figures.show_source(fold).data
    )


def test_a_table_says_what_kind_of_number_it_holds():
    assert 'class="kv-report">the report<' in figures.table([{"a": 1}], "report").data
