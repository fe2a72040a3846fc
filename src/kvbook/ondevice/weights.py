"""A model as the file that llama.cpp reads."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock

from kvbook.errors import ParameterError
from kvbook.files import whole_folder
from kvbook.finetune.export import export_gguf
from kvbook.lm.identity import identity_of
from kvbook.lm.models import EMBEDDED, check_loaded, fetch_embedded, fetch_embedded_gguf, quiet
from kvbook.places import cache_dir

Weights = Literal["q4_1", "q8_0", "f16", "f32"]


def gguf_of(model: str | Path = EMBEDDED, weights: Weights = "q4_1") -> Path:
    """The GGUF file of a model, in this user's cache; written the first time.

    Parameters
    ----------
    model : str or Path
        ``"smollm2-135m"``; the folder of a Llama or a Qwen3, as ``kvbook finetune`` merges it; or a
        GGUF file, which is taken as it is.
    weights : {"q4_1", "q8_0", "f16", "f32"}
        What the matrices are stored in. ``"q4_1"``: the embedded model's own file, the one that
        all others of it were made from; for a folder ``"q8_0"`` is the smallest.

    Raises
    ------
    ParameterError
        No such model, or weights that it cannot be written in.
    UnsupportedError
        A model that `kvbook.finetune.export.export_gguf` cannot write.
    """
    if weights not in get_args(Weights):
        raise ParameterError(f"weights={weights!r}: give {', '.join(map(repr, get_args(Weights)))}")
    if file := _given(model):
        return file
    folder = folder_of(model)
    if weights == "q4_1":
        if model != EMBEDDED:
            raise ParameterError(
                f"weights='q4_1': only the embedded model's own file has them; for {model} give 'q8_0', "
                "or make the file with llama.cpp's llama-quantize and give its path"
            )
        return fetch_embedded_gguf()
    home = cache_dir() / "gguf"
    home.mkdir(parents=True, exist_ok=True)
    files = sorted(folder.glob("*.json")) + sorted(folder.glob("*.safetensors"))
    path = home / f"{folder.name}-{checksum(*files)}-{weights}.gguf"
    with FileLock(f"{path}.lock"):
        return path if path.is_file() else export_gguf(folder, path, weights)


def folder_of(model: str | Path = EMBEDDED) -> Path:
    """Where a model's tokenizer and chat template are.

    Raises
    ------
    ParameterError
        There is no such folder.
    """
    folder = fetch_embedded() if model == EMBEDDED else Path(model).expanduser()
    if not (folder / "config.json").is_file():
        raise ParameterError(
            f"no model in {folder}: give {EMBEDDED}, the folder of a model, or a .gguf file"
        )
    return folder


def tokenizer_of(model: str | Path = EMBEDDED):
    """transformers' tokenizer of a model, for its chat template: from its folder, or from the GGUF file
    itself."""
    from transformers import AutoTokenizer

    if file := _given(model):
        return AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    return AutoTokenizer.from_pretrained(folder_of(model), local_files_only=True)


def _given(model: str | Path) -> Path | None:
    """The GGUF file that ``model`` is; None where it is something else.

    Raises
    ------
    ParameterError
        It is not there.
    """
    file = Path(model).expanduser()
    if file.suffix != ".gguf":
        return None
    if not file.is_file():
        raise ParameterError(f"there is no file {file}: give a model in GGUF")
    return file


def checksum(*files: Path) -> str:
    """Changes with any byte of any of the files."""
    found = 0
    for file in files:
        with file.open("rb") as opened:
            while block := opened.read(1 << 24):
                found = zlib.crc32(block, found)
    return f"{found:08x}"


def files_of(lm, weights: Sequence[Weights]) -> dict[str, Path]:
    """GGUF files of a `LoadedModel`, by what their weights are stored in; as in `gguf_of`."""
    check_loaded(lm)
    model = home_of(lm)
    return {one: gguf_of(model, one) for one in weights}


def home_of(lm) -> str | Path:
    """What `gguf_of` takes for a `LoadedModel`: its name or folder; one that was made on the spot is
    written to this user's cache first."""
    check_loaded(lm)
    if lm.name == EMBEDDED or Path(lm.name).is_dir():
        return lm.name
    name = f"{Path(lm.name).name}-{identity_of(lm)['weights']}"
    folder = cache_dir() / "gguf" / name
    if not folder.is_dir():
        with whole_folder(folder) as new, quiet():
            lm.model.float().save_pretrained(new)
            lm.tokenizer.save_pretrained(new)
    return folder
