"""Every chapter in the profile gpu, with the sizes made small, on a device that refuses what CUDA refuses
(`second_device.second`): ``make gpu-profile``, some minutes.

What the profile sets is as it is there: the model's tokenizer and its layers, with tiny random weights;
bfloat16; data from files; the other backend of fine-tuning. What comes from the model hub is replaced.
"""

import pytest
import torch
from finetune.qwen3 import qwen3_tokenizer
from kernels import enter, execute
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from second_device.kernel import started_on_second
from transformers import Qwen3Config, Qwen3ForCausalLM

from kvbook.chapters.registry import CHAPTERS, PAGES_ABOUT, get_chapter
from kvbook.chapters.resolve import resolve_parameters
from kvbook.errors import ParameterError
from kvbook.finetune import llamafactory_backend
from kvbook.places import place

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
    "ondevice": NEEDLES
    | {"weights": ["q8_0"], "caches": ["f16"], "drift_tokens": 8, "contexts": [64], "threads": [1]},
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


@pytest.fixture(scope="module")
def kernel():
    with started_on_second() as manager:
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
