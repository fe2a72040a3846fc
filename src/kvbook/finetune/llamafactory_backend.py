"""Training by LLaMA-Factory 0.9.5, a process of its own in its own environment."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from kvbook.errors import ExecutionError, ParameterError
from kvbook.finetune.data import encode, write_llamafactory
from kvbook.finetune.job import Job
from kvbook.lm.models import EMBEDDED, TINY, LoadedModel, fetch_embedded, quiet
from kvbook.places import environment_of_another_python, python_of

PROGRAM = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
from llamafactory.cli import main
main()
"""
"""``llamafactory-cli``, which also ends when its standard input does: it never outlives us."""
EXAMPLE = re.compile(r"^input_ids:\n(\[.*\])\n(?:.*\n)*?^label_ids:\n(\[.*\])$", re.MULTILINE)


def environment() -> Path:
    """The Python that has LLaMA-Factory: ``$KVBOOK_LLAMAFACTORY``, or the repository's.

    Raises
    ------
    ParameterError
        There is none.
    """
    given = os.environ.get("KVBOOK_LLAMAFACTORY")
    python = Path(given or python_of("llamafactory"))
    if not python.is_file():
        raise ParameterError(
            f"LLaMA-Factory's environment is not there ({python}): run `make llamafactory`, set "
            "KVBOOK_LLAMAFACTORY to a Python that has it, or take the backend trl"
        )
    return python


def run(job: Job) -> list[dict]:
    """Train, as `Job` says.

    Raises
    ------
    ParameterError
        There is no such environment; or ``template`` is not the model's.
    ExecutionError
        LLaMA-Factory failed.
    """
    python = environment()
    base, output, config = job.base, job.output, job.config
    settings = config.model_dump() | {
        "model_name_or_path": _where(base, output),
        "dataset_dir": str(output / "data"),
        "dataset": write_llamafactory(job.train, output / "data", "train").stem,
        "eval_dataset": write_llamafactory(job.held_out, output / "data", "held_out").stem,
        "output_dir": str(output),
        "resume_from_checkpoint": job.checkpoint and str(job.checkpoint),
        "eval_on_start": job.checkpoint is None,
        "use_cpu": not torch.cuda.is_available(),
        "disable_tqdm": True,
    }
    file, log = output / "llamafactory.yaml", output / "llamafactory.log"
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    base.model.to("cpu")  # the process has use for the GPU's memory
    first = encode(base.tokenizer, job.train[0])
    expected = [first.ids, first.labels] if len(first.ids) <= config.cutoff_len else None
    with log.open("w") as out:
        process = subprocess.Popen(
            [python, "-c", PROGRAM, "train", file],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=_variables(output),
        )
    try:
        ended = False
        while not ended:
            time.sleep(0.5)
            ended = process.poll() is not None
            expected = _check_example(expected, log, config.template)
            _report(output / "trainer_log.jsonl", job.report)
    finally:
        process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise ExecutionError(
            f"LLaMA-Factory failed ({lines[-1] if lines else 'it said nothing'}): see {log}"
        )
    state = json.loads((output / "trainer_state.json").read_bytes())
    end = json.loads((output / "eval_results.json").read_bytes())
    return [*state["log_history"], {"step": state["global_step"], "eval_loss": end["eval_loss"]}]


def _where(base: LoadedModel, output: Path) -> str:
    """A folder that LLaMA-Factory can read the model from, or its name on the hub."""
    if base.name == EMBEDDED:
        return str(fetch_embedded())
    if base.name == TINY:
        with quiet():
            base.model.save_pretrained(output / "base")
        base.tokenizer.save_pretrained(output / "base")
        return str(output / "base")
    return base.name


def _variables(output: Path) -> dict[str, str]:
    """The environment variables of the process: one GPU at most, no caches in the user's home."""
    variables = environment_of_another_python()
    variables.setdefault("CUDA_VISIBLE_DEVICES", "0")
    return variables | {"HF_DATASETS_CACHE": str(output / "data/cache")}


def _check_example(expected: list | None, log: Path, template: str | None) -> list | None:
    """LLaMA-Factory prints its first row: those must be the tokens that the model's own template gives."""
    if expected and (found := EXAMPLE.search(log.read_text(encoding="utf-8", errors="replace"))):
        if [json.loads(numbers) for numbers in found.groups()] != expected:
            raise ParameterError(
                f"LLaMA-Factory's template {template!r} gives other tokens than the model's own: set "
                "template to null (LLaMA-Factory then reads the model's own), or to the name of that one; "
                "or take the backend trl"
            )
        return None
    return expected


def _report(log: Path, report: Callable[[int, int, float | None], None]) -> None:
    whole, _, _ = log.read_text(encoding="utf-8").rpartition("\n") if log.exists() else ("", "", "")
    if whole:
        last = json.loads(whole.splitlines()[-1])
        report(last["current_steps"], last["total_steps"], last.get("loss"))
