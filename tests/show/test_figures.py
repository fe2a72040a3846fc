"""Figures say what they show, and let nothing of a prompt out into the page's code."""

import re
from types import SimpleNamespace

import torch

from kvbook import show

RUN = SimpleNamespace(
    kept_positions=[torch.tensor([[[0, 2], [-1, 1]]]), torch.tensor([[[0, 1], [1, 2]]])],
    layer_inputs=[torch.tensor([[0, 1, 2]]), torch.tensor([[-1, 0, 1, 2]])],
    filter_layers=1,
)


def test_the_map_marks_what_each_head_kept():
    grid = show.kept_map(RUN, 3).axes[0].images[0].get_array()
    assert grid.tolist() == [[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 1, 1]]


def test_tokens_cannot_become_code():
    assert "<img" not in show.kept_text(["</script><img src=x>"], [0]).data


def test_docstrings_are_folded_under_the_lines():
    from kvbook.methods import SnapKV

    shown, folded = show.source(SnapKV).data.split("<details")
    assert "votes = received(seen.queries" in shown and '"""' not in shown
    assert "keep\n    The top ``budget - window``" in folded


def test_shown_source_is_the_source():
    from kvbook.engine.attention import fold

    assert "q.reshape(batch, kv_heads, heads // kv_heads * queries, dim)" in show.source(fold).data


def test_a_table_says_what_kind_of_number_it_holds():
    assert 'class="kv-report">the report<' in show.table([{"a": 1}], "report").data


def test_numbers_stand_right_words_left_and_only_long_texts_may_break():
    row = {
        "method": "snapkv",
        "rate": "0.90 (0.80 to 1.00)",
        "answer": "four, five or six words of text",
    }
    page = show.table([row], "measured").data
    assert re.findall(r"<td([^>]*)>", page) == [' class="kv-word"', "", ' class="kv-long"']
    assert re.findall(r"<th( [^>]*)?>", page) == re.findall(r"<td([^>]*)>", page)


def test_numbers_on_a_map_are_black_or_white_as_their_patch_needs():
    figure = show.ratio_maps({"a": [[0.3, 1.0, 3.0]]}, ["row"], list("abc"), ("", ""))
    assert [text.get_color() for text in figure.axes[0].texts] == ["white", "black", "black"]


def test_the_journey_has_the_first_pass_then_what_was_read_and_what_was_kept():
    run = SimpleNamespace(**vars(RUN) | {"kept_positions": [torch.tensor([[[0], [1]]])] * 2})
    grid = show.journey(run, 4).axes[0].images[0].get_array()
    assert grid.tolist() == [[1, 1, 1, 1], [2, 2, 1, 0], [2, 2, 1, 0]]


def test_all_methods_have_their_colour_and_mark():
    from kvbook.methods import METHODS

    assert set(METHODS) <= set(show.COLOURS) and set(METHODS) <= set(show.MARKERS)
    looks = {(show.COLOURS[name], show.MARKERS[name]) for name in METHODS}
    assert len(looks) == len(METHODS)


def test_a_character_in_several_tokens_stands_over_their_bytes():
    pieces = [b"A", *(bytes([byte]) for byte in "痛".encode()), b"\n"]
    text = show.label_text(pieces, [False, True, True, True, True], control=[4]).data
    boxes = re.findall(r'<span class="(kv-token.*?)" title="position (\d)">([^<]*)', text)
    assert boxes == [
        ("kv-token kv-untrained", "0", "A"),
        ("kv-token kv-trained", "1", "痛"),
        ("kv-token kv-trained kv-control", "4", "↵"),
    ]
    assert re.findall(r">([0-9A-F]{2})<", text) == ["E7", "97", "9B"]


def test_a_row_that_is_cut_inside_a_character_is_shown_all_the_same():
    text = show.label_text(["痛".encode()[:2]], [True]).data
    assert "\ufffd" in text and "E7 97" in text


def test_a_cell_may_lead_to_its_page_and_its_file_and_words_cannot_become_code():
    cell = show.linked("30.2 <b>", "evaluation.html#run", "results/evaluation.json", "a")
    page = show.table([{"<i>": cell, show.tag("report"): "<u>"}], None, "<s>").data
    assert '<a href="evaluation.html#run">30.2 &lt;b&gt;</a>' in page
    assert re.search(r'<sup><a href="results/evaluation.json"[^>]*>a</a></sup>', page)
    assert "&lt;i&gt;" in page and "&lt;u&gt;" in page and "&lt;s&gt;" in page
    assert 'class="kv-report"' in page


def test_a_share_beyond_the_edge_stands_there_as_a_number():
    measured = {"fullkv": {"memory": (1, 1, 1)}, "h2o": {}}
    report = {"fullkv": {"memory": 2.0}, "h2o": {"memory": 15.6}}
    axes = show.score_panels(measured, report, ["memory"], widest=1.6).axes[0]
    assert [text.get_text() for text in axes.texts] == ["7.8 ×"]
    assert max(line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1) == 1.6


def test_a_cost_that_nobody_measured_is_an_empty_panel_that_says_so():
    costs = {"fullkv": {"prefill": {64: (1.0, 1.0, 1.0)}, "memory": {}}}
    figure = show.cost_panels(costs, {"prefill": "s", "memory": "GiB"}, "measured")
    figure.canvas.draw()
    assert [text.get_text() for text in figure.axes[1].texts] == ["not measured"]
    assert not figure.axes[0].texts
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["64"]


def test_what_all_heads_keep_is_told_from_what_some_keep():
    told = str(show.kept_sentence(RUN, 4))
    assert told == "Of 4 positions 0 are kept by all 4 heads, 3 by some of them, 1 by none."
    same = SimpleNamespace(kept_positions=[torch.tensor([[[0, 2], [2, 0]]])])
    assert str(show.kept_sentence(same, 4)) == "All 2 heads keep the same 2 of 4 positions."


def test_a_journey_says_what_is_read_and_held():
    def said(first, read, kept):
        layers = [torch.arange(one)[None] for one in read]
        heads = [torch.arange(one)[None, None] for one in kept]
        run = SimpleNamespace(filter_layers=first, layer_inputs=layers, kept_positions=heads)
        return str(show.journey_sentence(run, 3))

    assert (
        said(0, [3, 3], [2, 2]) == "Every layer reads all 3 tokens. Every KV head holds 2 entries."
    )
    told = said(0, [3, 2], [3, 1])
    assert told.startswith("1 layers read all 3 tokens; the last layer reads 2.")
    assert told.endswith("A KV head holds 1 to 3 entries, by its layer.")
    assert said(1, [2, 2], [2, 2]).startswith("1 layers of a first pass read all 3 tokens; then")


def test_needles_are_said_by_method_and_length():
    told = str(show.needles_sentence({"h2o": [[1, 0], [1, 0], [0, 0], [0, 0]]}, [256, 512]))
    assert told == "- h2o: 25% of all needles; 50% with 256 tokens, 0% with 512."


def test_ratios_below_one_are_counted():
    told = str(show.ratios_sentence({"a": [[0.5, 1.0], [2.0, 0.25]]}))
    assert told == "- a: 2 of 4 ratios are below 1; the least is 0.25, the most 2.00."
