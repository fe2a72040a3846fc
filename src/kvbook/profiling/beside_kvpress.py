"""kvpress in an environment of its own (``make kvpress``), run in turns with our methods."""

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from kvbook.errors import ExecutionError
from kvbook.lm.models import LoadedModel, fetch_embedded
from kvbook.methods.base import Method
from kvbook.places import environment_of_another_python, python_of
from kvbook.profiling.memory import STEADY
from kvbook.profiling.one_run import run_once
from kvbook.profiling.promises import BUDGET, NEW_TOKENS, OBSERVED, SNAPKV

PEERS = {"snapkv": ("snapkv", SNAPKV), "h2o": ("observed", OBSERVED)}
"""By our method: what `kvbook.profiling.kvpress_peer` calls kvpress's, and what the promises do."""
Values = dict[str, list[float]]


def run_beside_kvpress(
    lm: LoadedModel, python: Path, methods: Mapping[str, Method], ids: Tensor, repeats: int
) -> tuple[Values, Values]:
    """Whole runs of ours and of kvpress's in turns: same model, prompt, dtype, threads and number
    of entries, each of theirs in a process of its own.

    Parameters
    ----------
    python : Path
        Of `find_kvpress`.
    methods : mapping of str to Method
        Those of `PEERS`, by name.
    ids : LongTensor [1, tokens]
        The prompt.
    repeats : int
        Of each pair.

    Returns
    -------
    whole, peaks : dict of str to list of float
        Seconds of whole runs, by our names and kvpress's; and bytes at the peak of kvpress's.
    """
    whole, peaks = defaultdict(list), defaultdict(list)
    dtype = str(lm.model.dtype).removeprefix("torch.")
    for name, method in tqdm(list(methods.items()) * repeats, desc="kvpress", unit="pair"):
        press, peer = PEERS[name]
        whole[name].append(run_once(lm, method, ids, NEW_TOKENS).end_to_end)
        job = {"press": press, "ids": ids[0].tolist(), "budget": BUDGET, "new_tokens": NEW_TOKENS}
        theirs = ask_kvpress(python, dtype, torch.get_num_threads(), job)
        whole[peer].append(theirs["whole"])
        peaks[peer].append(theirs["peak"])
    return dict(whole), dict(peaks)


def find_kvpress() -> Path | None:
    """The Python of kvpress's environment: ``$KVBOOK_KVPRESS``, or what `make kvpress` made."""
    given = os.environ.get("KVBOOK_KVPRESS")
    python = Path(given or python_of("kvpress"))
    if python.is_file():
        return python
    if given:
        raise ExecutionError(f"KVBOOK_KVPRESS={given}: there is no such Python; make kvpress")
    return None


def ask_kvpress(python: Path, dtype: str, threads: int, job: dict) -> dict:
    """One run in a process of its own; see `kvbook.profiling.kvpress_peer`."""
    script = Path(__file__).with_name("kvpress_peer.py")
    # -P: what lies beside it, such as profile.py, must not stand in for Python's own
    command = [str(python), "-P", str(script), str(fetch_embedded()), dtype, str(threads)]
    done = subprocess.run(
        command,
        input=json.dumps(job) + "\n",
        capture_output=True,
        text=True,
        env=environment_of_another_python() | STEADY,
    )
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) < 2:
        words = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise ExecutionError(f"kvpress in {python} failed: {words[0]}; make kvpress sets it up")
    return json.loads(lines[-1])
