"""A fine-tuning: from what was prepared to a merged model, and what it gained and forgot."""

import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from kvbook import results
from kvbook.commands.finetune_prepare import Prepared
from kvbook.finetune.answers import generate_answers
from kvbook.finetune.data import encode
from kvbook.finetune.export import export_gguf
from kvbook.finetune.merge import merge
from kvbook.finetune.score import (
    Comparison,
    Scores,
    compare,
    forgetting,
    reference_nll,
    score_answers,
)
from kvbook.finetune.train import Trained, train
from kvbook.lm.models import load_model
from kvbook.places import place

HELD_OUT = 64
"""Test rows whose loss is measured while it trains, however many are asked afterwards."""
CHINESE = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Measured:
    """One model, asked.

    Attributes
    ----------
    answers : list of str
        To the test rows.
    scores : Scores
        Of the answers.
    general : list of float
        `reference_nll` of the general rows.
    """

    answers: list[str]
    scores: Scores
    general: list[float]


@dataclass(frozen=True)
class Finetuned:
    """What came out.

    Attributes
    ----------
    trained : Trained
        The adapter and its losses.
    merged : Path
        The merged model's folder, for `kvbook.load_model`.
    gguf : Path or None
        The merged model as one GGUF file; None where none was asked for.
    comparisons : dict of str to Comparison
        Base against merged, by measure.
    notes : list of str
        What one should know of the scores.
    numbers : Path
        The results file with all of it.
    """

    trained: Trained
    merged: Path
    gguf: Path | None
    comparisons: dict[str, Comparison]
    notes: list[str]
    numbers: Path

    @property
    def rows(self) -> list[dict[str, str]]:
        """For a table: base against merged."""
        return [one.row(measure=name) for name, one in self.comparisons.items()]

    @property
    def losses(self) -> str:
        """How the training went, in a sentence."""
        (_, before), *_, (_, after) = self.trained.held_out_losses
        return (
            f"{self.trained.steps} steps in {self.trained.seconds:.0f} s; "
            f"held-out loss {before:.3f} before, {after:.3f} after"
        )


def run_finetuning(prepared: Prepared, *, fresh: bool = False) -> Finetuned:
    """Train, or go on where a training was interrupted; merge, export, score, write it all down.

    An answer may be as long as the longest reference of the items. Base and merged model are
    asked in the dtype of the training.

    Parameters
    ----------
    fresh : bool
        Delete what an earlier run left in the folder, and begin anew.

    Raises
    ------
    KvbookError
        As `kvbook.finetune.train.train`, `kvbook.finetune.merge.merge` and
        `kvbook.finetune.export.export_gguf` say.
    """
    trained = train(
        prepared.model,
        prepared.train,
        prepared.test[:HELD_OUT],
        prepared.output,
        config=prepared.config,
        backend=prepared.backend,
        resume=not fresh,
    )
    _say("merging")
    merged = merge(trained.adapter, prepared.output / "merged")
    gguf = (
        export_gguf(merged, prepared.output / "model.gguf", prepared.gguf)
        if prepared.gguf
        else None
    )
    base, after = (
        _measure(prepared, prepared.model, "base"),
        _measure(prepared, str(merged), "merged"),
    )
    comparisons = _compare(prepared, base, after)
    data = {
        "model": prepared.model,
        "backend": prepared.backend,
        "files": prepared.files,
        "left out": prepared.notes,
        "lengths": prepared.lengths,
        "config": prepared.config.model_dump(),
        "training": asdict(trained) | {"adapter": trained.adapter.name},
        "items": [
            {"question": row.question, "reference": row.answer, "base": ours, "merged": theirs}
            for row, ours, theirs in zip(prepared.asked, base.answers, after.answers, strict=True)
        ],
        "scores": {"base": base.scores.data(), "merged": after.scores.data()},
        "comparisons": {name: one.data() for name, one in comparisons.items()},
    }
    asked = {"model": prepared.model, "backend": prepared.backend, "items": prepared.items}
    asked |= prepared.config.model_dump()  # with the seed
    return Finetuned(
        trained=trained,
        merged=merged,
        gguf=gguf,
        comparisons=comparisons,
        notes=_tell_scores(prepared, base, after),
        numbers=results.save("finetune", data, parameters=asked, directory=prepared.output),
    )


def _say(what: str) -> None:
    print(f"kvbook: {what}", file=sys.stderr, flush=True)


def _measure(prepared: Prepared, model: str, name: str) -> Measured:
    _say(f"asking the {name} model")
    lm = load_model(model, dtype="bfloat16" if prepared.config.bf16 else "float32")
    longest = max(encode(lm.tokenizer, row).trained for row in prepared.asked)
    answers = generate_answers(lm, prepared.asked, max_new_tokens=longest)
    nll = reference_nll(lm.model, lm.tokenizer, prepared.asked)
    general = reference_nll(lm.model, lm.tokenizer, prepared.general) if prepared.general else []
    references = [row.answer for row in prepared.asked]
    return Measured(
        answers, score_answers(answers, references, encoder=prepared.encoder, nll=nll), general
    )


def _compare(prepared: Prepared, base: Measured, after: Measured) -> dict[str, Comparison]:
    seed, before, now = prepared.config.seed, base.scores, after.scores
    scores = {"BERTScore F1, raw": (before.bert.raw.f1, now.bert.raw.f1)}
    if before.bert.rescaled and now.bert.rescaled:
        scores["BERTScore F1, rescaled"] = (before.bert.rescaled.f1, now.bert.rescaled.f1)
    scores |= {
        "BLEU-4": (before.overlap.bleu, now.overlap.bleu),
        "ROUGE-L": (before.overlap.rouge_l, now.overlap.rouge_l),
    }
    made = {name: compare(*values, seed=seed) for name, values in scores.items()}
    if before.nll is not None and now.nll is not None:
        made["NLL of the reference"] = compare(before.nll, now.nll, less_is_better=True, seed=seed)
    languages = ["Chinese" if CHINESE.search(row.question) else "other" for row in prepared.general]
    told = forgetting(base.general, after.general, languages, seed=seed)
    return made | {f"NLL, general, {language}": one for language, one in told.items()}


def _tell_scores(prepared: Prepared, base: Measured, after: Measured) -> list[str]:
    notes = []
    for name, one in (("base", base), ("merged", after)):
        bert = one.scores.bert
        if bert.empty:
            notes.append(f"{bert.empty} answers of the {name} model are empty: they score 0")
        if bert.cut:
            notes.append(f"{bert.cut} pairs of the {name} model are longer than the encoder reads")
    embedded = place("data") / "medical/train.jsonl"
    if Path(prepared.files["train"]) != embedded:
        notes.append("rescaled: 0 is what unrelated Chinese medical answers score")
    return notes
