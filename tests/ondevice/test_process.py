"""The peer process: what it is asked, and how it ends."""

import os
import signal
import subprocess
import sys

import pytest

from kvbook.errors import ExecutionError, ParameterError
from kvbook.ondevice import LlamaCpp, process
from kvbook.ondevice.peer import capi

TEXTS = [
    "What is a KV cache?",
    "缓存里有什么？",
    "👩‍🔬 and 🍜",
    "  two  blanks\n\nnew line",
    "<|im_end|>",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_has_the_tokens_of_the_tokenizer_and_comes_back(text, lm, llama):
    ids = llama.tokenize(text)
    assert ids == lm.tokenizer(text, add_special_tokens=False).input_ids
    assert llama.text(ids, special=True) == text


def test_facts_are_the_models(lm, llama):
    assert llama.facts["vocabulary"] == lm.model.config.vocab_size
    assert llama.facts["version"] == capi.VERSION
    assert lm.tokenizer.eos_token_id in llama.facts["ends"]


def test_logits_of_all_end_with_those_of_the_last(llama):
    context = llama.open(64, "f32", flash="off", batch=4)  # in several batches
    ids = [5, 6, 7, 8, 9, 10]
    every = context.read(ids, 0, logits="all")
    context.clear()
    last = context.read(ids, 0)
    assert every.shape == (6, llama.facts["vocabulary"])
    assert abs(every[-1] - last).max() < 1e-4
    assert context.read([4], 6, logits="none").shape[0] == 0
    assert [one.tokens for one in context.spent] == [6, 6, 1]
    context.close()


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"cache": "q5_0"}, "'f32', 'f16', 'q8_0', 'q4_0'"),
        ({"entries": 0}, "at least 1"),
        ({"flash": "yes"}, "'auto', 'on' or 'off'"),
        ({"cache": "q4_0", "flash": "off"}, "quantised values need flash attention"),
    ],
)
def test_what_cannot_be_opened_is_refused_and_the_process_goes_on(settings, words, llama):
    with pytest.raises(ParameterError, match=words):
        llama.open(**{"entries": 64} | settings)
    assert llama.tokenize("a")


def test_positions_that_do_not_go_on_are_refused(llama):
    context = llama.open(64)
    context.read([5, 6, 7], 0)
    with pytest.raises(ParameterError, match="positions must go on"):
        context.read([8], 1)
    context.close()


def test_a_cache_without_room_says_so(llama):
    context = llama.open(256)
    with pytest.raises(ParameterError, match="no room in the cache"):
        context.read([5] * 300, 0)
    context.close()


def test_a_file_that_is_no_model_is_refused_by_name(environment, tmp_path):
    file = tmp_path / "odd.gguf"
    file.write_bytes(b"GGUF and nothing more")
    with pytest.raises(ExecutionError, match="odd.gguf: it is no whole GGUF"):
        with LlamaCpp(file):
            pass


def test_a_file_that_is_not_there_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(ParameterError, match="there is no file"):
        LlamaCpp(tmp_path / "none.gguf")


def test_without_the_environment_it_says_what_to_do(gguf, monkeypatch):
    monkeypatch.setattr("kvbook.places.REPOSITORY", gguf.parent)
    monkeypatch.delenv("KVBOOK_LLAMACPP", raising=False)
    with pytest.raises(ExecutionError, match="make llamacpp"):
        with LlamaCpp(gguf):
            pass


def test_an_environment_without_the_wheel_is_named(gguf, monkeypatch):
    monkeypatch.setenv("KVBOOK_LLAMACPP", sys.executable)
    with pytest.raises(ExecutionError, match=f"xllamacpp=={capi.VERSION} is not installed"):
        with LlamaCpp(gguf):
            pass


def test_a_process_that_dies_is_named_and_kills_nobody(environment, gguf):
    with LlamaCpp(gguf, threads=1) as llama:
        os.kill(llama._process.pid, signal.SIGABRT)
        with pytest.raises(ExecutionError, match="ended by signal SIGABRT"):
            llama.tokenize("a")


def test_an_assertion_of_llamacpp_is_its_answer(environment, gguf):
    with LlamaCpp(gguf, threads=1) as llama:
        with pytest.raises(ExecutionError, match="GGML_ASSERT"):
            llama.open(64).copy(0, 9999)  # no such sequence


def test_the_process_ends_with_its_block(environment, gguf):
    with LlamaCpp(gguf, threads=1) as llama:
        pid = llama._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(ExecutionError, match="within its `with` block"):
        llama.tokenize("a")


# ---- what is checked before it runs ---------------------------------------------------------------


def test_a_processor_without_avx2_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(capi.platform, "machine", lambda: "x86_64")
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags\t\t: fpu sse4_2 avx\n")
    with pytest.raises(capi.UnusableError, match="no AVX2"):
        capi.check_processor(cpuinfo)
    cpuinfo.write_text("flags\t\t: fpu avx avx2\n")
    capi.check_processor(cpuinfo)


def test_structures_that_have_moved_are_refused():
    right = capi.ContextParams(**capi.DEFAULTS)
    capi.check_defaults(right)
    right.type_k = 0
    with pytest.raises(capi.UnusableError, match="type_k=0"):
        capi.check_defaults(right)


def test_another_version_is_refused(environment, gguf, tmp_path):
    """As the peer sees it: a distribution of that name with another version."""
    other = tmp_path / f"{capi.PACKAGE}-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {capi.PACKAGE}\nVersion: 1.0\n")
    folder = os.path.dirname(capi.__file__)
    done = subprocess.run(
        [process.find_llamacpp(), folder, str(gguf)],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        input="",
        capture_output=True,
        text=True,
    )
    assert f"{capi.PACKAGE} 1.0 is installed there, and {capi.VERSION} is needed" in done.stdout
