"""Moments on the device's own clock. To note a moment, the host does not wait for a GPU; to read
the time between two moments, it does."""

import time
from typing import Any, TypeAlias

import torch

Mark: TypeAlias = float | torch.cuda.Event
"""A moment. On a CPU: its clock, in seconds. On a GPU: an event in the queue of its work."""


def mark(device: torch.device) -> Mark:
    """This moment; on a GPU, the moment when all work given to it before is done."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def between(first: Any, last: Any) -> float:
    """Seconds between two moments of the same device; waits for a GPU."""
    if isinstance(first, float):
        return last - first
    last.synchronize()
    return first.elapsed_time(last) / 1000
