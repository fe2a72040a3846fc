"""What is trained, and what surprises."""

import re
from dataclasses import replace

from tables import cells

from kvbook import show
from kvbook.finetune.data import Encoded
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


def test_the_highest_bar_is_told_with_its_part():
    names = ["template", "question", "template", "answer", "answer"]
    text = str(show.surprise_sentence(names, [1.0, 2.0, 3.0, 7.0]))
    assert "bar is 7.0 nats, in the part *answer*" in text
    assert "2.0 nats in the template, 1.0 in the question, and 5.0 in the answer" in text


def test_a_row_is_told_with_its_english_where_there_is_one():
    one = Encoded([1, 2, 3, 4, 5], [-100, -100, -100, 4, 5])
    text = str(show.row_sentence(one, 1, 0))
    assert "**5 tokens, of which 2 are trained.** The question has 1 of the 3 tokens" in text
    assert str(show.row_sentence(one, 1, 0, "hello")) == f"{text} In English: hello"


def test_both_losses_of_a_row_are_told():
    text = str(show.loss_sentence(2.5, 2.75, 4, 9))
    assert text.startswith("Row 4, 9 trained tokens") and "**2.5000** nats" in text
    assert "**2.7500** by the model" in text


def test_a_parts_share_is_of_what_is_trained_and_of_everything():
    assert body(show.surprise_table(SURPRISE)) == [
        ["template", "5.0", "2.00", "–", "20.0%"],
        ["question", "2.0", "5.00", "–", "20.0%"],
        ["answer", "3.0", "9.00", "90.0%", "54.0%"],
        ["end of turn", "1.0", "3.00", "10.0%", "6.0%"],
    ]


def test_training_the_prompt_is_told_with_its_shares():
    text = str(show.prompt_sentence(SURPRISE))
    assert "The answer's text makes 90.0% of the loss" in text
    assert "40% of the loss would be about the prompt: 20% about the template" in text
    assert "*question* costs this model 5.0 nats, the end of an answer 3.0" in text
    assert text.endswith("where a question ends.")
    easy = str(show.prompt_sentence(replace(SURPRISE, question_ends=[1.0])))
    assert easy.endswith("the end of an answer 3.0.")


def test_pieces_are_told_where_there_are_any():
    (text,) = show.piece_sentence(SURPRISE)
    assert "costs 3.0 nats, each further one 1.5" in str(text)
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
