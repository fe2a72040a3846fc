"""Every file that people may write: read alike with a byte order mark, Windows line ends or an empty
line; refused by name and line where a part of it would be lost."""

import json
import re
import zipfile
from dataclasses import dataclass

import pytest

from kvbook import load_model, results
from kvbook.chapters.execute import _check_notebook
from kvbook.chapters.resolve import notebook_parameters
from kvbook.errors import KvbookError, ParameterError, ResultError
from kvbook.finetune.config import CONFIG, read_config
from kvbook.finetune.data import read_dialogues, write_llamafactory
from kvbook.finetune.data.split import read_general, tell_malformed
from kvbook.finetune.score import read_baseline
from kvbook.places import place
from kvbook.tasks.conversations import FILE, read_conversations
from kvbook.tasks.longbench import read_rows
from kvbook.tasks.needle import ESSAYS, read_essays
from kvbook.tasks.store import Store
from kvbook.tasks.trial import read_example
from kvbook.texts import decode, parse_json, read_lines, read_text

# ---- the files ----------------------------------------------------------------------------------


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


LONGBENCH = lines(
    *({"_id": name, "input": "café?", "context": "c", "answers": ["a"]} for name in "abc")
)
ALPACA = [{"instruction": name, "output": "café", "language": "en"} for name in "abc"]
TALK = {"turns": [["café?", "yes"]], "facts": []}
SAVED = {
    "schema_version": 1,
    "name": "x",
    "provenance": {
        "chapter": "x",
        "profile": "café",
        "parameters": {},
        "seed": 0,
        "model": "m",
        "started": "s",
        "seconds": 1.0,
        "commit": None,
        "dirty": None,
        "machine": {},
        "versions": {},
    },
    "data": {"a": 1},
}
CELL = {
    "cell_type": "code",
    "id": "a",
    "source": "word = 'café'",
    "metadata": {"tags": ["parameters"]},
    "execution_count": None,
    "outputs": [],
}
NOTEBOOK = {"cells": [CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@dataclass(frozen=True)
class Item:
    id: str
    digest: str = "d"


ITEMS = [Item("café"), Item("b"), Item("c")]


def store_in(folder):
    return Store(folder, "s", {"é": 1})


def measured(path):
    store = store_in(path.parent)
    return store.complete(ITEMS, lambda part: [{"it": one.id} for one in part])


def seconds(path):
    return store_in(path.parent).seconds()


def zipped(path):
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.write(path, "data/trec.jsonl")
    return read_rows("trec", path.with_suffix(".zip"))


def dialogues(path):
    """Rows that cannot be read are left out, and said by line: a refusal of that row."""
    read = read_dialogues(path)
    if read.malformed:
        raise ParameterError(f"{path}: {tell_malformed('train', read)}")
    return [one.messages for one in read.dialogues]


def data_sets(path):
    write_llamafactory(read_dialogues(place("data") / "medical/train.jsonl", limit=1).dialogues, path.parent, "new")  # fmt: skip
    return path.read_text(encoding="utf-8")


def general(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVBOOK_DATA", str(path.parent.parent))
        return {language: [one.messages for one in of] for language, of in read_general().items()}


def notebook(path):
    _check_notebook(path)
    return notebook_parameters(path)


def prompt(path):
    return read_example(load_model("tiny-random"), path.parent, prompt_file=str(path)).tokens


FILES = {
    "LongBench": ("trec.jsonl", LONGBENCH, lambda path: read_rows("trec", path.parent)),
    "LongBench's archive": ("trec.jsonl", LONGBENCH, zipped),
    "rows to learn": ("train.jsonl", lines(*ALPACA), dialogues),
    "an array of rows": ("train.json", json.dumps(ALPACA, indent=1, ensure_ascii=False), dialogues),
    "general rows": ("medical/general.jsonl", lines(*ALPACA), general),
    "data sets": ("dataset_info.json", json.dumps({"é": {}, "b": {"c": 1}}, indent=1, ensure_ascii=False), data_sets),
    "training keys": ("keys.yaml", "# café\n" + CONFIG.read_text("utf-8"), read_config),
    "a baseline": ("b.csv", "LAYER,P,R,F,é\n1,.1,.2,.3,é\n2,.4,.5,.6,é\n", lambda path: read_baseline(path, 2).tolist()),
    "a prompt": ("prompt.txt", "one\ncafé\nthree", prompt),
    "essays": (ESSAYS, "# Title\n\nA café\n\nanother one\n", lambda path: read_essays(path.parents[len(ESSAYS.parents) - 1])),
    "conversations": (FILE, lines(TALK, TALK, TALK), lambda path: read_conversations(path.parents[len(FILE.parents) - 1])),
    "results": ("x.json", json.dumps(SAVED, indent=1, ensure_ascii=False), lambda path: results.load("x", path.parent)),
    "the report's numbers": ("report.json", json.dumps({"é": 1, "tasks": {"a": 1}}, indent=1, ensure_ascii=False), lambda path: results.load_report(path.parent)),
    "a notebook": ("x.ipynb", json.dumps(NOTEBOOK, indent=1, ensure_ascii=False), notebook),
    "items": (None, lines({"é": 1}, *({"id": one.id, "digest": "d", "it": one.id} for one in ITEMS)), measured),
    "seconds": (None, lines(*({"id": one.id, "seconds": 1.5} for one in ITEMS)), seconds),
}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """Write one of the files, and return what its reader makes of it."""

    def write(kind, raw):
        name, _, read = FILES[kind]
        store = store_in(tmp_path)
        own = {"items": store.path, "seconds": store.times}
        path = own[kind] if kind in own else tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        return read(path)

    return write


# ---- what may have happened to them -------------------------------------------------------------

MARK = "\ufeff".encode()
ALIKE = {
    "a byte order mark": lambda text: MARK + text.encode(),
    "Windows line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "both": lambda text: MARK + text.replace("\n", "\r\n").encode(),
    "empty lines": lambda text: text.replace("\n", "\n\n \n").encode(),
}
TEXT = ("a prompt", "essays")  # in which an empty line means something


def twice(text):
    """The first key of the last object once more, or the first key of a YAML file."""
    if ":" in text and "{" not in text:
        return text.replace("\nseed:", "\nseed: 7\nseed:")
    at = text.rindex("{") if '"data"' not in text else 0
    key = re.search(r'"[^"]+":', text[at:])
    start = at + key.start()
    return text[:start] + f"{key[0]} 0, " + text[start:]


LOST = {
    "another encoding": lambda text: text.encode("latin-1"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "a NUL byte": lambda text: text.replace("é", "é\0").encode(),
    "a key twice": lambda text: twice(text).encode(),
    "the end cut off": lambda text: text.encode()[: text.rindex(":") - 1],
    "cut inside a character": lambda text: text.encode()[: text.encode().rindex(b"\xc3") + 1],
}
WITHOUT_KEYS = ("a baseline", *TEXT)  # nor is there an end that must come
STORED = ("items", "seconds")  # whose last line may be torn: an interruption


@pytest.mark.parametrize("damage", ALIKE)
@pytest.mark.parametrize("kind", FILES)
def test_signs_that_people_do_not_see_change_nothing(kind, damage, written):
    if (damage, kind) in {("empty lines", one) for one in TEXT}:
        pytest.skip("an empty line means something there")
    if kind == "a notebook" and damage in ("a byte order mark", "both"):
        with pytest.raises(ParameterError, match="save it as UTF-8 without one"):
            written(kind, ALIKE[damage](FILES[kind][1]))  # papermill would not read it
        return
    content = FILES[kind][1]
    expected = written(kind, content.encode())
    assert written(kind, ALIKE[damage](content)) == expected


@pytest.mark.parametrize("damage", LOST)
@pytest.mark.parametrize("kind", FILES)
def test_what_would_be_lost_is_refused_by_name_and_place(kind, damage, written):
    if kind in WITHOUT_KEYS and damage in ("a key twice", "the end cut off"):
        pytest.skip("it has no keys, and may end anywhere")
    raw = LOST[damage](FILES[kind][1])
    if kind == "items" and "cut" in damage:  # measured again
        assert written(kind, raw) == [{"id": one.id, "digest": "d", "it": one.id} for one in ITEMS]
        return
    with pytest.raises(KvbookError, match=r"line \d|lines \d|the key '") as refused:
        written(kind, raw)
    assert re.search(r"\.(jsonl?|zip|csv|yaml|txt|md|ipynb|seconds)", str(refused.value))


# ---- the reader itself --------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['{"a": {"b": 1, "c": 2, "b": 3}}', '[{"b": 1, "b": 1}]'])
def test_a_key_that_stands_there_twice_is_refused_wherever_it_is(text):
    with pytest.raises(ValueError, match="the key 'b' stands there twice"):
        parse_json(text)


def test_lines_end_at_line_feeds_only_and_keep_their_numbers():
    raw = ["\n", '"a\u2028b"\r\n', " \n", '"c"']
    found = read_lines((one.encode() for one in raw), "x.jsonl")
    assert [(line, parse_json(text)) for line, text in found] == [(2, "a\u2028b"), (4, "c")]


def test_a_mark_between_joined_files_is_read_over():
    joined = [MARK + b"1\n", MARK + b"2\n"]
    assert [parse_json(text) for _, text in read_lines(joined, "x.jsonl")] == [1, 2]


@pytest.mark.parametrize("encoding, name", [("utf-16", "UTF-16"), ("gb18030", "GB18030")])
def test_another_encoding_is_named_with_what_turns_it_into_utf_8(encoding, name):
    with pytest.raises(ValueError, match=rf"line 1\).*iconv -f {name}"):
        decode("高血压".encode(encoding))


def test_a_class_of_error_may_be_given(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff")
    with pytest.raises(ResultError, match="x is not UTF-8"):
        read_text(tmp_path / "x", ResultError)


def test_the_lines_of_a_text_end_alike(tmp_path):
    (tmp_path / "x").write_bytes(b"a\r\nb\rc\n")
    assert read_text(tmp_path / "x") == "a\nb\nc\n"


def test_the_books_own_data_lost_nothing_when_other_readers_read_them():
    """So no kept run was measured with a mark in a prompt, or with the last of two equal keys."""
    files = [
        path
        for path in place("data").rglob("*")
        if path.suffix in (".json", ".jsonl", ".md", ".csv")
    ]
    assert len(files) > 20
    for path in files:
        raw = path.read_bytes()
        text = decode(raw)
        assert text.encode() == raw and "\r" not in text, path
        if path.suffix == ".json":
            parse_json(text)
        if path.suffix == ".jsonl":
            for _, line in read_lines(raw.splitlines(keepends=True), path):
                parse_json(line)
