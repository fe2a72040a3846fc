"""An adapter added into its model's weights: W + (alpha / r) B A is a matrix like W again."""

import json
import warnings
from pathlib import Path

import torch

from kvbook.errors import ModelError, ParameterError, ResultError
from kvbook.files import whole_folder
from kvbook.finetune.train import check_adapter, digest_weights, read_record
from kvbook.lm.generation import generate_ids
from kvbook.lm.identity import fingerprint_config
from kvbook.lm.models import LoadedModel, check_loaded, load_model, quiet
from kvbook.lm.turns import THINKING

TOLERANCE = 1e-5
"""By how much logits may differ, as a share of the largest, or of 1 if that is larger."""
MARK = "kvbook_merge.json"


def merge(adapter: str | Path, output: str | Path, *, base: str | Path | None = None) -> Path:
    """Merge an adapter into its model, and save it as a model of its own, in float32.

    The saved model is loaded again and must answer as the model with the adapter does: the
    same greedy tokens, and the same logits.

    Parameters
    ----------
    adapter : str or Path
        The folder that `kvbook.finetune.train.train` left, or another adapter of `peft`.
    output : str or Path
        A new folder for `kvbook.load_model`, with tokenizer and chat template. It appears
        when it is complete and checked; an earlier merge there is replaced then.
    base : str or Path, optional
        The model, as for `kvbook.load_model`; left out, the one that ``training.json`` names.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ParameterError
        There is no adapter, no base is known, or it is not the one that was trained; or
        ``output`` holds something else than a merge.
    ModelError
        The merged model answers in another way. See also `kvbook.load_model`.
    ResultError
        Nothing can be written there.
    """
    adapter, output = (Path(one).expanduser().resolve() for one in (adapter, output))
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter / file).is_file():
            raise ParameterError(
                f"no adapter in {adapter}, because it has no {file}: give the folder of a finished training"
            )
    if output.exists() and not (output / MARK).is_file():
        raise ParameterError(f"{output} exists and is no merge of kvbook: give another folder")
    record = read_record(adapter)
    if not base:
        if record is None:
            raise ParameterError(
                f"{adapter} does not say which model it was trained on: give base=..."
            )
        base = record["model"]
    lm = load_model(str(base), dtype="float32", device="cpu")
    if record:
        _check_base(adapter, record["run"], lm)
        check_adapter(adapter, record)
    with_adapter = load_adapter(lm, adapter)
    expected = _answer(with_adapter, lm)
    merged = with_adapter.merge_and_unload()
    try:
        with whole_folder(output) as work:
            with quiet():
                merged.save_pretrained(work)
            lm.tokenizer.save_pretrained(work)
            mark = {"adapter": str(adapter), "base": lm.name}
            (work / MARK).write_text(json.dumps(mark, indent=1), encoding="utf-8")
            again = load_model(str(work), dtype="float32", device="cpu")
            _check(expected, _answer(again.model, again))
    except OSError as error:
        raise ResultError(f"cannot write {output}: {error.strerror or error}") from None
    return output


def _check_base(adapter: Path, run: dict, lm: LoadedModel) -> None:
    """The model is the one that the adapter was trained on; older records do not have all."""
    now = {
        "weights": digest_weights(lm.model, run["bf16"]),
        "configuration": fingerprint_config(lm.model.config),
    }
    for what, digest in now.items():
        if run.get(what, digest) != digest:
            raise ParameterError(
                f"the adapter in {adapter} was trained on other {what} than those of {lm.name}"
            )


def load_adapter(lm: LoadedModel, adapter: str | Path) -> torch.nn.Module:
    """The model with an adapter beside its matrices, ready to answer: `peft`'s own ``PeftModel``."""
    from peft import PeftModel

    check_loaded(lm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft uses names that transformers gives up
        return PeftModel.from_pretrained(lm.model, str(adapter)).eval()


def _answer(model: torch.nn.Module, lm: LoadedModel) -> tuple[list[int], torch.Tensor]:
    """Sixteen greedy tokens, and all logits on the way ``[tokens, vocabulary]``."""
    messages = [{"role": "user", "content": "Hello, 你好!"}]
    prompt = lm.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False, **THINKING
    )
    with torch.no_grad():
        tokens = prompt + generate_ids(model, [prompt], 16)[0].tolist()
        logits = model(torch.tensor([tokens])).logits
    return tokens, logits[0]


def _check(expected: tuple[list[int], torch.Tensor], found: tuple[list[int], torch.Tensor]) -> None:
    if found[0] != expected[0]:
        raise ModelError("the merged model chooses other tokens than the model with its adapter")
    apart = (found[1] - expected[1]).abs().max().item()
    if not apart <= TOLERANCE * max(1.0, expected[1].abs().max().item()):
        raise ModelError(f"the logits of the merged model are {apart:.1e} away from the adapter's")
