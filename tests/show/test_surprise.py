"""What is trained, and what surprises."""

import re

from tables import cells

from kvbook import show
from kvbook.finetune.score.surprise import Surprise

SURPRISE = Surprise(
    rows=2,
    tokens={"template": 10, "question": 4, "answer": 6, "end of turn": 2},
    nats={"template": 20.0, "question": 20.0, "answer": 54.0, "end of turn": 6.0},
    question_ends=[4.0, 6.0],
    first=[3.0],
    further=[1.0, 2.0],
)


def body(shown):
    """The texts of a table, without the names of its columns."""
    return cells(shown)[1:]


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
