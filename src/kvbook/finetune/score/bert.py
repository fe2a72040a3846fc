"""BERTScore: how near the meaning of an answer comes to its reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from kvbook.finetune.score.baseline import read_baseline
from kvbook.finetune.score.pairs import check_pairs
from kvbook.finetune.score.scorer import Encoder, choose_encoder, open_scorer

_open_once = lru_cache(maxsize=1)(open_scorer)


@dataclass(frozen=True)
class Match:
    """How well the tokens of candidates and references match, a value a pair.

    Attributes
    ----------
    precision, recall, f1 : list of float
        Of the candidate's tokens, of the reference's, and their harmonic mean.
    """

    precision: list[float]
    recall: list[float]
    f1: list[float]


@dataclass(frozen=True)
class BertScores:
    """BERTScore of some pairs.

    Attributes
    ----------
    raw : Match
        Means of cosines: at most 1, and far above 0 even for texts that have nothing in common.
    rescaled : Match or None
        The raw scores, rescaled: the baseline becomes 0, and 1 stays 1. A score below the baseline
        is negative, without a lower bound. None where the encoder has no baseline.
    empty : int
        Candidates without a character, which score 0 raw and far below 0 rescaled.
    cut : int
        Pairs with a text that is longer than the encoder reads, whose end does not count.
    encoder : str
    layer : int
    """

    raw: Match
    rescaled: Match | None
    empty: int
    cut: int
    encoder: str
    layer: int


def bertscore(
    candidates: Sequence[str], references: Sequence[str], *, encoder: Encoder | None = None
) -> BertScores:
    """BERTScore (Zhang et al., ICLR 2020, section 3), as bert-score computes it, without idf
    weights.

    Each token is matched with the token of the other text whose hidden state has the greatest
    cosine. Precision is the mean over the candidate's tokens, recall over the reference's.
    Rescaled, the score is ``(raw - b) / (1 - b)``, where ``b`` is the score of unrelated texts:
    rescaling spreads the scores and changes no order.

    Parameters
    ----------
    candidates, references : sequence of str
        One of each a pair.
    encoder : Encoder, optional
        From `choose_encoder`; the embedded one when left out.

    Raises
    ------
    ParameterError
        No pairs, unequal lengths, an empty reference, or a layer that the encoder or its baseline
        does not have.
    ModelError
        The encoder cannot be found or read.
    """
    check_pairs(candidates, references)
    encoder = encoder or choose_encoder()
    baseline = None if encoder.baseline is None else read_baseline(encoder.baseline, encoder.layer)
    scorer = _open_once(encoder.folder, encoder.layer)
    full = [index for index, text in enumerate(candidates) if text.strip()]
    raw = np.zeros((len(candidates), 3))
    if full:
        pairs = [candidates[i] for i in full], [references[i] for i in full]
        raw[full] = torch.stack(scorer.score(*pairs), 1)
    rescaled = None if baseline is None else _as_match((raw - baseline) / (1 - baseline))
    long = map(max, _lengths(scorer, candidates), _lengths(scorer, references))
    return BertScores(
        raw=_as_match(raw),
        rescaled=rescaled,
        empty=len(candidates) - len(full),
        cut=sum(length > scorer._tokenizer.model_max_length for length in long),
        encoder=encoder.name,
        layer=encoder.layer,
    )


def _as_match(scores: np.ndarray) -> Match:
    return Match(*scores.T.tolist())


def _lengths(scorer, texts: Sequence[str]) -> list[int]:
    """In tokens, with the first and the last."""
    ids = scorer._tokenizer([text.strip() for text in texts], truncation=False, verbose=False)
    return [*map(len, ids.input_ids)]
