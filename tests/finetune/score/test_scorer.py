"""Scorers with an encoder by its name, and encoders that cannot be had."""

import huggingface_hub
import pytest

from kvbook.errors import ModelError, ParameterError
from kvbook.finetune.score import bertscore, choose_encoder, read_baseline


def test_the_embedded_encoder_is_the_default(e5):
    assert (e5.name, e5.layer) == ("multilingual-e5-small", 9)
    assert bertscore(["是"], ["是"]).encoder == e5.name


def test_bert_base_chinese_has_bert_scores_layer_and_baseline(folder, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))
    encoder = choose_encoder("bert-base-chinese")
    assert (encoder.folder, encoder.layer) == (folder, 8)
    assert read_baseline(encoder.baseline, 8)[2] == 0.54755783


def test_bert_base_chinese_without_a_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="cannot fetch bert-base-chinese .*layer=8"):
        choose_encoder("bert-base-chinese")


def test_a_folder_needs_a_layer(folder):
    with pytest.raises(ParameterError, match="say which layer"):
        choose_encoder(folder)


def test_an_unknown_encoder_is_refused_with_the_known():
    with pytest.raises(ModelError, match="no encoder 'roberta': give 'multilingual-e5-small'"):
        choose_encoder("roberta")


def test_a_layer_that_the_encoder_has_not_is_refused(folder):
    with pytest.raises(ParameterError, match="layer=3: .*between 0 and 2"):
        bertscore(["a"], ["a"], encoder=choose_encoder(folder, layer=3))


def test_a_folder_without_weights_is_one_message(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="cannot read the encoder in"):
        bertscore(["a"], ["a"], encoder=choose_encoder(tmp_path, layer=1))
