"""How near answers come to their references, and what fine-tuning gained or lost.

No measure here knows medicine, and none says whether an answer is right: a wrong dose costs a
few characters. They say how much an answer resembles one good answer, in meaning (BERTScore)
and in wording (BLEU, ROUGE-L), how likely a model finds that answer, and how varied answers are.

Run this module to make the embedded encoder's baseline again, from the training data's answers.
"""

import csv
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from kvbook.errors import ModelError, ParameterError
from kvbook.finetune.data import IGNORED, Dialogue, Encoded, encode, read_dialogues
from kvbook.finetune.encoder import NAME as E5
from kvbook.finetune.encoder import fetch_encoder
from kvbook.models import hub_answers, quiet
from kvbook.places import place
from kvbook.results import write_whole
from kvbook.stats import mean_and_interval, paired_interval

BERT_BASE_CHINESE = "bert-base-chinese"
LAYERS = {E5: 9, BERT_BASE_CHINESE: 8}
"""Which hidden states are compared. Of bert-base-chinese, bert-score's choice; of the embedded
encoder, its choice for the multilingual models of this depth."""
BASELINE = Path("medical") / "baseline.csv"
TIE = 1e-5
"""Scores nearer than this are a tie: what else is in the batch moves a score by less."""


# ---- encoders -----------------------------------------------------------------------------------


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
    return Encoder(name, folder, LAYERS.get(name) if layer is None else layer, baseline)


def shipped_baseline(model: str, language: str = "zh") -> Path:
    """The file of a baseline that comes with bert-score."""
    package = Path(find_spec("bert_score").submodule_search_locations[0])
    return package / "rescale_baseline" / language / f"{model}.tsv"


def _fetch_bert_base_chinese() -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            f"google-bert/{BERT_BASE_CHINESE}",
            allow_patterns=["*.json", "vocab.txt", "model.safetensors"],
            local_files_only=not hub_answers(),
        )
    except Exception as error:  # whatever the hub's client makes of a missing network
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"cannot fetch {BERT_BASE_CHINESE} from the hub ({why}): download its folder elsewhere and "
            "give its path with layer=8, or take the embedded encoder"
        ) from None
    return Path(folder)


def _open(folder: Path, layer: int, all_layers: bool = False):
    """bert-score's scorer, without progress bars."""
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
    longest = scorer._model.config.max_position_embeddings
    scorer._tokenizer.model_max_length = min(scorer._tokenizer.model_max_length, longest)
    return scorer


_open_once = lru_cache(maxsize=1)(_open)


# ---- BERTScore ----------------------------------------------------------------------------------


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
        The same between the baseline, which becomes 0, and 1; without a bound below.
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

    Each token is matched with the one of the other text whose hidden state has the greatest
    cosine; precision is the mean over the candidate's tokens, recall over the reference's.
    Rescaled it is ``(raw - b) / (1 - b)`` with ``b`` the same measure of unrelated texts:
    it spreads the scores and changes no order.

    Parameters
    ----------
    candidates, references : sequence of str
        One of each a pair.
    encoder : Encoder, optional
        From `choose_encoder`; the embedded one when left out.

    Raises
    ------
    ParameterError
        No pairs, unequal lengths, an empty reference, or a layer that the encoder, or its
        baseline, has not.
    ModelError
        The encoder cannot be had or read.
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


def check_pairs(candidates: Sequence[str], references: Sequence[str]) -> None:
    """Refuse what cannot be scored; see `bertscore`."""
    if isinstance(candidates, str) or isinstance(references, str):
        raise ParameterError("give lists of candidates and references, not one text")
    if len(candidates) != len(references):
        raise ParameterError(
            f"{len(candidates)} candidates and {len(references)} references: give one of each a pair"
        )
    if not candidates:
        raise ParameterError("there are no answers to score")
    for number, reference in enumerate(references):
        if not reference.strip():
            raise ParameterError(f"reference {number} is empty: nothing can resemble it")


# ---- the baseline -------------------------------------------------------------------------------


def read_baseline(path: Path, layer: int) -> np.ndarray:
    """Precision, recall and F1 of unrelated texts at a layer.

    Raises
    ------
    ParameterError
        The file has no line for this layer, or is no baseline.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        return next(
            np.array([float(row[column]) for column in "PRF"])
            for row in rows
            if int(row["LAYER"]) == layer
        )
    except (KeyError, TypeError, ValueError):
        raise ParameterError(
            f"{path} is no baseline: its lines have to be LAYER,P,R,F, as in bert-score's own"
        ) from None
    except StopIteration:
        raise ParameterError(f"{path} has no baseline of layer {layer}") from None


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
    scorer = _open(encoder.folder, encoder.layer, all_layers=True)
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


# ---- wording ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Overlap:
    """Characters in common, a value a pair, from 0 to 1.

    Attributes
    ----------
    bleu, rouge_l : list of float
    """

    bleu: list[float]
    rouge_l: list[float]


class _Characters:
    """For rouge-score: each character is a token, white space is none."""

    def tokenize(self, text: str) -> list[str]:
        return [character for character in text if not character.isspace()]


def overlap(candidates: Sequence[str], references: Sequence[str]) -> Overlap:
    """BLEU-4 and ROUGE-L of characters, as Chinese has no spaces between words.

    BLEU (Papineni et al., 2002) is sacrebleu's for single sentences: runs of one to four
    characters, the first run length without a hit counted as half a hit, the next as a quarter,
    and so on; a text of fewer than four characters by the runs it has. ROUGE-L (Lin, 2004) is
    rouge-score's F1 of the longest common subsequence. White space does not count.

    Raises
    ------
    ParameterError
        No pairs, unequal lengths, an empty reference.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU

    check_pairs(candidates, references)
    bleu = BLEU(tokenize="char", effective_order=True)
    rouge = RougeScorer(["rougeL"], tokenizer=_Characters())
    pairs = list(zip(candidates, references, strict=True))
    return Overlap(
        [bleu.sentence_score(ours, [theirs]).score / 100 for ours, theirs in pairs],
        [rouge.score(theirs, ours)["rougeL"].fmeasure for ours, theirs in pairs],
    )


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Different runs of ``n`` characters over all such runs in all texts (distinct-n, Li et al.,
    2016), from 0 to 1; 0 if there is none. White space does not count.

    More text repeats more: compare texts of about the same amount.
    """
    if n < 1:
        raise ParameterError(f"n={n}: give a number of characters from 1")
    texts = ["".join(text.split()) for text in texts]
    runs = [text[i : i + n] for text in texts for i in range(len(text) - n + 1)]
    return len(set(runs)) / len(runs) if runs else 0.0


def length_ratio(candidates: Sequence[str], references: Sequence[str]) -> float:
    """Characters of all candidates over those of all references, without white space at the ends."""
    check_pairs(candidates, references)
    ours, theirs = (sum(len(text.strip()) for text in texts) for texts in (candidates, references))
    return ours / theirs


# ---- likelihood ---------------------------------------------------------------------------------


def reference_nll(
    model, tokenizer, dialogues: Sequence[Dialogue], *, batch_size: int = 4
) -> list[float]:
    """How unlikely a model finds each reference answer, whatever it would say itself.

    Parameters
    ----------
    model : PreTrainedModel
        Causal; evaluated without dropout, and left in the mode that it was in.
    tokenizer : PreTrainedTokenizerBase
        With a chat template.
    dialogues : sequence of Dialogue
        The last answer of each is meant, with what `kvbook.finetune.data.encode` counts to it.
    batch_size : int
        How many go through the model at once; it changes memory, not the result.

    Returns
    -------
    list of float
        Mean negative logarithm of the probability of an answer's tokens, in nats a token, from
        0 (certain); a value a dialogue. Only values of the same tokenizer compare.

    Raises
    ------
    ParameterError
        No dialogues, or no batch; see also `kvbook.finetune.data.encode`.
    """
    if not dialogues:
        raise ParameterError("there are no answers to score")
    if batch_size < 1:
        raise ParameterError(f"batch_size={batch_size}: give a number of dialogues from 1")
    rows = [encode(tokenizer, dialogue) for dialogue in dialogues]
    training = model.training
    model.eval()
    try:
        starts = range(0, len(rows), batch_size)
        return [nll for start in starts for nll in _nll(model, rows[start : start + batch_size])]
    finally:
        model.train(training)


@torch.no_grad()
def _nll(model, rows: Sequence[Encoded]) -> list[float]:
    def pad(parts: list[list[int]], value: int) -> torch.Tensor:
        # on the right: no token sees what comes after it
        tensors = [torch.tensor(part) for part in parts]
        padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
        return padded.to(model.device)

    ids, mask = pad([row.ids for row in rows], 0), pad([[1] * len(row.ids) for row in rows], 0)
    labels = pad([row.labels for row in rows], IGNORED)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return [
        torch.nn.functional.cross_entropy(here.float(), next_one, ignore_index=IGNORED).item()
        for here, next_one in zip(logits[:, :-1], labels[:, 1:], strict=True)
    ]


# ---- before and after ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """The same items, before and after.

    Attributes
    ----------
    items : int
    before, after : float
        Means.
    gain, low, high : float
        The mean improvement, and its 95 % interval: positive is better, also where less is better.
    wins, ties, losses : int
        Items that are better, the same, or worse.
    win_rate, win_low, win_high : float
        Share of wins, a tie as half of one, and its 95 % interval.
    """

    items: int
    before: float
    after: float
    gain: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int
    win_rate: float
    win_low: float
    win_high: float

    def row(self, **first) -> dict[str, str]:
        """A row for `kvbook.figures.table`, after columns of your own."""
        return first | {
            "items": str(self.items),
            "before": f"{self.before:.3f}",
            "after": f"{self.after:.3f}",
            "gain": _show(self.gain, self.low, self.high, "+.3f"),
            "better / same / worse": f"{self.wins} / {self.ties} / {self.losses}",
            "win rate": _show(self.win_rate, self.win_low, self.win_high, ".2f"),
        }

    def data(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)


def compare(
    before: Sequence[float],
    after: Sequence[float],
    *,
    less_is_better: bool = False,
    seed: int = 0,
) -> Comparison:
    """What a change did to each item, by paired bootstrap (Koehn, 2004).

    Parameters
    ----------
    before, after : sequence of float
        A score an item, in the same order: of the base model (adapter off), and of the one that
        the adapter is merged into.
    less_is_better : bool
        For `reference_nll`.
    seed : int
        Of the bootstrap.

    Raises
    ------
    ParameterError
        No items, or unequal lengths.
    """
    if len(before) != len(after) or not len(before):
        raise ParameterError(
            f"{len(before)} scores before and {len(after)} after: give the same items, at least one"
        )
    worse, better = (after, before) if less_is_better else (before, after)
    gains = np.asarray(better, float) - np.asarray(worse, float)
    outcome = np.where(np.abs(gains) < TIE, 0.5, gains > 0)
    wins, ties = int((outcome == 1).sum()), int((outcome == 0.5).sum())
    gain, low, high = paired_interval(better, worse, seed)
    win_rate, win_low, win_high = mean_and_interval(outcome, seed)
    return Comparison(
        items=len(gains),
        before=float(np.mean(before)),
        after=float(np.mean(after)),
        gain=gain,
        low=low,
        high=high,
        wins=wins,
        ties=ties,
        losses=len(gains) - wins - ties,
        win_rate=win_rate,
        win_low=win_low,
        win_high=win_high,
    )


def forgetting(
    before: Sequence[float], after: Sequence[float], groups: Sequence[str], *, seed: int = 0
) -> dict[str, Comparison]:
    """What fine-tuning did to other abilities, group by group (such as languages).

    Parameters
    ----------
    before, after : sequence of float
        `reference_nll` of general questions. A gain below 0 is forgetting.
    groups : sequence of str
        Of each item.
    seed : int
        Of the bootstrap.

    Raises
    ------
    ParameterError
        No items, or unequal lengths.
    """
    if not len(before) == len(after) == len(groups):
        raise ParameterError(
            f"{len(before)} values before, {len(after)} after, {len(groups)} groups: give as many of each"
        )
    before, after, groups = np.array(before), np.array(after), np.array(groups)
    return {
        str(group): compare(
            before[groups == group], after[groups == group], less_is_better=True, seed=seed
        )
        for group in dict.fromkeys(groups)
    }


# ---- all together -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """Everything that is measured of one model's answers.

    Attributes
    ----------
    bert : BertScores
    overlap : Overlap
    distinct_1, distinct_2 : float
        Of the answers, see `distinct_n`.
    length_ratio : float
        Above 1, answers are longer than their references.
    nll : list of float or None
        See `reference_nll`.
    """

    bert: BertScores
    overlap: Overlap
    distinct_1: float
    distinct_2: float
    length_ratio: float
    nll: list[float] | None = None

    def row(self, **first) -> dict[str, str]:
        """A row for `kvbook.figures.table`, after columns of your own; means with their 95 %
        intervals."""
        values = {"BERTScore F1, raw": self.bert.raw.f1}
        if self.bert.rescaled:
            values["rescaled"] = self.bert.rescaled.f1
        values |= {"BLEU-4": self.overlap.bleu, "ROUGE-L": self.overlap.rouge_l}
        if self.nll is not None:
            values["NLL of the reference"] = self.nll
        return (
            first
            | {name: _show(*mean_and_interval(of), ".3f") for name, of in values.items()}
            | {
                "distinct-1 / -2": f"{self.distinct_1:.2f} / {self.distinct_2:.2f}",
                "length ratio": f"{self.length_ratio:.2f}",
                "empty": str(self.bert.empty),
                "cut": str(self.bert.cut),
            }
        )

    def data(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)


def score_answers(
    answers: Sequence[str],
    references: Sequence[str],
    *,
    encoder: Encoder | None = None,
    nll: list[float] | None = None,
) -> Scores:
    """Score one model's answers.

    Parameters
    ----------
    answers, references : sequence of str
        One of each a question.
    encoder : Encoder, optional
        From `choose_encoder`; the embedded one when left out.
    nll : list of float, optional
        From `reference_nll`, to stand beside the others.

    Raises
    ------
    ParameterError, ModelError
        See `bertscore`.
    """
    return Scores(
        bertscore(answers, references, encoder=encoder),
        overlap(answers, references),
        distinct_n(answers, 1),
        distinct_n(answers, 2),
        length_ratio(answers, references),
        nll,
    )


def _show(mean: float, low: float, high: float, form: str) -> str:
    return f"{mean:{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    own = Encoder(E5, fetch_encoder(), LAYERS[E5])
    make_baseline(baseline_texts(), own).write(place("data") / BASELINE)
