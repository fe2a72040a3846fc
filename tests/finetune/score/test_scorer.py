"""Scorers with an encoder by its name, and encoders that cannot be had."""

import huggingface_hub
import pytest
import torch
import transformers

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


WIDE = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
KINDS = {  # and the tokens that each reads of a table of 20 positions
    "Bert": (WIDE, 20),
    "Electra": (WIDE | {"embedding_size": 16}, 20),
    "DistilBert": ({"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}, 20),
    "Roberta": (WIDE | {"pad_token_id": 1}, 18),
    "XLMRoberta": (WIDE | {"pad_token_id": 3}, 16),
}


@pytest.fixture(params=KINDS)
def other(request, folder, tmp_path):
    """A random encoder of another kind with the letters of `folder`, and what it can read."""
    size, longest = KINDS[request.param]
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    config = getattr(transformers, f"{request.param}Config")
    config = config(vocab_size=20, max_position_embeddings=20, **size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        getattr(transformers, f"{request.param}Model")(config).save_pretrained(tmp_path)
    return choose_encoder(tmp_path, layer=1), longest - 2  # without the first and the last


def test_an_encoder_reads_up_to_its_real_limit_and_the_rest_is_counted(other):
    encoder, longest = other
    words = "abcdefgh0123" * 3
    texts = [words[:longest], words[: longest + 1], words]
    found = bertscore(texts, [words[:longest]] * 3, encoder=encoder)
    assert found.raw.f1 == pytest.approx([1.0] * 3, abs=1e-5)
    assert found.cut == 2


def test_an_encoder_with_relative_positions_reads_any_length(folder, tmp_path):
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    size = {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16}
    transformers.XLNetModel(transformers.XLNetConfig(vocab_size=20, **size)).save_pretrained(
        tmp_path
    )
    found = bertscore(["ab" * 300], ["ab" * 300], encoder=choose_encoder(tmp_path, layer=1))
    assert found.raw.f1 == pytest.approx([1.0], abs=1e-5) and found.cut == 0


def test_a_tokenizer_without_a_pad_token_is_one_message(folder, tmp_path):
    transformers.AutoModel.from_pretrained(folder).save_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has no pad token"):
        bertscore(["a"], ["abc"], encoder=choose_encoder(tmp_path, layer=1))
