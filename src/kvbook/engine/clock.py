"""Time on the device's own clock, so that nobody waits for the device to read it."""

import time
from typing import Any, TypeAlias

import torch

Mark: TypeAlias = float | torch.cuda.Event
"""A moment: of a CPU its clock in seconds, of a GPU an event among what it was asked to do."""


def mark(device: torch.device) -> Mark:
    """This moment; of a GPU, that when it has done all that it was asked to do before."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def between(first: Any, last: Any) -> float:
    """Seconds from one moment to another of the same device; a GPU is waited for."""
    if isinstance(first, float):
        return last - first
    last.synchronize()
    return first.elapsed_time(last) / 1000
