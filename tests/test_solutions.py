"""Every chapter runs, and every code solution where a reader would try it: behind the last cell.
There its checks (`data/checks`) let it through, and no wrong answer.

One Jupyter kernel executes all chapters in turn, in the smoke profile: starting one and importing
torch takes longer than most chapters. It has the models on a second device
(`second_device.second`), so that a tensor which a chapter or a solution leaves on the CPU is found
without a GPU; what runs there runs on the CPU, too. Where that device does not compile, they are on
the CPU.

What the profile gpu sets runs there, too: its model's layers and tokenizer with tiny random
weights, bfloat16, data from files, the other backend of fine-tuning, and only the sizes are small.
"""

import os
from pathlib import Path

import pytest
import torch
from finetune.qwen3 import qwen3_tokenizer
from kernels import FORGET, REMEMBER, enter, execute, started
from nbformat.v4 import new_code_cell
from pages import PAGES
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from second_device.second import NoCompilerError, compile_second
from transformers import Qwen3Config, Qwen3ForCausalLM

from kvbook.chapters.checks import read_checks
from kvbook.chapters.exercises import exercises
from kvbook.chapters.registry import CHAPTERS, PAGES_ABOUT, get_chapter
from kvbook.chapters.resolve import resolve_parameters
from kvbook.errors import ParameterError
from kvbook.finetune import llamafactory_backend
from kvbook.places import place

LESS = {
    "evaluation": {"methods": ["snapkv", "fastkv"], "tasks": ["narrativeqa"]},
    "profiling": {"methods": ["fastkv"], "contexts": [64, 128], "memory_contexts": []},
    "summarykv": {"document_tokens": 200, "sizes": [], "segment": 512},
}
"""Smaller than the smoke profile, for the chapters that take longest."""
NEEDLES = {"needles": 2, "needle_tokens": 200}
SHORT = {"train_rows": 20, "steps": 2, "batch": 2}
SMALL = {
    "fullkv": {"contexts": [64, 128]},
    "summarykv": {"conversations": 1, "turns": 2, "document_tokens": 400, "segment": 512},
    "quantization": NEEDLES | {"probes": 1},
    "evaluation": {
        "tasks": ["2wikimqa", "trec"],
        "limit": 1,
        "probes": 1,
        "budgets": [64, 128],
        "needle_budgets": [64, 0.1],
        "needle_lengths": [200, 400],
        "needle_depths": 1,
    },
    "harder": NEEDLES | {"briefings": 1, "turns": 2},
    "profiling": {"contexts": [64, 128], "memory_contexts": [], "new_tokens": 4, "repeats": 1},
    "lora": SHORT | {"samples": 2},
    "bertscore": SHORT | {"items": 4, "probes": 1, "budgets": [32, 64]},
}
"""Sizes of the profile gpu, made small; of the other chapters that have needles, `NEEDLES` are."""
FROM_THE_HUB = {
    "evaluation": {"data": str(place("data") / "tasks")},
    "lora": {"data": str(place("data") / "medical")},
    "bertscore": {"data": str(place("data") / "medical"), "encoder": "multilingual-e5-small"},
}
"""What takes the place of data and of an encoder that come from the model hub."""
ON_SECOND = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from second_device.second import load_models_there
load_models_there()
"""


@pytest.fixture(scope="module")
def kernel():
    first = [ON_SECOND]
    try:
        compile_second()
    except NoCompilerError:
        if os.environ.get("CI"):  # there somebody has to run them on it
            raise
        first = []
    with started() as manager:
        failed = execute(manager, first)
        assert not failed, failed
        yield manager


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory):
    """A folder with a model as the profile gpu has one: its tokenizer and its 28 layers, narrow."""
    tokenizer = qwen3_tokenizer()
    heads = dict(num_attention_heads=4, num_key_value_heads=2, head_dim=8)
    layers = dict(num_hidden_layers=28, hidden_size=16, intermediate_size=16)
    ids = dict(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, pad_token_id=0)
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**heads, **layers, **ids, tie_word_embeddings=True))
    folder = tmp_path_factory.mktemp("qwen3")
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name not in PAGES_ABOUT])
def test_a_chapter_runs_and_the_code_of_its_solutions_after_it(name, kernel, tmp_path):
    chapter = get_chapter(name)
    parameters = resolve_parameters(chapter, "smoke", LESS.get(name))
    notebook = parameterize_notebook(load_notebook_node(str(chapter.notebook)), parameters)
    tried = [cell for cells in tries(name) for cell in cells] if name in PAGES else []
    before = enter(tmp_path, name, "smoke", parameters)
    failed = execute(kernel, [before, *notebook.cells, REMEMBER, *tried])
    assert not failed, failed
    for cell in tried:
        kinds = {output.output_type for output in cell.outputs}
        if cell.metadata.get("tags"):
            assert "error" in kinds, f"a check lets this through: {cell.source}"
        elif cell.source.startswith("# the checks"):
            assert not kinds, f"nbgrader takes what a check says for a mark: {cell.source}"


def tries(name):
    """Of each exercise in code: nothing, a wrong answer and the right one, and what its checks
    say."""
    for exercise in exercises(name):
        if not exercise.code:
            continue
        check = read_checks(name)[exercise.label]
        test = f"# the checks of {exercise.label}\n{check.visible}\n{check.hidden}"
        fails = {"tags": ["raises-exception"]}
        yield [
            new_code_cell(test, metadata=fails),
            new_code_cell(f"# a wrong answer to {exercise.label}\n{check.wrong}"),
            new_code_cell(test, metadata=fails),
            new_code_cell(FORGET),
            new_code_cell(f"# the solution of {exercise.label}\n{exercise.code}\n{check.answer}"),
            new_code_cell(test),
            new_code_cell(FORGET),
        ]


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name not in PAGES_ABOUT])
def test_a_chapter_of_the_profile_gpu_runs_with_small_sizes(name, kernel, qwen3, tmp_path):
    chapter = get_chapter(name)
    ours = chapter.defaults("gpu")
    small = SMALL.get(name, NEEDLES if "needles" in ours else {})
    given = {"model": str(qwen3)} | small | FROM_THE_HUB.get(name, {})
    if "backend" in ours and not llamafactory_is_here():
        given["backend"] = "trl"
    parameters = resolve_parameters(chapter, "gpu", given)
    notebook = parameterize_notebook(load_notebook_node(str(chapter.notebook)), parameters)
    failed = execute(kernel, [enter(tmp_path, name, "gpu", parameters), *notebook.cells])
    assert not failed, failed


def llamafactory_is_here():
    try:
        return llamafactory_backend.environment()
    except ParameterError:
        return None
