"""What BERTScore gives texts that do not belong together: where a rescaled score is 0."""

import csv
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from kvbook.errors import ParameterError
from kvbook.files import write_whole
from kvbook.finetune.data import read_dialogues
from kvbook.finetune.score.scorer import Encoder, open_scorer
from kvbook.places import place
from kvbook.texts import read_text


def read_baseline(path: Path, layer: int) -> np.ndarray:
    """Precision, recall and F1 of unrelated texts at a layer.

    Raises
    ------
    ParameterError
        The file has no line for this layer, or several, or is no baseline.
    """
    lines = [*filter(str.strip, read_text(path).splitlines())]
    try:
        found = [
            [float(row[column]) for column in "PRF"]
            for row in csv.DictReader(lines)
            if int(row["LAYER"]) == layer
        ]
    except (KeyError, TypeError, ValueError, csv.Error):
        raise ParameterError(
            f"{path} is no baseline: its lines have to be LAYER,P,R,F, as in bert-score's own"
        ) from None
    if not found:
        raise ParameterError(f"{path} has no baseline of layer {layer}")
    if len(found) > 1:
        raise ParameterError(f"{path} has {len(found)} lines of layer {layer}: keep one")
    if not all(value < 1 for value in found[0]):  # nor is NaN
        raise ParameterError(
            f"{path} is no baseline: the scores of layer {layer} have to be below 1"
        )
    return np.array(found[0])


def rescale(score: float, baseline: float) -> float:
    """A raw score where the baseline is 0 and 1 stays 1 (Zhang et al., 2020, section 5)."""
    return (score - baseline) / (1 - baseline)


@dataclass(frozen=True)
class Baseline:
    """Mean scores of unrelated texts.

    Attributes
    ----------
    layers : list of list of float
        ``[layers + 1, 3]``: precision, recall and F1; the first is of the embeddings.
    provenance : dict
        Of what, how many, with which versions.
    """

    layers: list[list[float]]
    provenance: dict

    def write(self, path: Path) -> None:
        """Write the means in bert-score's format, and the provenance beside it as JSON.

        Raises
        ------
        ResultError
            Nothing can be written there.
        """
        lines = [f"{i},{p:.6f},{r:.6f},{f:.6f}" for i, (p, r, f) in enumerate(self.layers)]
        write_whole(path, "\n".join(["LAYER,P,R,F", *lines]) + "\n")
        text = json.dumps(self.provenance, indent=1, ensure_ascii=False)
        write_whole(path.with_suffix(".json"), text + "\n")


def make_baseline(
    texts: Sequence[str], encoder: Encoder, *, pairs: int = 5000, seed: int = 0
) -> Baseline:
    """What BERTScore gives answers that belong to other questions.

    Zhang et al. (2020) pair sentences of a whole language at random. Pairs of answers to
    questions of one kind have style and phrases in common, so that this baseline is higher and
    a rescaled score harder: 0 is an answer in the right manner, to another question.

    Parameters
    ----------
    texts : sequence of str
        Repeated ones count once.
    pairs : int
        How many different pairs are drawn, of all that there are.
    seed : int
        What draws them.

    Raises
    ------
    ParameterError
        There are not so many pairs, or fewer than one is asked for.
    """
    texts = list(dict.fromkeys(text for text in texts if text.strip()))
    others = len(texts) - 1
    if not 0 < pairs <= len(texts) * others:
        raise ParameterError(
            f"pairs={pairs}: {len(texts)} different texts make {max(0, len(texts) * others)}"
        )
    numbers = random.Random(seed).sample(range(len(texts) * others), pairs)
    drawn = [divmod(number, others) for number in numbers]
    candidates = [texts[first] for first, _ in drawn]
    references = [texts[second + (second >= first)] for first, second in drawn]
    scorer = open_scorer(encoder.folder, encoder.layer, all_layers=True)
    scores = torch.stack(scorer.score(candidates, references), 2)
    provenance = {
        "what": "mean BERTScore of answers to different questions, raw, a line a layer",
        "encoder": encoder.name,
        "layer": encoder.layer,
        "texts": {"different": len(texts), "sha256": digest(texts)},
        "pairs": pairs,
        "seed": seed,
        "f1": {
            "mean": round(scores[encoder.layer, :, 2].mean().item(), 6),
            "standard deviation": round(scores[encoder.layer, :, 2].std().item(), 6),
        },
        "versions": {name: version(name) for name in ("bert-score", "torch", "transformers")},
    }
    return Baseline(scores.double().mean(1).tolist(), provenance)


def digest(texts: Sequence[str]) -> str:
    """A checksum of texts in their order."""
    return sha256(json.dumps(list(texts), ensure_ascii=False).encode()).hexdigest()


def baseline_texts() -> list[str]:
    """What the embedded encoder's baseline is made of: the training data's answers."""
    return [one.answer for one in read_dialogues(place("data") / "medical/train.jsonl").dialogues]
