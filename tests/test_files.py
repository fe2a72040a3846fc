"""Files and folders that are written whole, or not at all."""

import os
import subprocess
import sys

import pytest

from kvbook.errors import ResultError
from kvbook.files import disk_bytes, disk_errors, whole_folder, write_whole


def test_a_folder_appears_when_it_is_complete(tmp_path):
    with whole_folder(tmp_path / "model") as new:
        (new / "weights").touch()
        assert not (tmp_path / "model").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "weights"]


def test_an_interrupted_folder_leaves_the_one_that_was_there(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "model") as new:
        (new / "new").touch()
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "old"]


def test_what_a_killed_process_left_is_cleared(tmp_path):
    (tmp_path / ".writing-model-x").mkdir()
    with whole_folder(tmp_path / "model"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_interrupted_file_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "result.json", "{}")
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_is_not_unicode_is_refused(tmp_path):
    with pytest.raises(ResultError, match="not Unicode"):
        write_whole(tmp_path / "result.json", "abc\udcff")
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, signal, sys, torch
from safetensors.torch import save_file
from kvbook.files import disk_bytes, disk_errors

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    with disk_errors():
        {save}({{"a": torch.zeros(10_000)}}, sys.argv[1])
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize(
    "save, says",
    [("save_file", "File too large"), ("torch.save", "No space left on device")],
)
def test_a_full_disk_is_an_os_error_whatever_the_library_says(tmp_path, save, says):
    command = [sys.executable, "-c", FULL.format(save=save), str(tmp_path / "weights")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == says, done.stderr


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), disk_errors():
        raise RuntimeError("shapes do not match")


def test_folders_count_with_all_that_is_in_them_and_links_do_not(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "ten").write_bytes(bytes(10))
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "b" / "ten")
    (tmp_path / "five").write_bytes(bytes(5))
    assert disk_bytes(tmp_path / "a", tmp_path / "five") == 15
    assert disk_bytes(tmp_path / "nothing") == 0
