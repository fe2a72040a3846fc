"""`kvbook finetune`: from files of dialogues to a merged model, and what it gained and forgot."""

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kvbook import results
from kvbook.errors import ParameterError
from kvbook.finetune.answers import generate_answers
from kvbook.finetune.config import TrainingConfig, read_config, read_keys
from kvbook.finetune.data import Dialogue, encode, length_statistics, read_dialogues
from kvbook.finetune.data.split import read_split, tell_malformed
from kvbook.finetune.export import Dtype, check_dtype, check_supported, export_gguf
from kvbook.finetune.merge import merge
from kvbook.finetune.score import (
    Comparison,
    Encoder,
    Scores,
    choose_encoder,
    compare,
    forgetting,
    reference_nll,
    score_answers,
)
from kvbook.finetune.train import (
    Backend,
    Trained,
    check_backend,
    check_folder,
    count_trainable,
    train,
)
from kvbook.lm.models import EMBEDDED, load_model
from kvbook.places import place

HELD_OUT = 64
"""Test rows whose loss is measured while it trains, however many are asked afterwards."""
CHINESE = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Prepared:
    """What is going to be done: read and checked before anything takes time.

    Attributes
    ----------
    model, backend : str
        As for `kvbook.finetune.train.train`.
    config : TrainingConfig
        The keys.
    output : Path
        The folder.
    files : dict of str to str
        Where the rows of ``train``, ``test`` and perhaps ``general`` are.
    train, test, general : list of Dialogue
        To learn from; to ask; to see what is forgotten, perhaps none.
    items : int
        How many of the test rows are asked.
    gguf : str or None
        The type to export.
    encoder : Encoder
        Of BERTScore.
    lengths : dict of str to dict
        `length_statistics` of each file's rows.
    trainable, parameters : int
        Numbers that are trained, and all of them.
    notes : list of str
        What was left out, and why.
    """

    model: str
    backend: Backend
    config: TrainingConfig
    output: Path
    files: dict[str, str]
    train: list[Dialogue]
    test: list[Dialogue]
    general: list[Dialogue]
    items: int
    gguf: Dtype | None
    encoder: Encoder
    lengths: dict[str, dict]
    trainable: int
    parameters: int
    notes: list[str]

    @property
    def asked(self) -> list[Dialogue]:
        """The test rows that are asked."""
        return self.test[: self.items]

    @property
    def rows(self) -> list[dict[str, str]]:
        """For a table: how long the rows are."""
        return [
            {"data": name, "rows": str(of["count"])}
            | {
                f"{part}: median / 95 % / most tokens": "{median:.0f} / {p95:.0f} / {max}".format(
                    **of[part]["tokens"]
                )
                for part in ("prompt", "answer")
            }
            for name, of in self.lengths.items()
        ]

    @property
    def share(self) -> str:
        """What LoRA trains, in a sentence."""
        share = self.trainable / self.parameters
        return f"LoRA trains {self.trainable:,} of {self.parameters:,} numbers ({share:.2%})"


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
        The same as one file.
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


# ---- before anything takes time -----------------------------------------------------------------


def prepare_finetuning(
    *,
    data: Path | None = None,
    test: Path | None = None,
    general: Path | None = None,
    model: str = EMBEDDED,
    output: Path,
    backend: str = "trl",
    config: Path | None = None,
    keys: Sequence[str] = (),
    items: int = 64,
    gguf: str | None = None,
) -> Prepared:
    """Read and check everything, from the words of a command line.

    Parameters
    ----------
    data, test : Path, optional
        Files for `read_dialogues`; both left out, the embedded medical ones. Training rows whose
        question the test data ask are taken out.
    general : Path, optional
        Rows of other kinds, to see what is forgotten. Left out: the embedded ones beside the
        embedded data, none beside others.
    model, output, backend
        As for `kvbook.finetune.train.train`.
    config : Path, optional
        As for `read_config`.
    keys : sequence of str
        ``key=value``, in place of the file's.
    items : int
        How many test rows are asked, from the first on.
    gguf : {"f32", "f16", "bf16", "q8_0"}, optional
        Also export a GGUF file of this type.

    Raises
    ------
    ParameterError
        A file, key, type, backend or folder that cannot be used, or no training row is left.
    ModelError
        The model, or the encoder of BERTScore, cannot be had.
    UnsupportedError
        The model cannot be exported.
    """
    if (data is None) != (test is None):
        raise ParameterError(
            "give --data and --test, or neither: the embedded test data ask what the embedded "
            "training data teach"
        )
    settings = read_config(config, **read_keys(keys))
    backend = check_backend(backend)
    gguf = check_dtype(gguf) if gguf else None
    check_folder(output.expanduser())
    medical = place("data") / "medical"
    files = {"train": data or medical / "train.jsonl", "test": test or medical / "test.jsonl"}
    split = read_split(files["train"], files["test"])
    rows, notes = {"train": split.train, "test": split.test}, split.notes
    if general or data is None:
        files["general"] = general or medical / "general.jsonl"
        read = read_dialogues(files["general"])
        rows["general"] = read.dialogues
        notes = notes + tell_malformed("general", read)
    lm = load_model(model, device="cpu")
    trainable = count_trainable(lm.model, settings)
    if gguf:
        check_supported(lm.model.config)
    return Prepared(
        model=model,
        backend=backend,
        config=settings,
        output=output.expanduser().resolve(),
        files={name: str(path) for name, path in files.items()},
        train=split.train,
        test=split.test,
        general=rows.get("general", []),
        items=items,
        gguf=gguf,
        encoder=choose_encoder(),
        lengths={name: length_statistics(lm.tokenizer, of) for name, of in rows.items()},
        trainable=trainable,
        parameters=trainable + sum(one.numel() for one in lm.model.parameters()),
        notes=notes,
    )


# ---- what takes time ----------------------------------------------------------------------------


def finetune(prepared: Prepared, *, fresh: bool = False) -> Finetuned:
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
