"""How to fine-tune: the keys of `lora.yaml`, what each may be, and how they are read.

The keys are LLaMA-Factory's, so the file can be given to its own command line. Both backends
read it. LoRA: Hu et al. (2021), section 4.1.
"""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from kvbook.errors import ParameterError
from kvbook.fields import Count
from kvbook.texts import decode

CONFIG = Path(__file__).with_name("lora.yaml")

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _some(steps: int) -> int:
    if steps < 1 and steps != -1:
        raise ValueError("give a number from 1, or -1: by the epochs")
    return steps


Steps = Annotated[int, AfterValidator(_some)]


class TrainingConfig(BaseModel):
    """The keys, all of them required; `lora.yaml` says what each means."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    stage: Literal["sft"]
    do_train: Literal[True]
    finetuning_type: Literal["lora"]
    lora_rank: Count
    lora_alpha: Count
    lora_dropout: Share
    lora_target: Annotated[str, Field(pattern=r"^\w+(,\w+)*$")]

    template: str | None
    enable_thinking: Literal[False]
    mask_history: Literal[True]
    cutoff_len: Count

    learning_rate: Positive
    lr_scheduler_type: Literal["cosine", "linear", "constant_with_warmup"]
    warmup_steps: NotNegative
    optim: Literal["adamw_torch", "adamw_torch_fused"]
    weight_decay: NotNegative
    max_grad_norm: Positive
    per_device_train_batch_size: Count
    gradient_accumulation_steps: Count
    num_train_epochs: Positive
    max_steps: Steps
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    bf16: bool
    disable_gradient_checkpointing: bool

    logging_steps: Count
    eval_strategy: Literal["steps"]
    eval_steps: Count
    eval_on_start: Literal[True]
    per_device_eval_batch_size: Count
    save_strategy: Literal["steps"]
    save_steps: Count
    save_total_limit: Annotated[int, Field(ge=2)]
    report_to: Literal["none"]


def read_config(path: str | Path | None = None, **overrides) -> TrainingConfig:
    """Read a YAML file of training keys.

    Parameters
    ----------
    path : str or Path, optional
        `lora.yaml` when left out; another file needs every key, too.
    **overrides
        Keys to set in place of the file's: ``max_steps=60``.

    Raises
    ------
    ParameterError
        There is no such file, it is not YAML; a key is unknown, missing, or has a value that
        it cannot have.
    """
    path = CONFIG if path is None else Path(path)
    values = _read(path) | overrides
    valid = TrainingConfig.model_fields
    unknown = [key for key in values if key not in valid]
    if unknown:
        near = difflib.get_close_matches(str(unknown[0]), valid, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ParameterError(
            f"the training has no key {', '.join(map(repr, unknown))}.{hint} Keys are: {', '.join(valid)}"
        )
    missing = [key for key in valid if key not in values]
    if missing:
        raise ParameterError(f"{path} has no {', '.join(missing)}: copy the lines from {CONFIG}")
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(
            f"{one['loc'][0]}={one['input']!r}: {one['msg'].lower()}" for one in error.errors()
        )
        raise ParameterError(wrong) from None


def read_keys(words: Sequence[str]) -> dict:
    """Keys from a command line, ``max_steps=60``, for `read_config`; values as in the file.

    Raises
    ------
    ParameterError
        A word without ``=``, or a value that is no YAML.
    """
    keys = {}
    for word in words:
        key, equals, value = word.partition("=")
        try:
            keys[key.strip()] = yaml.load(value, _Loader)
        except yaml.YAMLError:
            equals = ""
        if not equals:
            raise ParameterError(f"-p {word}: give key=value, for example -p max_steps=60")
    return keys


class _Loader(yaml.SafeLoader):
    """Reads ``5e-4`` as a number, as LLaMA-Factory does; PyYAML takes it for a text. And a key that
    stands there twice is refused; PyYAML takes the last."""

    def construct_mapping(self, node, deep=False):
        keys = set()
        for key, _ in node.value:
            if str(key.value) in keys:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key {key.value!r} stands there twice")
            keys.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _read(path: Path) -> dict:
    try:
        values = yaml.load(decode(path.read_bytes()), _Loader)
    except FileNotFoundError:
        raise ParameterError(f"there is no file {path}: copy {CONFIG} and change it") from None
    except OSError as error:
        raise ParameterError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        why = " ".join(str(error).split())
        raise ParameterError(f"{path} is not YAML ({why}): compare it with {CONFIG}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{path} holds no keys: compare it with {CONFIG}")
    return values
