"""The package, or transformers alone, in a process of its own, to compare with llama.cpp's.

``python -m kvbook.ondevice.torch_peer <model folder> <dtype> <threads> <fullkv or stock>``: prints a
line when the model is there; then for every line of JSON on standard input, ``{"ids",
"new_tokens"}``, one with the seconds of the prefill and of a decoded token, the seconds and CPU
seconds of the whole run, and the peak of this process's memory in bytes.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path

import torch

from kvbook.lm.models import load_model
from kvbook.methods import create_method
from kvbook.ondevice.peer.status import forget_peak, status
from kvbook.profiling.one_run import run_once


def main(folder: str, dtype: str, threads: int, name: str) -> None:
    """Load once, then answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    torch.set_num_threads(threads)
    lm = load_model(Path(folder), dtype=dtype, device="cpu")
    used = None if name == "stock" else create_method(name)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        ids = torch.tensor([job["ids"]])
        run_once(lm, used, ids[:, :64], 2)
        gc.collect()
        forget_peak()
        clock, cpu = time.perf_counter(), time.process_time()
        found = run_once(lm, used, ids, job["new_tokens"])
        cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
        print(
            json.dumps(
                {
                    "prefill": found.prefill,
                    "decode": found.decode,
                    "seconds": clock,
                    "cpu": cpu,
                    "peak": status("VmHWM"),
                }
            ),
            file=answers,
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
