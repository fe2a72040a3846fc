"""make.py: which machines it takes, and what a set-up does. Nothing is installed here."""

import importlib.util
import re
import subprocess
import sys

import pytest
import yaml

from kvbook.places import REPOSITORY


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make(tmp_path, monkeypatch):
    """The file in a scratch clone; the commands that it would run are noted."""
    module = load(REPOSITORY / "make.py")
    for name in ("pyproject.toml", *module.LOCKS.values()):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    module.ran = []
    monkeypatch.setattr(module, "HOME", tmp_path)
    monkeypatch.setattr(module, "run", lambda *words, **_: module.ran.append([*map(str, words)]))
    monkeypatch.setattr(module, "look", lambda: RIGHT)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    for name in module.LOCKS:
        (tmp_path / (f".venv-{name}" if name else ".venv")).mkdir()
    return module


RIGHT = {
    "python": "3.12",
    "implementation": "CPython",
    "free-threaded": False,
    "bits": 64,
    "system": "Linux x86_64",
    "library": ("glibc", "2.36"),
}


@pytest.mark.parametrize(
    "here",
    [
        {},
        {"python": "3.11"},
        {"python": "3.13"},
        {"system": "Linux aarch64", "library": ("glibc", "2.28")},
        {"system": "Darwin arm64", "library": ("macOS", "14.1")},
        {"system": "Windows AMD64", "library": ("", "")},
    ],
)
def test_a_machine_with_all_wheels_is_taken(make, here):
    assert make.refusal(RIGHT | here) is None


@pytest.mark.parametrize(
    "here, named",
    [
        ({"python": "3.10"}, r"3\.11, 3\.12 or 3\.13, and this is 3\.10: install one"),
        ({"python": "3.14"}, r"this is 3\.14: install one"),
        ({"python": "3.15"}, r"this is 3\.15: install one"),
        ({"implementation": "PyPy"}, "as CPython .* this is PyPy"),
        ({"free-threaded": True}, "this is free-threaded CPython"),
        ({"bits": 32}, "this is CPython for 32 bits"),
        ({"system": "Darwin x86_64", "library": ("macOS", "14.0")}, "Intel .* arm64"),
        ({"system": "Darwin arm64", "library": ("macOS", "13.6")}, "macOS 14.0 .* 13.6"),
        ({"system": "Linux i686"}, "this is Linux i686: use one of these"),
        ({"system": "Windows ARM64", "library": ("", "")}, "this is Windows ARM64"),
        ({"library": ("", "")}, "glibc, .* use Debian"),
        ({"library": ("glibc", "2.27")}, r"glibc 2\.28 or newer, and this is 2\.27"),
    ],
)
def test_a_machine_without_them_is_refused_by_name_with_what_to_do(make, here, named):
    assert re.search(named, make.refusal(RIGHT | here))


def test_the_python_of_these_tests_is_one_that_it_takes():
    module = load(REPOSITORY / "make.py")
    assert module.refusal(module.look()) is None


def test_nothing_is_done_on_a_machine_that_is_refused(make, monkeypatch):
    monkeypatch.setattr(make, "look", lambda: RIGHT | {"python": "3.9"})
    with pytest.raises(SystemExit, match=r"this is 3\.9"):
        make.main("book")
    assert not make.ran


def test_a_set_up_has_the_lock_the_package_and_the_models_and_is_made_once(make):
    python = make.set_up()
    said = [" ".join(words) for words in make.ran]
    order = ["-m venv", "pip==", "-r ", "-e .", "make.py models"]
    assert len(said) == len(order) and all(map(str.__contains__, said, order))
    make.ran.clear()
    assert make.set_up() == python and not make.ran
    with (make.HOME / "requirements.lock").open("a") as lock:
        lock.write("one-more==1\n")
    make.set_up()
    assert len(make.ran) == len(order)


def test_a_set_up_that_failed_is_gone_on_with(make, monkeypatch):
    def fail(*words, **_):
        if "-r" in words:
            sys.exit(1)

    noted = make.run
    monkeypatch.setattr(make, "run", fail)
    with pytest.raises(SystemExit):
        make.set_up()
    monkeypatch.setattr(make, "run", noted)
    make.set_up()
    assert any("-r" in words for words in make.ran)


def test_a_folder_of_another_python_is_not_mixed(make):
    (make.HOME / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.2\n")
    with pytest.raises(SystemExit, match=r"is of Python 3\.11, and this is 3\.12: delete"):
        make.set_up()
    assert not make.ran


def test_condas_environment_is_taken_as_it_is_with_the_models(make, monkeypatch, tmp_path):
    (tmp_path / "conda-meta").mkdir()
    monkeypatch.setattr(make.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(make, "find_spec", lambda name: name)
    make.test()
    models, tests = make.ran
    assert models == [sys.executable, "make.py", "models"]
    assert tests[:3] == [sys.executable, "-m", "pytest"]


def test_without_llama_cpp_the_book_is_built(make, monkeypatch, capsys):
    def fail(python):
        sys.exit("no such wheel")

    monkeypatch.setitem(make.FINISH, "llamacpp", fail)
    make.main("book", "--pdf")
    assert make.ran[-1][1:] == ["-m", "kvbook.commands", "book", "--pdf"]
    assert "no such wheel" in capsys.readouterr().out


def test_what_a_command_fails_with_ends_it():
    module = load(REPOSITORY / "make.py")
    with pytest.raises(SystemExit) as ended:
        module.run(sys.executable, "-c", "raise SystemExit(7)")
    assert ended.value.code == 7


def test_an_unknown_word_is_answered_with_what_there_is(make):
    with pytest.raises(SystemExit, match="python make.py book, or test.*models.*kvpress"):
        make.main("bock")


def test_an_older_python_can_read_the_file():
    import ast

    source = (REPOSITORY / "make.py").read_text("utf-8")
    ast.parse(source, feature_version=(3, 7))
    assert subprocess.run([sys.executable, "-c", source, "none"], cwd=REPOSITORY).returncode == 1


def test_ci_tests_each_python(make):
    text = (REPOSITORY / ".github/workflows/book.yml").read_text("utf-8")
    matrix = yaml.safe_load(text)["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == make.pythons()


@pytest.mark.parametrize("lock", load(REPOSITORY / "make.py").LOCKS.values())
def test_a_lock_names_exact_versions_and_no_index(lock):
    lines = (REPOSITORY / lock).read_text("utf-8").splitlines()[1:]
    assert lines and all(re.match(r"[a-z\d-]+==[\w.]+( ; .+)?$", line) for line in lines)
