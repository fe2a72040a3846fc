"""The part of llama.cpp's C API that a bounded cache needs, by ctypes. Imports nothing of ours.

The wheel ``xllamacpp`` is a server for Python; its extension holds all of llama.cpp and exports the C
API (``include/llama.h``), too. Nobody promises that it goes on doing so, nor that the structures
stay as they are. So one version is taken, and what a context is by default is compared with
`DEFAULTS` before anything runs: a structure that has moved by a byte does not agree.
"""

import ctypes
import importlib.metadata
import importlib.util
import platform
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int, c_int32, c_size_t, c_uint32, c_uint64
from ctypes import c_void_p as pointer
from pathlib import Path

PACKAGE, VERSION = "xllamacpp", "2026.10.11549"
CACHE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}
"""Numbers of ``enum ggml_type``."""
FLASH = {"auto": -1, "off": 0, "on": 1}
"""Numbers of ``enum llama_flash_attn_type``."""


def _fields(*lines):
    """``(type, "names")`` as the pairs that ctypes takes."""
    return [(name, kind) for kind, names in lines for name in names.split()]


class ModelParams(ctypes.Structure):
    """``llama_model_params``."""

    _fields_ = _fields(
        (pointer, "devices tensor_buft_overrides"),
        (c_int32, "n_gpu_layers split_mode load_mode lazy_mode main_gpu"),
        (pointer, "tensor_split progress_callback progress_callback_user_data kv_overrides"),
        (c_bool, "vocab_only check_tensors use_extra_bufts no_host no_alloc load_mtp"),
    )


class ContextParams(ctypes.Structure):
    """``llama_context_params``."""

    _fields_ = _fields(
        (c_uint32, "n_ctx n_batch n_ubatch n_seq_max n_rs_seq n_outputs_max n_outputs_max_per_seq"),
        (c_int32, "n_threads n_threads_batch ctx_type rope_scaling_type pooling_type"),
        (c_int32, "attention_type flash_attn_type"),
        (c_float, "rope_freq_base rope_freq_scale yarn_ext_factor yarn_attn_factor"),
        (c_float, "yarn_beta_fast yarn_beta_slow"),
        (c_uint32, "yarn_orig_ctx"),
        (c_float, "defrag_thold"),
        (pointer, "cb_eval cb_eval_user_data"),
        (c_int32, "type_k type_v"),
        (c_size_t, "moe_cache_size"),
        (pointer, "abort_callback abort_callback_data"),
        (c_bool, "embeddings offload_kqv no_perf op_offload swa_full kv_unified"),
        (pointer, "samplers"),
        (c_size_t, "n_samplers"),
        (pointer, "ctx_other"),
    )


class Batch(ctypes.Structure):
    """``llama_batch``: tokens, their positions and sequences, and whose logits are wanted."""

    _fields_ = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(ctypes.c_int8)),
    ]


LOGGER = ctypes.CFUNCTYPE(None, c_int, c_char_p, pointer)
SILENT = LOGGER(lambda level, text, data: None)
"""Held here, for C does not hold it."""
FUNCTIONS = {
    "llama_backend_init": (None,),
    "llama_log_set": (None, LOGGER, pointer),
    "llama_model_default_params": (ModelParams,),
    "llama_context_default_params": (ContextParams,),
    "llama_model_load_from_file": (pointer, c_char_p, ModelParams),
    "llama_model_size": (c_uint64, pointer),
    "llama_model_n_ctx_train": (c_int32, pointer),
    "llama_model_get_vocab": (pointer, pointer),
    "llama_init_from_model": (pointer, pointer, ContextParams),
    "llama_free": (None, pointer),
    "llama_n_ctx": (c_uint32, pointer),
    "llama_vocab_n_tokens": (c_int32, pointer),
    "llama_vocab_is_eog": (c_bool, pointer, c_int32),
    "llama_tokenize": (
        c_int32, pointer, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool,
    ),
    "llama_token_to_piece": (c_int32, pointer, c_int32, c_char_p, c_int32, c_int32, c_bool),
    "llama_batch_init": (Batch, c_int32, c_int32, c_int32),
    "llama_batch_free": (None, Batch),
    "llama_decode": (c_int32, pointer, Batch),
    "llama_get_logits_ith": (POINTER(c_float), pointer, c_int32),
    "llama_get_memory": (pointer, pointer),
    "llama_memory_clear": (None, pointer, c_bool),
    "llama_memory_seq_rm": (c_bool, pointer, c_int32, c_int32, c_int32),
    "llama_memory_seq_cp": (None, pointer, c_int32, c_int32, c_int32, c_int32),
    "llama_memory_seq_add": (None, pointer, c_int32, c_int32, c_int32, c_int32),
    "llama_memory_seq_pos_min": (c_int32, pointer, c_int32),
    "llama_memory_seq_pos_max": (c_int32, pointer, c_int32),
    "llama_memory_can_shift": (c_bool, pointer),
    "llama_state_seq_get_size": (c_size_t, pointer, c_int32),
    "llama_state_seq_get_data": (c_size_t, pointer, c_char_p, c_size_t, c_int32),
    "llama_state_seq_set_data": (c_size_t, pointer, c_char_p, c_size_t, c_int32),
}  # fmt: skip
"""By name: what it returns, and what it takes."""

DEFAULTS = {
    "n_ctx": 512,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_seq_max": 1,
    "flash_attn_type": -1,
    "yarn_beta_fast": -1.0,
    "yarn_orig_ctx": 0,
    "type_k": 1,
    "type_v": 1,
    "embeddings": False,
    "offload_kqv": True,
    "no_perf": True,
    "op_offload": True,
    "swa_full": True,
    "kv_unified": False,
    "n_samplers": 0,
}
"""What a context of this version is by default."""


class UnusableError(Exception):
    """There is no llama.cpp here that this file was written for."""


def load() -> ctypes.CDLL:
    """The library, ready to use and silent.

    Raises
    ------
    UnusableError
        Another version, another processor, or structures that are not those above.
    """
    try:
        found = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise UnusableError(f"{PACKAGE}=={VERSION} is not installed there") from None
    if found != VERSION:
        raise UnusableError(f"{PACKAGE} {found} is installed there, and {VERSION} is needed")
    check_processor()
    folder = Path(importlib.util.find_spec(PACKAGE).submodule_search_locations[0])
    try:
        library = ctypes.CDLL(str(next(folder.glob(f"{PACKAGE}*.so"))))
        for name, (result, *arguments) in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except StopIteration:
        raise UnusableError(f"{folder} has no extension for {platform.system()}") from None
    except (OSError, AttributeError) as error:  # no libgomp, or a name that is gone
        raise UnusableError(f"{PACKAGE}'s extension cannot be used: {error}") from None
    check_defaults(library.llama_context_default_params())
    library.llama_log_set(SILENT, None)
    library.llama_backend_init()
    return library


def check_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Refuse an x86 processor without AVX2, on which the wheel would end in an illegal instruction.

    Raises
    ------
    UnusableError
    """
    if platform.machine() not in ("x86_64", "AMD64") or not cpuinfo.is_file():
        return
    flags = {word for line in cpuinfo.read_text().splitlines() if line.startswith("flags")
             for word in line.split()}  # fmt: skip
    if "avx2" not in flags:
        raise UnusableError(f"this processor has no AVX2, which {PACKAGE}'s wheel needs")


def check_defaults(found: ContextParams) -> None:
    """Compare a context's defaults with `DEFAULTS`.

    Raises
    ------
    UnusableError
        They differ, so that the structures have moved.
    """
    odd = [
        f"{name}={getattr(found, name)!r} (should be {value!r})"
        for name, value in DEFAULTS.items()
        if getattr(found, name) != value
    ]
    if odd:
        raise UnusableError(f"llama.cpp's structures are not those of {VERSION}: {', '.join(odd)}")
