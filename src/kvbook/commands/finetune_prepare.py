"""Before a fine-tuning takes time: all its files, keys and models, read and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kvbook.errors import ParameterError
from kvbook.finetune.config import TrainingConfig, read_config, read_keys
from kvbook.finetune.data import Dialogue, length_statistics, read_dialogues
from kvbook.finetune.data.split import read_split, tell_malformed
from kvbook.finetune.export import Dtype, check_dtype, check_supported
from kvbook.finetune.score import Encoder, choose_encoder
from kvbook.finetune.train import (
    Backend,
    check_backend,
    check_folder,
    check_padding,
    count_trainable,
)
from kvbook.lm.models import EMBEDDED, load_model
from kvbook.places import place


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
    check_padding(lm)
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
