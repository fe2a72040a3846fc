"""Pictures to move through hold what they show, and let nothing of a prompt out into the page's code."""

import json
import re
from types import SimpleNamespace

import torch

from kvbook import show
from kvbook.show.explorers.frame import explorer, slider

RUN = SimpleNamespace(
    kept_positions=[torch.tensor([[[0, 2], [-1, 1]]]), torch.tensor([[[0, 1], [1, 2]]])]
)


def data_of(page):
    """What the page's script is given."""
    return json.loads(re.search(r"DATA = (\{.*?\});", page.data).group(1))


def test_the_explorer_holds_the_same_for_every_layer():
    figure = data_of(show.kept_explorer(RUN, ["a", "b", "c"]))
    (trace,), steps = figure["data"], figure["layout"]["sliders"][0]["steps"]
    assert trace["z"] == steps[0]["args"][0]["z"][0] == [[1, 0, 1], [0, 1, 0]]
    assert steps[1]["args"][0]["z"][0] == [[1, 1, 0], [0, 1, 1]]


def test_the_families_explorer_counts_heads_per_layer():
    data = data_of(show.families_explorer({"snapkv": [RUN]}, [2], "abc", [["snapkv"], []]))
    assert data["kept"]["snapkv"] == [["111", "121"]]


def test_the_families_have_a_panel_a_method_in_two_columns():
    columns = [["snapkv", "h2o"], ["fastkv"]]
    runs = {method: [RUN] for column in columns for method in column}
    data = data_of(show.families_explorer(runs, [2], "abc", columns))
    figure, titles = data["figure"], data["figure"]["layout"]["annotations"]
    assert data["methods"] == [title["text"] for title in titles] == ["snapkv", "h2o", "fastkv"]
    assert [trace["zmax"] for trace in figure["data"]] == [2, 2, 2]
    starts = [figure["layout"][axis]["domain"][0] for axis in ("xaxis", "xaxis2", "xaxis3")]
    assert starts == [0, 0, 0.53]


def test_tokens_cannot_become_code():
    token = "</script><!--<script><img src=x>"
    pages = [
        show.kept_explorer(RUN, [token] * 3).data,
        show.families_explorer({"snapkv": [RUN]}, [2], [token] * 3, [["snapkv"], []]).data,
    ]
    for page in pages:
        data = re.search(r"DATA = (\{.*?\});", page).group(1)
        assert "img src=x" in data and "<" not in data
        assert page.count("</script>") == 2 and "img src=x" not in page.replace(data, "")


def test_a_page_has_its_data_its_script_and_words_without_it():
    page = explorer("mine", "<p>", "chat", {"turns": ["</script>"]}, "Needs JavaScript.").data
    assert 'id="mine"' in page and 'NAME = "mine"' in page and "DATA.turns" in page
    assert page.count("</script>") == 1 and page.endswith("<noscript>Needs JavaScript.</noscript>")


def test_plotly_stands_beside_the_pages_and_only_where_it_draws():
    drawn = explorer("mine", "", "kept", {}, "", plotly=True).data
    assert re.findall(r'<script src="(.*?)"', drawn) == [show.PLOTLY] and "//" not in show.PLOTLY
    assert "src=" not in explorer("mine", "", "chat", {}, "").data


def test_a_slider_goes_from_its_least_to_its_most():
    one = slider("answer", 11, "answer", 3)
    assert 'min="3" max="11"' in one and "kv-answer-label" in one
