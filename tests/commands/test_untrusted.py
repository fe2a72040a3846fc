"""Files from others are read as data: nothing in them is executed, whatever they hold."""

import ast
import inspect
import json
import pickle
from pathlib import Path

import nbformat
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import cells
from safetensors.torch import save_file

from kvbook import load_model, results
from kvbook.chapters.execute import run_chapter
from kvbook.chapters.registry import CHAPTERS
from kvbook.chapters.resolve import notebook_parameters, resolve_parameters
from kvbook.chat import Chat
from kvbook.chat.saved import FORMAT
from kvbook.errors import ModelError, ParameterError, ResultError
from kvbook.finetune.config import _Loader, read_config
from kvbook.finetune.merge import merge
from kvbook.lm import models
from kvbook.places import REPOSITORY

MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
NAMES = {"eval", "exec", "compile", "__import__"}
CALLS = {
    "torch.load",
    "yaml.load",
    "yaml.unsafe_load",
    "os.system",
    "os.popen",
    "pandas.read_pickle",
}
SETTINGS = {"shell": True, "trust_remote_code": True, "allow_pickle": True, "weights_only": False}
ALLOWED = {
    (
        "memory.py",
        "import pickle",
    ): "a child process of its own reads what its parent wrote, over a pipe",
    (
        "memory.py",
        "import cloudpickle",
    ): "the parent's side of that pipe: a method may be of the notebook",
    ("config.py", "yaml.load"): "with a loader that is yaml's safe one and reads 5e-4 as a number",
}
"""What could execute what it reads, where it stands in the package, and why it does not."""


def dangers(code):
    """What in a piece of Python could execute what it reads."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [getattr(node, "module", None) or one.name for one in node.names]
            yield from (f"import {one}" for one in modules if one.split(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in NAMES | CALLS:
                yield name
            for one in node.keywords:
                if one.arg in SETTINGS and ast.unparse(one.value) == str(SETTINGS[one.arg]):
                    yield f"{one.arg}={SETTINGS[one.arg]}"


def everywhere():
    for path in (REPOSITORY / "src").rglob("*.py"):
        yield path.name, path.read_text(encoding="utf-8")
    for name in CHAPTERS:
        yield from ((f"{name}.ipynb", cell["source"]) for cell in cells(name, "code"))


FOUND = {(where, danger) for where, code in everywhere() for danger in dangers(code)}


def test_nothing_in_the_package_executes_what_it_reads_without_a_reason():
    assert ALLOWED.keys() == FOUND


def test_the_yaml_loader_is_a_safe_one():
    assert issubclass(_Loader, yaml.SafeLoader)


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from dill import loads",
        "torch.load(path)",
        "exec(text)",
        "subprocess.run(text, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_the_search_finds_what_it_is_for(code):
    assert list(dangers(code))


# ---- and tried: each of these would leave a file behind -----------------------------------------------------


@pytest.fixture
def trap(tmp_path):
    """A file that appears when somebody's code is executed; as Python, and as a pickle."""
    file = tmp_path / "executed"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (file,)

    yield f"__import__('pathlib').Path({str(file)!r}).touch()", pickle.dumps(Bomb(), protocol=2)
    assert not file.exists()


@pytest.mark.parametrize("name", ["prompt", "model", "prompt_file"])
def test_a_parameter_of_code_stays_a_text(trap, name):
    code, _ = trap
    assert resolve_parameters(CHAPTERS["snapkv"], "laptop", {name: code})[name] == code


@pytest.mark.parametrize("name", ["budget", "budgets", "pooling", "seed"])
def test_a_parameter_of_code_is_no_number(trap, name):
    code, _ = trap
    with pytest.raises(ParameterError):
        resolve_parameters(CHAPTERS["snapkv"], "laptop", {name: code})


def test_a_text_that_would_leave_its_quotes_reaches_the_notebook_as_it_is(
    trap, tmp_path, monkeypatch
):
    code, _ = trap
    text = f'\'"""\n{code}\n#'
    new = nbformat.v4.new_code_cell
    parameters = 'model = "smollm2-135m"\ndtype = "auto"\nseed = 0\n'
    notebook = nbformat.v4.new_notebook(
        cells=[
            new(parameters, metadata={"tags": ["parameters"]}),
            new("from kvbook import results\nresults.save('status', {'model': model})"),
        ]
    )
    nbformat.write(notebook, tmp_path / "status.ipynb")
    monkeypatch.setenv("KVBOOK_NOTEBOOKS", str(tmp_path))
    done = run_chapter(
        "status", {"model": text}, output=tmp_path / "out", page=False, progress=False
    )
    assert json.loads(done.results.read_text())["data"] == {"model": text}


@pytest.mark.parametrize("form", ["{}", "seed = {}", "seed: int = {}", "seed = [{}]", "def"])
def test_a_parameters_cell_of_code_is_refused(trap, tmp_path, form):
    cell = {
        "cell_type": "code",
        "metadata": {"tags": ["parameters"]},
        "source": [form.format(trap[0])],
    }
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps({"cells": [cell]}))
    with pytest.raises(ParameterError, match="only assign literals"):
        notebook_parameters(path)


def test_a_training_file_of_code_is_refused(trap, tmp_path):
    path = tmp_path / "lora.yaml"
    path.write_text(f"stage: !!python/object/apply:eval [{trap[0]!r}]\n")
    with pytest.raises(ParameterError, match="not YAML"):
        read_config(path)


def test_a_model_of_pickled_weights_is_refused(trap, tmp_path):
    lm = load_model("tiny-random")
    lm.model.config.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(trap[1])
    with pytest.raises(ModelError, match="cannot read|damaged"):
        load_model(str(tmp_path))


def test_only_safetensors_are_asked_for():
    """So that a pickle beside them is none of ours."""
    assert "use_safetensors=True" in inspect.getsource(models._read)


def test_an_adapter_of_pickled_weights_is_refused(trap, tmp_path):
    config = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "adapter_model.bin").write_bytes(trap[1])
    with pytest.raises((ModelError, ParameterError)):
        merge(tmp_path, tmp_path / "merged", base="tiny-random")


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*results.ResultFile.model_fields, "x"]), inner, max_size=5
        )
    ),
)
TOO_DEEP = st.integers(1, 20_000).map(lambda depth: b'{"data": ' + b"[" * depth)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | JSON.map(lambda one: json.dumps(one).encode()) | TOO_DEEP)
def test_any_bytes_for_a_results_file_are_one_clear_refusal(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("results")
    (folder / "x.json").write_bytes(content)
    with pytest.raises(ResultError, match="damaged or of another schema"):
        results.load("x", folder)


@pytest.mark.parametrize(
    "facts", ["", "[]", "{}", '{"model": 1}', '{"model": null, "method": "snapkv"}']
)
def test_a_session_with_other_facts_is_refused(tmp_path, facts):
    path = tmp_path / "session.kv"
    save_file({"empty": torch.zeros(1)}, path, {"format": FORMAT, "facts": facts})
    with pytest.raises((ResultError, ParameterError)):
        Chat.load(path, load_model("tiny-random"))
