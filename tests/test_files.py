"""Files and folders that are written whole, or not at all."""

import pytest

from kvbook.files import whole_folder


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
