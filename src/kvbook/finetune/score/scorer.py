"""bert-score's scorer, with the encoder that is asked for: the embedded one, bert-base-chinese, or a
folder."""

from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import torch

from kvbook.errors import ModelError, ParameterError
from kvbook.lm.encoder import NAME as E5
from kvbook.lm.encoder import fetch_encoder
from kvbook.lm.hub import fetching, hub_answers
from kvbook.lm.models import quiet
from kvbook.places import place

BERT_BASE_CHINESE = "bert-base-chinese"
LAYERS = {E5: 9, BERT_BASE_CHINESE: 8}
"""Which hidden states are compared. Of bert-base-chinese, bert-score's choice; of the embedded
encoder, its choice for the multilingual models of this depth."""
BASELINE = Path("medical") / "baseline.csv"
"""The embedded encoder's, among the book's data."""
UNBOUNDED = 2**31 - 1
"""The greatest length that a tokenizer can cut at; undeclared, transformers' is greater, and fails."""


@dataclass(frozen=True)
class Encoder:
    """What BERTScore compares texts with.

    Attributes
    ----------
    name : str
        What was asked for.
    folder : Path
        Where it is.
    layer : int
        Its hidden states after so many layers are compared.
    baseline : Path or None
        Scores of unrelated texts, in bert-score's format: ``LAYER,P,R,F``, a line a layer from 0.
    """

    name: str
    folder: Path
    layer: int
    baseline: Path | None = None


def choose_encoder(
    name: str | Path = E5, *, layer: int | None = None, baseline: str | Path | None = None
) -> Encoder:
    """An encoder by its name.

    Parameters
    ----------
    name : str or Path
        ``"multilingual-e5-small"`` (embedded), ``"bert-base-chinese"`` (from the model hub or
        its cache; what bert-score takes for Chinese), or the path of a model's folder.
    layer : int, optional
        9 and 8 for the first two; a folder needs one.
    baseline : str or Path, optional
        The first two have their own, the embedded one's from Chinese medical answers, which is
        too high for other texts. Without one, scores are not rescaled.

    Raises
    ------
    ModelError
        It cannot be had; the message says what to do.
    ParameterError
        A folder without ``layer``, or a baseline that is not there.
    """
    name = str(name)
    if name == E5:
        folder, own = fetch_encoder(), place("data") / BASELINE
    elif name == BERT_BASE_CHINESE:
        folder, own = _fetch_bert_base_chinese(), shipped_baseline(name)
    else:
        folder, own = Path(name).expanduser(), None
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"no encoder {name!r}: give {E5!r} (embedded), {BERT_BASE_CHINESE!r}, or the path of "
                "a folder with config.json, weights and tokenizer"
            )
        if layer is None:
            raise ParameterError(
                f"{folder}: say which layer to compare, such as layer=8 for a copy of {BERT_BASE_CHINESE}"
            )
    baseline = own if baseline is None else Path(baseline)
    if baseline is not None and not baseline.is_file():
        raise ParameterError(
            f"there is no baseline {baseline}; `python -m kvbook.finetune.score` makes the embedded encoder's"
        )
    return Encoder(name, folder, LAYERS[name] if layer is None else layer, baseline)


def shipped_baseline(model: str) -> Path:
    """The file of a Chinese baseline that comes with bert-score."""
    package = Path(str(distribution("bert-score").locate_file("bert_score")))
    return package / "rescale_baseline" / "zh" / f"{model}.tsv"


def _fetch_bert_base_chinese() -> Path:
    from huggingface_hub import snapshot_download

    instead = (
        "download its folder elsewhere and give its path with layer=8, or take the embedded encoder"
    )
    with fetching(BERT_BASE_CHINESE, ModelError, instead):
        folder = snapshot_download(
            f"google-bert/{BERT_BASE_CHINESE}",
            allow_patterns=["*.json", "vocab.txt", "model.safetensors"],
            local_files_only=not hub_answers(),
        )
    return Path(folder)


def open_scorer(folder: Path, layer: int, all_layers: bool = False):
    """bert-score's scorer, without progress bars.

    Raises
    ------
    ParameterError
        The encoder has no such layer.
    ModelError
        It cannot be read.
    """
    from bert_score import BERTScorer

    try:
        with quiet():
            scorer = BERTScorer(str(folder), layer, all_layers=all_layers)
    except AssertionError as error:
        raise ParameterError(f"layer={layer}: {error}") from None
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot read the encoder in {folder}: {str(error).splitlines()[0]}"
        ) from None
    if scorer._tokenizer.pad_token_id is None:
        raise ModelError(
            f"the tokenizer in {folder} has no pad token, which texts of several lengths need: set "
            "one and save it again"
        )
    scorer._tokenizer.model_max_length = min(
        scorer._tokenizer.model_max_length, _longest(scorer._model)
    )
    return scorer


def _longest(model) -> int:
    """The tokens that an encoder reads at most; no bound but `UNBOUNDED` where positions are
    relative.

    RoBERTa and its kin count positions from behind their padding id: as many of the table are
    never a token's.
    """
    for name, part in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, torch.nn.Embedding):
            behind = 0 if part.padding_idx is None else part.padding_idx + 1
            return part.num_embeddings - behind
    declared = getattr(model.config, "max_position_embeddings", None)
    return declared if declared and declared > 0 else UNBOUNDED  # XLNet's says -1
