"""All measures together."""

import json

import pytest

from kvbook.finetune.score import score_answers


def test_all_scores_make_a_row_and_plain_data(small):
    made = score_answers(["abc", ""], ["abc", "abd"], encoder=small, nll=[1.0, 2.0])
    row = made.row(model="base")
    assert row["model"] == "base" and row["empty"] == "1" and row["length ratio"] == "0.50"
    assert row["BERTScore F1, raw"].startswith("0.500 (")
    assert row["NLL of the reference"].startswith("1.500 (")
    data = json.loads(json.dumps(made.data()))
    assert data["bert"]["raw"]["f1"] == pytest.approx([1, 0], abs=1e-5)
    assert data["overlap"]["rouge_l"] == [1, 0] and data["nll"] == [1, 2]
