"""What a backend is given to train, and how it tells how far it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvbook.finetune.config import TrainingConfig
from kvbook.finetune.data import Dialogue
from kvbook.lm.models import LoadedModel


@dataclass(frozen=True)
class Job:
    """One training, checked: a backend's ``run(job)`` does it, leaves checkpoints and the adapter
    in ``output``, and returns what was logged: a dict each, with ``step``, and ``loss``,
    ``eval_loss`` or ``train_runtime``.

    Attributes
    ----------
    base : LoadedModel
        The model that is trained: its weights stay, and the adapter is put beside them.
    train, held_out : sequence of Dialogue
        The rows.
    output : Path
        The folder.
    config : TrainingConfig
        The keys.
    checkpoint : Path or None
        The checkpoint to go on from; None: the training begins.
    report : callable
        Told the step, the number of all steps, and perhaps a loss.
    """

    base: LoadedModel
    train: Sequence[Dialogue]
    held_out: Sequence[Dialogue]
    output: Path
    config: TrainingConfig
    checkpoint: Path | None
    report: Callable[[int, int, float | None], None]
