"""A model as one GGUF file, the format of llama.cpp: to run on a phone or a laptop.

The file holds the numbers of the configuration, the tokenizer, the chat template, and the
weights under llama.cpp's names; `gguf`, its own Python package, writes and reads it.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors import safe_open
from transformers import AutoConfig

from kvbook.errors import ModelError, ParameterError, ResultError, UnsupportedError

ARCHITECTURES = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen3": gguf.MODEL_ARCH.QWEN3}
Dtype = Literal["f32", "f16", "bf16", "q8_0"]
TYPES: dict[Dtype, Type] = {"f32": Type.F32, "f16": Type.F16, "bf16": Type.BF16, "q8_0": Type.Q8_0}
FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITTERS = {("bytes",): "gpt-2", ("digits", "bytes"): "smollm", (QWEN2,): "qwen2"}
"""How a text is split before its pieces become tokens, and what llama.cpp calls that."""


def export_gguf(folder: str | Path, path: str | Path, dtype: Dtype = "f16") -> Path:
    """Write a model's folder as a GGUF file, and read it again: whole and checked, or not at all.

    Parameters
    ----------
    folder : str or Path
        A Llama or a Qwen3, as `kvbook.finetune.merge.merge` leaves it.
    path : str or Path
        The file.
    dtype : {"f32", "f16", "bf16", "q8_0"}
        Of the matrices; vectors stay float32. ``"q8_0"``: 8 bits and a scale for each 32
        numbers of a row; matrices whose rows are no multiple of 32 are stored in ``"f16"``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ParameterError
        An unknown dtype, or there is no model in the folder.
    UnsupportedError
        Another architecture, a scaled or partial RoPE, a sliding window, or a tokenizer that
        llama.cpp would need another name for.
    ModelError
        What is read from the file is not what was to be written.
    ResultError
        Nothing can be written there.
    """
    folder, path = Path(folder).expanduser(), Path(path).expanduser()
    check_dtype(dtype)
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ParameterError(f"no {name} in {folder}: give the folder of a model")
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    check_supported(config)
    tokens = _read_tokens(folder, config.vocab_size)
    work = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, work = tempfile.mkstemp(prefix=".writing-", suffix=".gguf", dir=path.parent)
        os.close(handle)
        writer = gguf.GGUFWriter(work, gguf.MODEL_ARCH_NAMES[ARCHITECTURES[config.model_type]])
        _add_shape(writer, config, FILE_TYPES[dtype])
        _add_tokenizer(writer, folder, tokens)
        for name, weight in _weights(folder, config):
            kind = _type_of(weight, TYPES[dtype])
            writer.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        _check(work, folder, config, tokens)
        os.chmod(work, 0o644)
        os.replace(work, path)
    except OSError as error:
        raise ResultError(
            f"cannot write {path}: {error.strerror}; what was there before is unchanged"
        ) from None
    finally:
        if work:
            Path(work).unlink(missing_ok=True)
    return path


def check_dtype(dtype: str) -> Dtype:
    """The same name, if `export_gguf` can write it.

    Raises
    ------
    ParameterError
        An unknown dtype.
    """
    if dtype not in TYPES:
        raise ParameterError(f"dtype={dtype!r}: give {', '.join(map(repr, TYPES))}")
    return dtype


def check_supported(config) -> None:
    """Refuse a model's configuration that `export_gguf` cannot write.

    Raises
    ------
    UnsupportedError
        Another architecture, a scaled or partial RoPE, a sliding window.
    """
    if config.model_type not in ARCHITECTURES:
        raise UnsupportedError(
            f"cannot export a {config.model_type}: only {' and '.join(ARCHITECTURES)}"
        )
    rope = config.rope_parameters
    if rope["rope_type"] != "default" or rope.get("partial_rotary_factor", 1) != 1:
        raise UnsupportedError(f"cannot export this RoPE ({rope}): only the plain one")
    if getattr(config, "use_sliding_window", False):
        raise UnsupportedError("cannot export a model with a sliding window")


def _head_dim(config) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _add_shape(writer: gguf.GGUFWriter, config, file_type: gguf.LlamaFileType) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(_head_dim(config))
    writer.add_value_length(_head_dim(config))
    writer.add_rope_dimension_count(_head_dim(config))
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


# ---- the tokenizer ------------------------------------------------------------------------------


def _read_tokens(folder: Path, size: int) -> dict:
    """Texts and kinds of all tokens up to ``size``, and how llama.cpp calls the way texts are split."""
    content = json.loads((folder / "tokenizer.json").read_bytes())
    parts = content["pre_tokenizer"] or {}
    kinds = tuple(filter(None, map(_kind_of, parts.get("pretokenizers", [parts]))))
    if content["model"]["type"] != "BPE" or kinds not in SPLITTERS:
        raise UnsupportedError(
            "cannot export this tokenizer: only a byte-level BPE that splits as GPT-2's, SmolLM's or Qwen's"
        )
    texts = [f"[PAD{i}]" for i in range(size)]
    types = [gguf.TokenType.UNUSED] * size
    for text, i in content["model"]["vocab"].items():
        texts[i], types[i] = text, gguf.TokenType.NORMAL
    for token in content["added_tokens"]:
        special = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        texts[token["id"]], types[token["id"]] = token["content"], special
    return {"texts": texts, "types": types, "splitter": SPLITTERS[kinds]}


def _kind_of(part: dict) -> str | None:
    """A step of the splitting: ``digits`` one by one, GPT-2's ``bytes``, or a pattern."""
    match part:
        case {"type": "Digits", "individual_digits": True}:
            return "digits"
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": regex}:
            return "bytes" if regex else None
        case {
            "type": "Split",
            "pattern": {"Regex": pattern},
            "behavior": "Isolated",
            "invert": False,
        }:
            return pattern
    return "unknown"


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path, tokens: dict) -> None:
    writer.add_tokenizer_model("gpt2")  # a byte-level BPE
    writer.add_tokenizer_pre(tokens["splitter"])
    writer.add_token_list(tokens["texts"])
    writer.add_token_types(tokens["types"])
    special = gguf.SpecialVocab(folder, load_merges=True, n_vocab=len(tokens["texts"]))
    special.add_special_token.setdefault("bos", False)
    if not special.merges:  # llama.cpp reads no file without any: a pair of bytes that no text has
        special.merges = ["þ ÿ"]
    special.add_to_gguf(writer, quiet=True)


# ---- the weights --------------------------------------------------------------------------------


def _weights(folder: Path, config) -> Iterator[tuple[str, np.ndarray]]:
    """llama.cpp's names, and float32 arrays."""
    names = gguf.get_tensor_name_map(ARCHITECTURES[config.model_type], config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no dictionary
                if name == "lm_head.weight" and config.tie_word_embeddings:
                    continue
                weight = tensors.get_tensor(name).to(torch.float32).numpy()
                layer = name.split(".")[-2]
                if config.model_type == "llama" and layer in heads:
                    weight = _interleave(weight, heads[layer])
                yield names.get_name(name, (".weight", ".bias")), weight


def _interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's RoPE turns neighbours of a Llama's head, transformers' turns i and i + half."""
    halves = weight.reshape(heads, 2, -1, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def _type_of(weight: np.ndarray, wanted: Type) -> Type:
    if weight.ndim == 1:
        return Type.F32
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if weight.shape[-1] % block == 0 else Type.F16


# ---- read again ---------------------------------------------------------------------------------


def _check(path: str, folder: Path, config, tokens: dict) -> None:
    reader = gguf.GGUFReader(path)
    if reader.get_field("tokenizer.ggml.tokens").contents() != tokens["texts"]:
        raise ModelError("the file's tokens are not those of the tokenizer")
    written = {tensor.name: tensor for tensor in reader.tensors}
    for name, weight in _weights(folder, config):
        tensor = written.pop(name)
        found = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(weight.shape)
        if not (np.abs(found - weight) <= _rounding(weight, tensor.tensor_type)).all():
            raise ModelError(
                f"{name} cannot be stored as {tensor.tensor_type.name}: try another dtype"
            )


def _rounding(weight: np.ndarray, kind: Type) -> np.ndarray:
    """By how much each number may differ from what was stored."""
    size = np.abs(weight)
    match kind:
        case Type.F16:
            return size * 2.0**-11 + 2.0**-25
        case Type.BF16:
            return size * 2.0**-8
        case Type.Q8_0:  # half a step, and 127 times the rounding of the step itself
            largest = size.reshape(-1, 32).max(1, keepdims=True)
            steps = np.broadcast_to(largest * (0.5 / 127 + 2.0**-11) + 1e-6, (largest.size, 32))
            return steps.reshape(weight.shape)
    return np.zeros_like(size)
