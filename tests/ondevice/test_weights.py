"""A model becomes the file that llama.cpp reads: once, and again when it has changed."""

import json

import pytest

from kvbook.errors import ParameterError
from kvbook.ondevice.weights import gguf_of, tokenizer_of


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_CACHE", str(tmp_path / "cache"))


def test_a_file_is_written_once_and_again_when_the_model_has_changed(folder, tmp_path):
    import shutil

    copy = shutil.copytree(folder, tmp_path / "copy")
    first = gguf_of(copy, "q8_0")
    written = first.stat().st_mtime_ns
    assert gguf_of(copy, "q8_0") == first and first.stat().st_mtime_ns == written
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-5}))
    assert gguf_of(copy, "q8_0") != first


@pytest.mark.parametrize(
    "model, weights, words",
    [
        ("tiny", "q4_1", "only the embedded model's own file"),
        ("tiny", "q3", "give 'q4_1', 'q8_0', 'f16', 'f32'"),
        ("nowhere", "f32", "no model in nowhere"),
        ("nowhere.gguf", "f32", "there is no file"),
    ],
)
def test_what_is_no_model_is_refused(model, weights, words, folder):
    with pytest.raises(ParameterError, match=words):
        gguf_of(folder if model == "tiny" else model, weights)


def test_a_files_own_tokenizer_has_its_template(folder, gguf):
    ours, theirs = tokenizer_of(gguf), tokenizer_of(folder)
    assert ours.chat_template == theirs.chat_template
    assert ours("Hello. 你好").input_ids == theirs("Hello. 你好").input_ids
