"""LoRA training: a model, rows, a folder; by TRL, or by LLaMA-Factory in its own environment.

Low-rank adaptation (Hu et al., 2021, section 4.1) leaves a weight W as it is and trains two
small matrices beside it: W x + (alpha / r) B A x, A with r rows, B with r columns and zero at
first, so that training starts from the model itself. Both backends save the same things in
the folder: checkpoints, and in the end an adapter of `peft`. `train` adds ``training.json``: what
the run was made from, and its result.
"""

import hashlib
import json
import math
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from kvbook import results
from kvbook.errors import ParameterError, ResultError
from kvbook.files import disk_errors
from kvbook.finetune import llamafactory_backend, trl_backend
from kvbook.finetune.config import TrainingConfig, read_config
from kvbook.finetune.data import Dialogue, encode
from kvbook.finetune.job import Job
from kvbook.finetune.matrices import kind_of, linear_layers, lora_numbers
from kvbook.lm.identity import fingerprint_config
from kvbook.lm.models import LoadedModel, is_folder, load_model

Backend = Literal["trl", "llamafactory"]
BACKENDS: dict[Backend, Callable[[Job], list[dict]]] = {
    "trl": trl_backend.run,
    "llamafactory": llamafactory_backend.run,
}
RECORD = "training"
LOCK = ".training.lock"
ANEW = "delete what is there and begin anew: resume=False, or --fresh on the command line"
ADAPTER = "adapter_model.safetensors"
ADAPTER_FILES = (ADAPTER, "adapter_config.json")
STATE = "trainer_state.json"
CHECKPOINT = (
    ADAPTER,
    "adapter_config.json",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    STATE,
)
"""The files of a checkpoint that training goes on from."""


@dataclass(frozen=True)
class Trained:
    """What a training left.

    Attributes
    ----------
    adapter : Path
        The folder, with ``adapter_model.safetensors`` in it.
    train_losses, held_out_losses : list of (int, float)
        Steps and losses: the mean over the steps since the last one, and over the held-out
        rows; step 0 is the model before.
    trainable, parameters : int
        Numbers that are trained, and all numbers of the model with its adapter.
    seconds : float
        Seconds of training, since it began or was resumed.
    steps : int
    resumed_from : int or None
        The step of the checkpoint that it went on from.
    notes : list of str
        What was not as expected, such as rows that were cut, or a damaged checkpoint.
    """

    adapter: Path
    train_losses: list[tuple[int, float]]
    held_out_losses: list[tuple[int, float]]
    trainable: int
    parameters: int
    seconds: float
    steps: int
    resumed_from: int | None
    notes: list[str]

    @property
    def share(self) -> float:
        """Trained numbers among all."""
        return self.trainable / self.parameters


def train(
    model: str | Path,
    train: Sequence[Dialogue],
    held_out: Sequence[Dialogue],
    output: str | Path,
    *,
    config: TrainingConfig | None = None,
    backend: Backend = "trl",
    resume: bool = True,
    progress: bool = True,
) -> Trained:
    """Fine-tune a model with LoRA; what is there already is not trained again.

    Parameters
    ----------
    model : str or Path
        As for `kvbook.load_model`.
    train, held_out : sequence of Dialogue
        The rows to learn, and the rows on which the loss is measured meanwhile.
    output : str or Path
        The run's folder. If it holds this very run, a finished one is read, and an interrupted
        one is continued from its last whole checkpoint, to the same end as without
        interruption.
    config : TrainingConfig, optional
        `lora.yaml` when left out.
    backend : {"trl", "llamafactory"}
        ``"llamafactory"`` needs its environment: ``make llamafactory``.
    resume : bool
        False: delete what the run left in the folder, and begin anew.
    progress : bool
        Show a line with steps and loss.

    Raises
    ------
    ParameterError
        No rows, an unknown backend or layer, a tokenizer that cannot pad; or the folder holds
        another run, or other files, or is in use. See also `encode` and `load_model`.
    ResultError
        Nothing can be written there, the disk is full, or the loss is no number any more.
    ExecutionError
        LLaMA-Factory failed.
    """
    check_backend(backend)
    config, output = config or read_config(), Path(output).expanduser().resolve()
    check_folder(output)
    name = str(model)
    if is_folder(name):
        name = os.path.realpath(os.path.expanduser(name))
    base = load_model(name, dtype="bfloat16" if config.bf16 else "float32")
    check_padding(base)
    count_trainable(base.model, config)  # which checks the layers' names
    notes: list[str] = []
    train, train_ids = _usable(base.tokenizer, train, config.cutoff_len, "training", notes)
    held_out, held_out_ids = _usable(base.tokenizer, held_out, config.cutoff_len, "held-out", notes)
    run = {
        "backend": backend,
        "weights": digest_weights(base.model, config.bf16),
        "configuration": fingerprint_config(base.model.config),
        "training rows": train_ids,
        "held-out rows": held_out_ids,
    } | config.model_dump()
    with _Alone(output):
        if not resume:
            _clear(output)
        record = read_record(output)
        if record and (record["result"] or _checkpoints(output)):
            older = {"configuration": run["configuration"]}  # which records did not have
            _check_same(output, older | record["run"], run)
            if record["result"] and not _damage(output, ADAPTER_FILES):
                check_adapter(output, record)
                return _restore(output, record["result"])
            checkpoint = _last_checkpoint(output, notes)
        else:
            checkpoint = None
        record = {"run": run, "model": name}
        asked = {"model": name, "backend": backend} | config.model_dump()
        results.save(RECORD, record | {"result": None}, parameters=asked, directory=output)
        (output / ADAPTER).unlink(missing_ok=True)
        for note in notes:
            print(f"kvbook: {note}", file=sys.stderr, flush=True)
        parameters = sum(one.numel() for one in base.model.parameters())
        with _Progress(progress) as report:
            job = Job(base, train, held_out, output, config, checkpoint, report)
            try:
                with disk_errors():
                    history = BACKENDS[backend](job)
            except OSError as error:
                raise ResultError(
                    f"the training cannot go on ({error}): its last whole checkpoint, if there is "
                    "one, is kept, and the same call goes on from there"
                ) from None
        trained = _summarize(output, history, parameters, checkpoint, notes)
        result = asdict(trained)
        del result["adapter"]
        record |= {"result": result, "adapter": digest_adapter(output)}
        results.save(RECORD, record, parameters=asked, directory=output)
    return trained


def check_backend(backend: str) -> Backend:
    """The same name, if there is such a backend.

    Raises
    ------
    ParameterError
        Its name is unknown, or its environment is not there.
    """
    if backend not in BACKENDS:
        raise ParameterError(f"unknown backend {backend!r}; backends are: {', '.join(BACKENDS)}")
    if backend == "llamafactory":
        llamafactory_backend.environment()
    return backend


# ---- the rows and the model ---------------------------------------------------------------------


def _usable(
    tokenizer, dialogues: Sequence[Dialogue], length: int, name: str, notes: list[str]
) -> tuple[list[Dialogue], str]:
    """The rows of which anything is trained, and what identifies them: count and digest."""
    digest, usable, cut = hashlib.sha256(), [], 0
    for dialogue in dialogues:
        encoded = encode(tokenizer, dialogue, max_length=length)
        if encoded.trained:
            usable.append(dialogue)
            cut += encoded.cut
            digest.update(json.dumps([encoded.ids, encoded.labels]).encode())
    dropped = len(dialogues) - len(usable)
    if not usable:
        why = f"in all {dropped}, the prompt fills cutoff_len={length}" if dropped else "none given"
        raise ParameterError(f"there are no {name} rows to use ({why})")
    if dropped:
        notes.append(f"{dropped} {name} rows left out: their prompt fills cutoff_len={length}")
    if cut:
        notes.append(f"{cut} of {len(usable)} {name} rows cut at cutoff_len={length} tokens")
    return usable, f"{len(usable)}, sha256 {digest.hexdigest()[:16]}"


def digest_weights(model: torch.nn.Module, bf16: bool) -> str:
    """What identifies a model's weights, as they are in bfloat16 or in float32."""
    digest, dtype = hashlib.sha256(), torch.bfloat16 if bf16 else torch.float32
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.to("cpu", dtype).contiguous().flatten().view(torch.uint8).numpy())
    return f"sha256 {digest.hexdigest()[:16]}"


def check_padding(lm: LoadedModel) -> None:
    """Rows of unequal lengths are trained together, so there must be something to fill them with.

    Raises
    ------
    ParameterError
        The tokenizer has neither a padding token nor an end token.
    """
    if lm.tokenizer.pad_token_id is None:
        raise ParameterError(
            f"the tokenizer of {lm.name} has neither a padding token nor an end token, and rows of "
            "unequal lengths cannot be trained together without: take an instruct model, or save "
            "the tokenizer with a pad_token"
        )


def digest_adapter(folder: Path) -> str:
    """What identifies an adapter: its matrices, and how they are added."""
    digest = hashlib.sha256()
    for name in ADAPTER_FILES:
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return f"sha256 {digest.hexdigest()[:16]}"


def check_adapter(folder: Path, record: dict) -> None:
    """Refuse an adapter other than the one that the training left, where the record has its digest.

    Raises
    ------
    ParameterError
        The adapter is another one.
    """
    if record["adapter"] not in (None, digest_adapter(folder)):
        raise ParameterError(
            f"the adapter in {folder} is not the one that its {RECORD}.json tells of: put that one "
            f"back, or move this one elsewhere, and {ANEW}"
        )


def count_trainable(model: torch.nn.Module, config: TrainingConfig) -> int:
    """How many numbers LoRA trains: rank times inputs and outputs of each layer that it is put
    beside.

    Raises
    ------
    ParameterError
        ``lora_target`` names a layer that the model does not have.
    """
    layers = linear_layers(model)
    names = dict.fromkeys(map(kind_of, layers))
    target = [*names] if config.lora_target == "all" else config.lora_target.split(",")
    unknown = [name for name in target if name not in names]
    if unknown:
        raise ParameterError(
            f"lora_target={config.lora_target!r}: the model has no linear layer "
            f"{', '.join(unknown)}; give 'all', or some of {','.join(names)}"
        )
    return sum(
        lora_numbers(layer, config.lora_rank)
        for name, layer in layers.items()
        if kind_of(name) in target
    )


# ---- the folder ---------------------------------------------------------------------------------


def check_folder(output: Path) -> None:
    """Refuse a folder with anything but a training of ours in it, because it may have to be
    cleared.

    Raises
    ------
    ParameterError
        ``output`` is a file, or a folder with other files.
    """
    if output.exists() and not output.is_dir():
        raise ParameterError(f"{output} is a file: give a folder")
    record = output / f"{RECORD}.json"
    if output.is_dir() and not record.exists() and {p.name for p in output.iterdir()} - {LOCK}:
        raise ParameterError(
            f"{output} is not empty and holds no training of kvbook: give another folder"
        )


class _Alone:
    """Only one training at a time in a folder."""

    def __init__(self, output: Path):
        self.output = output

    def __enter__(self):
        try:
            self.output.mkdir(parents=True, exist_ok=True)
            self.lock = FileLock(self.output / LOCK, timeout=0)
            self.lock.acquire()
        except Timeout:
            raise ParameterError(
                f"another process is training in {self.output}: wait for it, or give another folder"
            ) from None
        except OSError as error:
            raise ResultError(f"cannot write to {self.output}: {error.strerror}") from None

    def __exit__(self, *exception):
        self.lock.release()


def _clear(output: Path) -> None:
    for path in output.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def read_record(output: Path) -> dict | None:
    """What ``training.json`` says: ``run``, ``model``, ``result``, ``adapter``; None if it is not
    there.

    Raises
    ------
    ParameterError
        It is damaged.
    """
    path = output / f"{RECORD}.json"
    if not path.exists():
        return None
    try:
        record: dict[str, Any] = results.load(RECORD, output).data
        if record["result"] is not None:
            _restore(output, record["result"])
        read = {name: record[name] for name in ("model", "result")}
        return read | {"run": dict(record["run"]), "adapter": record.get("adapter")}
    except (ResultError, LookupError, TypeError, ValueError):
        raise ParameterError(
            f"{path} is damaged: what the folder holds is unknown; give another folder, or {ANEW}"
        ) from None


def _check_same(output: Path, there: dict, asked: dict) -> None:
    other = [
        f"{key} is {there.get(key)!r} there, {asked.get(key)!r} asked"
        for key in asked | there
        if there.get(key) != asked.get(key)
    ]
    if other:
        raise ParameterError(
            f"{output} holds another training ({'; '.join(other)}): give another folder, or {ANEW}"
        )


def _last_checkpoint(output: Path, notes: list[str]) -> Path | None:
    """The last whole one before the end; those that are damaged are set aside, and noted.

    From the very end there is nothing to go on to, and a trainer would do one step more: the
    last steps are trained again instead.
    """
    for checkpoint in _checkpoints(output):
        damage = _damage(checkpoint, CHECKPOINT)
        if damage is None and _is_end(checkpoint):
            continue
        if damage is None:
            return checkpoint
        aside = output / f"damaged-{checkpoint.name}"
        shutil.rmtree(aside, ignore_errors=True)
        checkpoint.rename(aside)
        notes.append(f"{checkpoint.name} is damaged ({damage}) and now called {aside.name}")
    notes.append("no whole checkpoint before the end is left: training begins anew")
    return None


def _is_end(checkpoint: Path) -> bool:
    state = json.loads((checkpoint / STATE).read_bytes())
    return int(state["global_step"]) >= int(state["max_steps"])


def _checkpoints(output: Path) -> list[Path]:
    """The last one first."""
    found = [path for path in output.glob("checkpoint-*") if path.name[11:].isdecimal()]
    return sorted(found, key=_step, reverse=True)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _damage(folder: Path, names: Sequence[str]) -> str | None:
    """The first of these files that is missing or cannot be read to its end."""
    for name in names:
        try:
            _read_through(folder / name)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return name
        except (SafetensorError, zipfile.BadZipFile):
            return name
    return None


def _read_through(path: Path) -> None:
    if path.suffix == ".json":
        content = json.loads(path.read_bytes())
        if path.name == STATE:
            int(content["global_step"]), int(content["max_steps"])
    elif path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no dictionary
                file.get_tensor(name)
    else:  # PyTorch's files are zip archives with a sum over each part
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():
                raise ValueError("damaged")


# ---- what came out ------------------------------------------------------------------------------


class _Progress:
    """A line with steps and loss; called with the step, all steps, and perhaps a loss."""

    def __init__(self, shown: bool):
        self.shown = shown
        self.bar: tqdm | None = None
        self.last: tuple[int, float | None] | None = None

    def __enter__(self) -> Callable[[int, int, float | None], None]:
        return self.report

    def report(self, step: int, total: int, loss: float | None = None) -> None:
        if self.bar is None:
            self.bar = tqdm(
                desc="training", total=total, initial=step, unit="step", disable=not self.shown
            )
        if (step, loss) != self.last:
            self.last = step, loss
            self.bar.update(step - self.bar.n)
            if loss is not None:
                self.bar.set_postfix(loss=f"{loss:.3f}")

    def __exit__(self, *exception):
        if self.bar is not None:
            self.bar.close()


def _restore(output: Path, result: dict) -> Trained:
    return TypeAdapter(Trained).validate_python({**result, "adapter": output})


def _summarize(
    output: Path, history: list[dict], parameters: int, checkpoint: Path | None, notes: list[str]
) -> Trained:
    losses = {
        name: {entry["step"]: entry[name] for entry in history if name in entry}
        for name in ("loss", "eval_loss", "train_runtime")
    }
    for step, loss in (losses["loss"] | losses["eval_loss"]).items():
        if not math.isfinite(loss):
            raise ResultError(f"the loss is {loss} at step {step}: lower learning_rate, and {ANEW}")
    with safe_open(output / ADAPTER, "pt") as file:
        trainable = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    (steps, seconds), *_ = losses["train_runtime"].items()
    return Trained(
        adapter=output,
        train_losses=sorted(losses["loss"].items()),
        held_out_losses=sorted(losses["eval_loss"].items()),
        trainable=trainable,
        parameters=parameters + trainable,
        seconds=seconds,
        steps=steps,
        resumed_from=_step(checkpoint) if checkpoint else None,
        notes=notes,
    )
