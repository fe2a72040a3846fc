"""Baselines: read, made, written, and the embedded one that of today's data."""

import json

import numpy as np
import pytest

from kvbook.errors import ParameterError
from kvbook.finetune.score import (
    baseline_texts,
    bertscore,
    choose_encoder,
    digest,
    make_baseline,
    read_baseline,
)
from kvbook.finetune.score.baseline import rescale
from kvbook.places import place


def test_a_baseline_that_is_not_there_is_refused(folder):
    with pytest.raises(ParameterError, match="there is no baseline"):
        choose_encoder(folder, layer=2, baseline=folder / "none.csv")


@pytest.mark.parametrize(
    "content, says",
    [
        ("LAYER,P,R,F\n0,1,1,1\n", "no baseline of layer 2"),
        ("layer;p\n2;1\n", "is no baseline"),
        ("LAYER,P,R,F\n2,1\n", "is no baseline"),
        ("LAYER,P,R,F\n2,.1,.1,.1\n2,.2,.2,.2\n", "2 lines of layer 2: keep one"),
        ("LAYER,P,R,F\n2,.1,nan,.1\n", "scores of layer 2 have to be below 1"),
        ("LAYER,P,R,F\n2,1,1,1\n", "scores of layer 2 have to be below 1"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path, content, says):
    path = tmp_path / "baseline.csv"
    path.write_text(content)
    with pytest.raises(ParameterError, match=says):
        read_baseline(path, 2)


def test_a_baseline_is_the_mean_over_texts_that_do_not_belong_together(folder, small, tmp_path):
    texts = ["abc", "dch", "0123", "abc", " "]
    made = make_baseline(texts, small, pairs=6)  # all that there are
    pairs = [(a, b) for a in texts[:3] for b in texts[:3] if a != b]
    for layer in (1, 2):
        encoder = choose_encoder(folder, layer=layer)
        raw = bertscore(*map(list, zip(*pairs, strict=True)), encoder=encoder).raw
        expected = [np.mean(values) for values in (raw.precision, raw.recall, raw.f1)]
        assert made.layers[layer] == pytest.approx(expected, abs=1e-5)


def test_a_baseline_is_written_in_bert_scores_format_with_its_provenance(small, tmp_path):
    made = make_baseline(["abc", "dch", "0123"], small, pairs=3, seed=5)
    made.write(tmp_path / "b.csv")
    assert read_baseline(tmp_path / "b.csv", 2) == pytest.approx(np.array(made.layers[2]), abs=1e-6)
    provenance = json.loads((tmp_path / "b.json").read_text())
    assert provenance == made.provenance
    assert (provenance["pairs"], provenance["seed"], provenance["layer"]) == (3, 5, 2)


def test_the_seed_draws_the_pairs(small):
    texts = ["abc", "dch", "0123", "bbb", "h"]
    first, again, other = (make_baseline(texts, small, pairs=4, seed=s).layers for s in (0, 0, 1))
    assert np.allclose(first, again, atol=1e-6) and not np.allclose(first, other, atol=1e-4)


@pytest.mark.parametrize("texts, pairs", [(["a"], 1), (["a", "b"], 3), (["a", "b"], 0)])
def test_pairs_that_there_are_not_are_refused(texts, pairs, small):
    with pytest.raises(ParameterError, match="different texts make"):
        make_baseline(texts, small, pairs=pairs)


def test_the_embedded_encoders_baseline_is_of_todays_training_data():
    """If not: python -m kvbook.finetune.score"""
    provenance = json.loads((place("data") / "medical/baseline.json").read_text())
    assert provenance["texts"]["sha256"] == digest(baseline_texts())


def test_answers_to_other_questions_score_about_zero_rescaled(e5):
    texts = baseline_texts()[:40]
    scores = bertscore(texts, texts[1:] + texts[:1], encoder=e5)
    assert np.mean(scores.rescaled.f1) == pytest.approx(0, abs=0.08)
    assert np.mean(scores.raw.f1) > 0.5


@pytest.mark.parametrize("raw, rescaled", [(0.8, 0.0), (1.0, 1.0), (0.9, 0.5), (0.6, -1.0)])
def test_the_baseline_is_zero_on_the_rescaled_scale_and_one_stays(raw, rescaled):
    assert rescale(raw, 0.8) == pytest.approx(rescaled)
