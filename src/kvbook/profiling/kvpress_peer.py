"""kvpress 0.5.5 on the same model and prompt, for `make bench`. Runs in an environment of its
own (``make kvpress``), because it needs an older transformers; so it imports nothing of ours.

``python kvpress_peer.py <model folder> <dtype> <threads>``: prints a line of JSON when the model
is loaded; then for every line of JSON on standard input, ``{"press", "ids", "budget",
"new_tokens"}``, one with the seconds of the prefill and of the whole, and the peak of this
process's memory above its level before. A press is ``"snapkv"``, ``"observed"`` or ``null``,
the full cache.
"""

import gc
import json
import re
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from kvpress import ObservedAttentionPress, SnapKVPress
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.utils import logging


def status(name):
    """A line of this process's status, in bytes."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1))


def run(model, press, ids, new_tokens):
    """Prefill under the press, then decode greedily: seconds of both."""
    cache = DynamicCache()
    started = time.perf_counter()
    with torch.no_grad():
        with press(model) if press else nullcontext():
            logits = model(ids, past_key_values=cache, logits_to_keep=1).logits
        prefill = time.perf_counter() - started
        position = ids.shape[1]
        for step in range(new_tokens - 1):
            token = logits[:, -1:].argmax(-1)
            at = torch.tensor([[position + step]])
            logits = model(token, past_key_values=cache, position_ids=at).logits
        logits[:, -1:].argmax(-1).item()
    return prefill, time.perf_counter() - started


def main(folder, dtype, threads):
    """Load once for each attention, then answer."""
    torch.set_num_threads(threads)
    logging.disable_progress_bar()
    models = {}

    def model_for(name):
        attention = "eager" if name == "observed" else "sdpa"  # it needs the attention weights
        if attention not in models:
            models[attention] = AutoModelForCausalLM.from_pretrained(
                folder, dtype=getattr(torch, dtype), attn_implementation=attention
            ).eval()
        return models[attention]

    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        model, ids = model_for(job["press"]), torch.tensor([job["ids"]])
        ratio = 1 - job["budget"] / ids.shape[1]
        press = {
            None: None,
            "snapkv": SnapKVPress(ratio, window_size=32, kernel_size=7),
            "observed": ObservedAttentionPress(ratio),
        }[job["press"]]
        run(model, press, ids[:, :128], 2)
        gc.collect()
        level = status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        prefill, whole = run(model, press, ids, job["new_tokens"])
        peak = status("VmHWM") - level
        print(json.dumps({"prefill": prefill, "whole": whole, "peak": peak}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
