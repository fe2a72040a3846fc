"""Parts of a row: each token is the template's, the question's, the answer's, or its end's."""

from itertools import groupby

import pytest
from finetune.rows import chat

from kvbook.errors import ParameterError
from kvbook.finetune.data import encode
from kvbook.finetune.data.parts import parts_of


def runs(tokenizer, parts):
    """The texts that one part names without a break."""
    groups = groupby(zip(parts.names, parts.ids, strict=True), key=lambda one: one[0])
    return [(name, tokenizer.decode([token for _, token in of])) for name, of in groups]


@pytest.mark.parametrize("model", ["tiny", "qwen3"])
def test_every_token_belongs_to_the_part_that_it_stands_in(model, request):
    tokenizer = request.getfixturevalue(model)
    parts = parts_of(tokenizer, chat("头痛？", "Rest."))
    assert parts.ids == encode(tokenizer, chat("头痛？", "Rest.")).ids
    *_, before, question, template, answer, end, newline = runs(tokenizer, parts)
    assert before[0] == "template" and before[1].endswith("<|im_start|>user\n")
    assert question == ("question", "头痛？") and template[0] == "template"
    assert (answer, end, newline) == (
        ("answer", "Rest."),
        ("end of turn", "<|im_end|>"),
        ("newline behind it", "\n"),
    )


def test_only_the_last_question_is_the_question(tiny):
    parts = parts_of(tiny, chat("one", "two", "three", "two"))
    assert [text for name, text in runs(tiny, parts) if name in ("question", "answer")] == [
        "three",
        "two",
    ]


def test_pieces_of_a_character_are_told_in_the_answer_only(tiny):
    """The tiny model has a token a byte: three for a Chinese character."""
    parts = parts_of(tiny, chat("头", "a痛"))
    at = parts.names.index("answer")
    assert parts.first[at : at + 4] == [False, True, False, False]
    assert parts.further[at : at + 4] == [False, False, True, True]
    assert sum(parts.first) == 1 and sum(parts.further) == 2


def test_a_text_with_other_tokens_than_its_messages_is_refused(tiny, monkeypatch):
    monkeypatch.setattr("kvbook.finetune.data.parts.render", lambda *_: "q a")
    with pytest.raises(ParameterError, match="line 1: its text has other tokens"):
        parts_of(tiny, chat("q", "a"))
