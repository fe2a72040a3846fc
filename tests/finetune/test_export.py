"""GGUF: what is read from the file, by gguf and by transformers, is the model that was written."""

import json

import gguf
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from kvbook import load_model
from kvbook.errors import ModelError, ParameterError, UnsupportedError
from kvbook.finetune.export import export_gguf

SHAPE = dict(
    vocab_size=300,  # more than the tokenizer has
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=512,
    initializer_range=0.3,
    bos_token_id=None,
    eos_token_id=1,
)
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig, {"head_dim": 16, "tie_word_embeddings": False}),
    # transformers reads no head size from a Qwen3's file: it takes 128, as all of them have
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 128, "tie_word_embeddings": True}),
}


def save(folder, family, **changes):
    cls, config, own = FAMILIES[family]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = cls(config(**SHAPE | own | changes))
        for name, one in model.named_parameters():
            if name.endswith("norm.weight"):  # they are all 1 otherwise
                torch.nn.init.uniform_(one, 0.5, 1.5)
    model.save_pretrained(folder)
    tokenizer = load_model("tiny-random").tokenizer
    letters = json.loads(tokenizer.backend_tokenizer.to_str())
    size = len(letters["model"]["vocab"])
    letters["model"]["vocab"] |= {"re": size, "Ġre": size + 1}
    letters["model"]["merges"] = [["r", "e"], ["Ġ", "re"]]
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(letters), encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    return save(tmp_path_factory.mktemp(request.param), request.param)


def stored(path):
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def field(path, name):
    return gguf.GGUFReader(path).get_field(name).contents()


def read_again(path, cls=AutoModelForCausalLM, **options):
    return cls.from_pretrained(path.parent, gguf_file=path.name, **options)


def greedy(model):
    model.generation_config.eos_token_id = None
    ids = torch.arange(2, 22)[None]
    with torch.no_grad():
        return model.generate(ids, do_sample=False, max_new_tokens=20)[0].tolist()


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_the_file_read_by_transformers_gives_the_same_tokens(dtype, folder, tmp_path):
    path = export_gguf(folder, tmp_path / "model.gguf", dtype)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if dtype == "f16":
        model = model.half().float()  # as the file has it
    assert greedy(read_again(path, dtype=torch.float32)) == greedy(model)


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "q8_0"])
def test_the_numbers_of_a_matrix_are_those_of_the_model(dtype, folder, tmp_path):
    tensor = stored(export_gguf(folder, tmp_path / "model.gguf", dtype))["blk.1.ffn_up.weight"]
    with safe_open(folder / "model.safetensors", "np") as file:
        weight = file.get_tensor("model.layers.1.mlp.up_proj.weight")
    found = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    apart = {"f32": 0, "f16": 1e-3, "bf16": 4e-3, "q8_0": 6e-3}[dtype] * np.abs(weight).max()
    assert tensor.tensor_type.name == dtype.upper() and np.abs(found - weight).max() <= apart


def test_vectors_stay_float32(folder, tmp_path):
    tensors = stored(export_gguf(folder, tmp_path / "model.gguf", "q8_0"))
    kinds = {one.tensor_type.name for name, one in tensors.items() if "norm" in name}
    assert kinds == {"F32"}


def test_a_matrix_whose_rows_cannot_be_cut_in_blocks_is_stored_in_f16(tmp_path):
    folder = save(tmp_path, "llama", intermediate_size=100)
    tensors = stored(export_gguf(folder, tmp_path / "model.gguf", "q8_0"))
    kinds = [tensors[f"blk.0.ffn_{name}.weight"].tensor_type.name for name in ("up", "down")]
    assert kinds == ["Q8_0", "F16"]


def test_a_tied_output_layer_is_stored_once(folder, tmp_path):
    tensors = stored(export_gguf(folder, tmp_path / "model.gguf"))
    assert ("output.weight" in tensors) == (folder.name.startswith("llama"))


def test_a_llamas_queries_are_in_llama_cpps_order(tmp_path):
    """Its RoPE turns rows 2i and 2i + 1 of a head, transformers' turns rows i and i + half."""
    folder = save(tmp_path, "llama")
    found = stored(export_gguf(folder, tmp_path / "model.gguf", "f32"))["blk.0.attn_k.weight"].data
    with safe_open(folder / "model.safetensors", "np") as file:
        weight = file.get_tensor("model.layers.0.self_attn.k_proj.weight")
    order = [16 * head + i + 8 * half for head in (0, 1) for i in range(8) for half in (0, 1)]
    assert (found == weight[order]).all()


def test_the_tokenizer_read_by_transformers_gives_the_same_tokens(folder, tmp_path):
    path = export_gguf(folder, tmp_path / "model.gguf")
    text = "<|im_start|>user\n头痛 respite?<|im_end|>"
    ids = AutoTokenizer.from_pretrained(folder)(text).input_ids
    assert read_again(path, AutoTokenizer)(text).input_ids == ids and 259 in ids


def test_the_tokens_that_end_a_turn_and_the_chat_template_are_in_the_file(folder, tmp_path):
    path = export_gguf(folder, tmp_path / "model.gguf")
    assert field(path, "tokenizer.ggml.eos_token_id") == 1
    assert field(path, "tokenizer.ggml.add_bos_token") is False
    assert (
        field(path, "tokenizer.chat_template") == load_model("tiny-random").tokenizer.chat_template
    )
    kinds = field(path, "tokenizer.ggml.token_type")
    assert kinds[:3] + kinds[-1:] == [
        gguf.TokenType.CONTROL,
        gguf.TokenType.CONTROL,
        gguf.TokenType.NORMAL,
        gguf.TokenType.UNUSED,
    ]


def split_by(folder, pre_tokenizer):
    """The same model with another splitting of texts."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_bytes()) | {"pre_tokenizer": pre_tokenizer}
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def splitting(tokenizer):
    return json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"]


GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


@pytest.mark.parametrize(
    "called, pre_tokenizer",
    [
        ("gpt-2", GPT2),
        ("smollm", {"type": "Sequence", "pretokenizers": [DIGITS, GPT2]}),
        ("qwen2", splitting(Qwen2Tokenizer(vocab={"a": 0}, merges=[]))),
    ],
)
def test_the_splitting_has_llama_cpps_name_for_it(called, pre_tokenizer, tmp_path):
    folder = split_by(save(tmp_path, "qwen3"), pre_tokenizer)
    assert field(export_gguf(folder, tmp_path / "model.gguf"), "tokenizer.ggml.pre") == called


@pytest.mark.parametrize(
    "file, changes, reason",
    [
        ("config.json", {"model_type": "qwen2"}, "cannot export a qwen2: only llama and qwen3"),
        (
            "config.json",
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
            "cannot export this RoPE",
        ),
        (
            "tokenizer.json",
            {"pre_tokenizer": {"type": "Whitespace"}},
            "cannot export this tokenizer",
        ),
    ],
)
def test_what_the_format_would_not_hold_is_refused(file, changes, reason, tmp_path):
    folder = save(tmp_path / "model", "llama")
    content = json.loads((folder / file).read_bytes())
    (folder / file).write_text(json.dumps(content | changes))
    with pytest.raises(UnsupportedError, match=reason):
        export_gguf(folder, tmp_path / "model.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_numbers_that_a_dtype_cannot_hold_are_refused_and_no_file_is_left(tmp_path):
    folder = save(tmp_path / "model", "llama")
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"][0, 0] = 1e5
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with (
        np.errstate(over="ignore"),
        pytest.raises(ModelError, match="output.weight cannot be stored as F16"),
    ):
        export_gguf(folder, tmp_path / "model.gguf", "f16")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_unknown_dtype_is_refused(folder, tmp_path):
    with pytest.raises(ParameterError, match="dtype='q4': give 'f32', 'f16', 'bf16', 'q8_0'"):
        export_gguf(folder, tmp_path / "model.gguf", "q4")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="no config.json in"):
        export_gguf(tmp_path, tmp_path / "model.gguf")
