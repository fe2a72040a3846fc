"""A short training, as the chapters run it: `lora.yaml` with a handful of keys set."""

from pathlib import Path

from kvbook.finetune.config import TrainingConfig, read_config
from kvbook.finetune.data.split import Split
from kvbook.finetune.train import Backend, Trained, train

HELD_OUT = 8
"""Test rows on which the loss is measured meanwhile: a few, since that costs as much as training."""


def short_config(
    *, steps: int, rank: int, learning_rate: float, batch: int, seed: int, bf16: bool
) -> TrainingConfig:
    """The keys of a training of ``steps`` steps; alpha is twice the rank, as in `lora.yaml`."""
    return read_config(
        max_steps=steps,
        lora_rank=rank,
        lora_alpha=2 * rank,
        learning_rate=learning_rate,
        per_device_train_batch_size=batch,
        seed=seed,
        bf16=bf16,
        logging_steps=max(1, steps // 20),
        eval_steps=max(1, steps // 4),
        save_steps=max(1, steps // 4),
    )


def train_short(
    model: str,
    split: Split,
    folder: Path,
    config: TrainingConfig,
    *,
    backend: Backend = "trl",
    resume: bool = True,
    progress: bool = False,
) -> Trained:
    """Train on all training rows, in ``folder``; what is there already is read. See `train`."""
    return train(
        model,
        split.train,
        split.test[:HELD_OUT],
        folder,
        config=config,
        backend=backend,
        resume=resume,
        progress=progress,
    )
