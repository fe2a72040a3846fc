"""Pairs that no measure can score."""

import pytest

from kvbook.errors import ParameterError
from kvbook.finetune.score import bertscore, length_ratio, overlap, score_answers

REFUSED = [
    ([], [], "no answers"),
    (["a"], ["a", "b"], "1 candidates and 2 references"),
    (["a"], ["  "], "reference 0 is empty"),
    ("ab", "ab", "not one text"),
]


@pytest.mark.parametrize("measure", [bertscore, overlap, length_ratio, score_answers])
@pytest.mark.parametrize("candidates, references, says", REFUSED)
def test_what_cannot_be_scored_is_refused(measure, candidates, references, says):
    with pytest.raises(ParameterError, match=says):
        measure(candidates, references)
