"""Fine-tuning data as tables and pictures: they say what they are given, and nothing else."""

import re

import pytest
from tables import cells

from kvbook import show
from kvbook.finetune.data import Dialogue, Duplicate, Encoded, Malformed, Read
from kvbook.finetune.data.cutoff import Epoch
from kvbook.finetune.data.duplicates import Deduplicated
from kvbook.finetune.score.surprise import Surprise

REPORT = {"items": 500, "bertscore_f1": {"before": 0.6, "after": 0.7}}
SURPRISE = Surprise(
    rows=2,
    tokens={"template": 10, "question": 4, "answer": 6, "end of turn": 2},
    nats={"template": 20.0, "question": 20.0, "answer": 54.0, "end of turn": 6.0},
    question_ends=[4.0, 6.0],
    first=[3.0],
    further=[1.0, 2.0],
)


def dialogue(question, line=1):
    turns = ({"role": "user", "content": question}, {"role": "assistant", "content": "ok"})
    return Dialogue(turns, line)


def body(shown):
    """The texts of a table, without the names of its columns."""
    return cells(shown)[1:]


def test_the_reports_scores_are_those_of_its_file():
    assert body(show.finetuning_report(REPORT))[-1] == ["BERTScore F1", "0.60 before, 0.70 after"]


def test_newlines_of_a_rendered_text_are_seen():
    assert body(show.template_texts({"m": "a\nb"})) == [["m", "a↵ b"]]
    assert body(show.template_answers({"none": ("a\nb", False)}, "q")) == [["none", "a↵ b", "no"]]


def test_a_malformed_row_stands_beside_its_reason():
    read = Read([dialogue("q", 1), dialogue("q", 3)], [Malformed(2, "not JSON")])
    shown = show.malformed_rows("{}\n{oops\n{}", read)
    assert body(shown) == [["2", "{oops", "not JSON"]]
    assert "3 lines, of which 1 are malformed; lines 1 and 3 are usable" in shown.data


def test_the_first_malformed_row_of_a_file_is_told():
    bad = Read([], [Malformed(7, "empty"), Malformed(9, "null")])
    assert body(show.files_table({"a": bad, "b": Read([dialogue("q")], [])}, "")) == [
        ["a", "0", "2", "line 7: empty"],
        ["b", "1", "0", "–"],
    ]


def test_keys_are_shown_as_yaml_has_them():
    shown = show.yaml_keys({"a": True, "b": 512, "c": 1}, ["a", "b"]).data
    assert "\na: true\nb: 512\n```" in shown


def test_characters_and_tokens_share_an_axis():
    figure = show.length_histograms([dialogue("12345")], [Encoded([1, 2, 3], [-100, 2, 3])])
    counted = [
        [sum(bar.get_height() for bar in bars) for bars in axes.containers] for axes in figure.axes
    ]
    assert counted == [[0.0, 1.0], [1.0, 1.0]]  # the question is longer than the axis of tokens
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()


def test_a_characters_cost_is_tokens_over_characters_times_bytes():
    texts = {"own": ["头痛"], "english": ["two words"]}
    shown, text = show.character_costs(texts, {"own": 6, "english": 3}, 100, 60, "m")
    assert body(shown)[0] == ["own", "2", "6", "3.00", "300", "20"]
    assert "**3.00 tokens a character** in the first row, 1.50 tokens an English word" in text.data


def test_a_token_that_costs_more_than_qwens_is_not_compared_with_it():
    texts = {"own": ["头痛"], "english": ["two words"]}
    told = [
        "Not for free"
        in show.character_costs(texts, dict.fromkeys(texts, 6), size, 60, "m")[1].data
        for size in (100, 10**6)
    ]
    assert told == [True, False]


def test_bars_stand_at_their_tokens():
    figure = show.surprise_bars(["template", "question", "template", "answer"], [1.0, 2.0, 3.0])
    bars = {
        of.get_label(): [(round(bar.get_x() + 0.5), bar.get_height()) for bar in of]
        for of in figure.axes[0].containers
    }
    assert bars == {
        "template": [(2, 2.0)],
        "question": [(1, 1.0)],
        "answer": [(3, 3.0)],
        "end of turn": [],
    }


def test_a_parts_share_is_of_what_is_trained_and_of_everything():
    assert body(show.surprise_table(SURPRISE)) == [
        ["template", "5.0", "2.00", "–", "20.0%"],
        ["question", "2.0", "5.00", "–", "20.0%"],
        ["answer", "3.0", "9.00", "90.0%", "54.0%"],
        ["end of turn", "1.0", "3.00", "10.0%", "6.0%"],
    ]


def test_training_the_prompt_is_told_with_its_shares():
    text = show.prompt_sentence(SURPRISE).data
    assert "40% of the loss would be about the prompt: 20% about the template" in text
    assert "*question* costs this model 5.0 nats, the end of an answer 3.0" in text
    assert text.endswith("where a question ends.")


def test_pieces_are_told_where_there_are_any():
    (text,) = show.piece_sentence(SURPRISE)
    assert "costs 3.0 nats, each further one 1.5" in text.data
    assert show.piece_sentence(Surprise(1, {}, {}, [], [], [])) == []


def test_what_comes_behind_the_prompt_is_trained():
    shown = show.trained_text("<|im_start|>q\n", "a<|im_end|>").data
    boxes = re.findall(r'class="(kv-token[^"]*)" title="position \d">([^<]*)', shown)
    assert boxes == [
        ("kv-token kv-untrained kv-control", "&lt;|im_start|&gt;"),
        ("kv-token kv-untrained", "q"),
        ("kv-token kv-untrained", "↵"),
        ("kv-token kv-trained", "a"),
        ("kv-token kv-trained kv-control", "&lt;|im_end|&gt;"),
    ]


def test_duplicates_are_counted_and_the_nearest_pair_is_shown():
    train, test = [dialogue("a", 1), dialogue("b", 2)], [dialogue("c", 5)]
    found = Deduplicated(train[:1], test, [Duplicate(2, 5, 1.0)], [])
    counts, nearest = show.duplicates_tables(found, Duplicate(1, 5, 0.25), train)
    assert body(counts) == [["2", "1", "0", "1"]] and body(nearest) == [["a", "c", "0.25"]]
    assert len(show.duplicates_tables(found, None, train)) == 1


def test_planted_questions_are_told_as_found_or_not():
    caught = Deduplicated([], [], [Duplicate(1, 1, 1.0)], [])
    every = Deduplicated([], [], [Duplicate(1, 1, 1.0)], [Duplicate(2, 1, 0.4)])
    shown = show.planted_table({"same": "a", "else": "b", "other": "c"}, caught, every)
    assert [row[2:] for row in body(shown)] == [["exact", "1.00"], ["no", "0.40"], ["no", "0.00"]]


def test_a_leak_that_explains_the_gain_is_a_quarter_of_what_was_missing():
    assert "*p* = **25%**, 125 of 500 items" in show.leak_sentence(REPORT, 0.001).data


LOSSES = {
    10: {"rows cut": 1.0, "trained tokens lost": 0.5, "advice lost": 0.9},
    20: {"rows cut": 0.4, "trained tokens lost": 0.04, "advice lost": 0.3},
    30: {"rows cut": 0.0, "trained tokens lost": 0.0, "advice lost": 0.0},
}


def test_a_curve_is_drawn_for_each_loss_and_a_line_at_the_chosen_length():
    axes = show.cutoff_curves(LOSSES, 20).axes[0]
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines[:3]}
    assert drawn["advice lost"] == [0.9, 0.3, 0.0] and len(axes.lines) == 4
    assert len(show.cutoff_curves(LOSSES, 25).axes[0].lines) == 3


def test_only_the_lengths_that_are_asked_for_are_in_the_table():
    assert body(show.cutoff_table(LOSSES, [20], "")) == [["20", "40.0%", "4.0%", "30.0%"]]


@pytest.mark.parametrize("advice", [True, False])
def test_the_mildest_cut_is_told_with_what_it_costs(advice):
    losses = {
        length: {name: share for name, share in of.items() if advice or name != "advice lost"}
        for length, of in LOSSES.items()
    }
    text = show.cutoff_sentence(losses).data
    assert "At 20 tokens only 4.0% of what is trained" in text and "**40% of the rows" in text
    assert ("30% of the answers their advice" in text) == advice


def test_times_are_told_a_row():
    seconds = {"read": 0.5, "encode": 0.2, "compare": 0.1}
    assert [row[2] for row in body(show.step_times(seconds, 100, 25))] == ["4.00", "2.00", "1.00"]


def test_padding_and_labels_are_shares_of_what_is_read():
    shown, text = show.epoch_tokens(Epoch(read=100, trained=40, padded=125), 2, 9)
    assert [row[1] for row in body(shown)] == ["100", "125", "40"]
    assert "25% of padding" in text.data and "40% of what is read has a label" in text.data
