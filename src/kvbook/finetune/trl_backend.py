"""Training by peft and trl, in this environment."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields

import torch

from kvbook.finetune.data import as_prompt_completion
from kvbook.finetune.job import Job


def run(job: Job) -> list[dict]:
    """Train, as `Job` says."""
    with _calm():
        trainer = _make_trainer(job)
        trainer.train(resume_from_checkpoint=job.checkpoint and str(job.checkpoint))
        last = trainer.state.log_history[-2:]  # perhaps the held-out loss, and the summary
        if not any(
            entry.get("eval_loss") and entry["step"] == trainer.state.global_step for entry in last
        ):
            trainer.evaluate()
        trainer.save_model()
    return trainer.state.log_history


def _make_trainer(job: Job):
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    config, target = job.config, job.config.lora_target
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear" if target == "all" else target.split(","),
    )
    known = {field.name for field in fields(SFTConfig)}
    settings = {key: value for key, value in config.model_dump().items() if key in known} | {
        "max_length": config.cutoff_len,
        "pad_to_multiple_of": 8,  # as LLaMA-Factory does: dropout draws as many numbers
        "activation_checkpointing": not config.disable_gradient_checkpointing,
        "eval_on_start": job.checkpoint is None,  # else it was done
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "disable_tqdm": True,
    }
    trainer = SFTTrainer(
        job.base.model,
        SFTConfig(str(job.output), **settings),
        train_dataset=Dataset.from_list([*map(as_prompt_completion, job.train)]),
        eval_dataset=Dataset.from_list([*map(as_prompt_completion, job.held_out)]),
        processing_class=job.base.tokenizer,
        peft_config=lora,
        callbacks=[_reporting(job.report)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _reporting(report: Callable[[int, int, float | None], None]):
    from transformers import TrainerCallback

    class Reporting(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            report(state.global_step, state.max_steps, None)

        def on_step_end(self, args, state, control, **kwargs):
            report(state.global_step, state.max_steps, None)

        def on_log(self, args, state, control, logs=None, **kwargs):
            report(state.global_step, state.max_steps, (logs or {}).get("loss"))

    return Reporting()


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """Only our own line: no bars of datasets (widgets in a notebook), nothing about versions to come."""
    import datasets
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), datasets.are_progress_bars_disabled()
    logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()
