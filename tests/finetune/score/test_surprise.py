"""Where the loss of a row comes from."""

import pytest
import torch
from finetune.rows import chat

from kvbook import load_model
from kvbook.finetune.data.parts import parts_of
from kvbook.finetune.score import reference_nll
from kvbook.finetune.score.likelihood import token_nll
from kvbook.finetune.score.surprise import surprise_by_part


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny-random", dtype="float32", device="cpu")


def test_a_tokens_surprise_is_minus_the_logarithm_of_its_probability(tiny):
    ids = [5, 9, 7]
    with torch.no_grad():
        logits = tiny.model(torch.tensor([ids])).logits[0]
    expected = [-logits[t - 1].double().log_softmax(0)[ids[t]].item() for t in (1, 2)]
    assert token_nll(tiny.model, ids).tolist() == pytest.approx(expected, abs=1e-5)


def test_what_is_trained_has_the_mean_that_the_reference_has(tiny):
    dialogue = chat("头痛？", "多休息。")
    found = surprise_by_part(tiny, [dialogue])
    trained = [part for part in found.tokens if part not in ("template", "question")]
    mean = sum(found.nats[part] for part in trained) / sum(found.tokens[part] for part in trained)
    assert [mean] == pytest.approx(reference_nll(tiny.model, tiny.tokenizer, [dialogue]), abs=1e-5)


def test_rows_add_up_and_all_tokens_but_the_first_are_counted(tiny):
    two = [chat("头痛？", "多休息。"), chat("q", "abc")]
    both, alone = surprise_by_part(tiny, two), [surprise_by_part(tiny, [one]) for one in two]
    assert both.nats == pytest.approx(
        {part: sum(one.nats[part] for one in alone) for part in both.nats}
    )
    lengths = [len(parts_of(tiny.tokenizer, one).ids) for one in two]
    assert sum(both.tokens.values()) == sum(lengths) - 2
    assert both.means()["question"]["tokens"] == (9 + 1) / 2


def test_the_end_of_a_question_is_the_token_that_closes_it(tiny):
    dialogue = chat("q", "abc")
    parts = parts_of(tiny.tokenizer, dialogue)
    at = parts.names.index("question") + 1
    assert tiny.tokenizer.decode([parts.ids[at]]) == "<|im_end|>"
    costs = token_nll(tiny.model, parts.ids).tolist()
    assert surprise_by_part(tiny, [dialogue]).question_ends == [costs[at - 1]]


def test_pieces_of_a_character_are_kept_apart(tiny):
    found = surprise_by_part(tiny, [chat("q", "a痛b休")])
    assert (len(found.first), len(found.further)) == (2, 4)
