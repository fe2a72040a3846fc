"""BERTScore against naive arithmetic and bert-score itself, and what it cannot tell."""

import pytest
import torch
from bert_score import score as bert_score
from transformers import AutoModel, AutoTokenizer

from kvbook.finetune.score import TIE, bertscore, choose_encoder

MILK = "多数糖尿病患者可以喝牛奶，纯牛奶升糖较慢。建议每天300毫升左右，选不加糖的品种。"
REWORDED = "糖尿病人一般能喝奶，不加糖的牛奶让血糖升得不快，一天大约三百毫升就行。"
OTHER = "晨起咽干咽痒可能与夜间张口呼吸有关。建议睡前湿化空气、少吃辛辣。"


def f1(candidates, references, encoder):
    return bertscore(candidates, references, encoder=encoder).raw.f1


def test_identical_texts_score_one(e5):
    scores = bertscore([MILK, "Drink milk."], [MILK, "Drink milk."], encoder=e5)
    for match in (scores.raw, scores.rescaled):
        for values in (match.precision, match.recall, match.f1):
            assert values == pytest.approx([1, 1], abs=1e-5)


def test_the_same_in_other_words_scores_between_the_same_words_and_another_topic(e5):
    other, reworded, same = f1([OTHER, REWORDED, MILK], [MILK] * 3, e5)
    assert other + 0.1 < reworded < same - 0.1


def test_what_is_wrong_by_a_word_scores_higher_than_what_is_right_in_other_words(e5):
    """The measure's known weakness, which the chapter shows."""
    negated = MILK.replace("可以", "不可以")
    overdosed = MILK.replace("300", "3000")
    reworded, *wrong = f1([REWORDED, negated, overdosed], [MILK] * 3, e5)
    assert min(wrong) > reworded + 0.1


def test_it_is_the_mean_of_the_greatest_cosines_of_the_ninth_layers_states(e5):
    tokenizer = AutoTokenizer.from_pretrained(e5.folder)
    model = AutoModel.from_pretrained(e5.folder)

    def states(text):
        with torch.no_grad():
            out = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        rows = out.hidden_states[9][0, 1:-1]  # without the first and the last token
        return rows / rows.norm(dim=1, keepdim=True)

    cosines = states(REWORDED) @ states(MILK).T
    precision, recall = cosines.max(1).values.mean().item(), cosines.max(0).values.mean().item()
    scores = bertscore([REWORDED], [MILK], encoder=e5).raw
    assert scores.precision == pytest.approx([precision], abs=1e-5)
    assert scores.recall == pytest.approx([recall], abs=1e-5)
    assert scores.f1 == pytest.approx([2 * precision * recall / (precision + recall)], abs=1e-5)


def test_a_score_does_not_depend_on_what_else_is_scored(e5):
    pairs = [(REWORDED, MILK), ("是", OTHER), *((f"{i}" * (i % 40 + 1), OTHER) for i in range(70))]
    candidates, references = map(list, zip(*pairs, strict=True))
    together = f1(candidates, references, e5)
    alone = [f1([ours], [theirs], e5)[0] for ours, theirs in pairs[:4]]
    assert together[:4] == pytest.approx(alone, abs=TIE)


def test_empty_answers_score_zero_and_are_counted(small):
    scores = bertscore(["", " \n", "abc"], ["abc"] * 3, encoder=small)
    assert scores.raw.precision[:2] == scores.raw.recall[:2] == scores.raw.f1[:2] == [0, 0]
    assert scores.rescaled.f1[:2] == pytest.approx([-0.4 / 0.6] * 2)
    assert scores.empty == 2 and scores.raw.f1[2] == pytest.approx(1)


def test_answers_may_all_be_empty(small):
    assert f1([""], ["abc"], small) == [0]


def test_rescaled_is_the_distance_from_the_baseline(small):
    scores = bertscore(["abc", "abd"], ["cda", "hgf"], encoder=small)
    for name, b in (("precision", 0.5), ("recall", 0.25), ("f1", 0.4)):
        raw, rescaled = getattr(scores.raw, name), getattr(scores.rescaled, name)
        assert rescaled == pytest.approx([(one - b) / (1 - b) for one in raw])


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_rescaled_is_what_bert_score_rescales(e5):
    ours, theirs = [REWORDED, OTHER], [MILK, MILK]
    encoder = dict(model_type=str(e5.folder), num_layers=9, baseline_path=str(e5.baseline))
    *_, expected = bert_score(ours, theirs, lang="zh", rescale_with_baseline=True, **encoder)
    rescaled = bertscore(ours, theirs, encoder=e5).rescaled
    assert rescaled.f1 == pytest.approx(expected.tolist(), abs=1e-5)


def test_without_a_baseline_nothing_is_rescaled(folder):
    assert bertscore(["a"], ["b"], encoder=choose_encoder(folder, layer=2)).rescaled is None


def test_the_layer_is_the_one_asked_for(folder):
    first, second = (f1(["abc"], ["cde"], choose_encoder(folder, layer=n)) for n in (1, 2))
    assert first != pytest.approx(second, abs=1e-3)


def test_what_is_over_the_encoders_length_is_counted_and_left_out(small):
    fits, over, other_end = "ab" * 7, "ab" * 7 + "a", "ab" * 7 + "h"
    scores = bertscore([fits, over, other_end, fits], [fits, fits, fits, over], encoder=small)
    assert scores.cut == 3
    assert scores.raw.f1 == pytest.approx([1] * 4, abs=1e-5)
