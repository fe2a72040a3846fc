"""Machines as a roofline sees them: how fast they multiply, and how fast they read memory."""

import statistics
import time
from dataclasses import dataclass

import torch

from kvbook.lm.models import LoadedModel, check_loaded


@dataclass(frozen=True)
class Hardware:
    """A machine.

    Attributes
    ----------
    name : str
        What it is called.
    flops : float
        Floating-point operations a second of large matrix products in the model's dtype.
    bandwidth : float
        Bytes a second between memory and processor.
    memory : float
        Bytes that it has.
    layer_seconds : float
        Fixed time of starting one layer's operations, which no roofline sees; 0 where it was
        not measured: then small steps take longer than predicted.
    source : str
        Where the numbers are from.
    """

    name: str
    flops: float
    bandwidth: float
    memory: float
    layer_seconds: float = 0.0
    source: str = "measured here"


TABLE = {
    one.name: one
    for one in (
        Hardware("A100 80GB SXM", 312e12, 2.039e12, 80e9, source="NVIDIA A100 datasheet (2021)"),
        Hardware("H100 SXM", 989e12, 3.35e12, 80e9, source="NVIDIA H100 datasheet (2023)"),
        Hardware(
            "RTX 4090", 165e12, 1.008e12, 24e9, source="NVIDIA Ada architecture whitepaper (2022)"
        ),
        Hardware("L4", 121e12, 300e9, 24e9, source="NVIDIA L4 datasheet (2023)"),
    )
}
"""Common GPUs: dense bfloat16 on tensor cores, with the bandwidth and memory of the datasheets."""


def measure_hardware(lm: LoadedModel, repeats: int = 5) -> Hardware:
    """This machine, by three small experiments with the model's own sizes.

    Multiply: the product of the model's MLP, 2048 tokens at once, in its dtype. Read: the sum
    of the rows of a matrix too large for the caches. Start: a whole decoding step, less the
    time that reading the weights takes, divided by the layers.

    Parameters
    ----------
    lm : LoadedModel
        Decides device, dtype and sizes.
    repeats : int
        The median of so many is taken.
    """
    import psutil

    check_loaded(lm)

    model = lm.model
    device, dtype, config = model.device, model.dtype, model.config
    x = torch.randn(2048, config.hidden_size, device=device).to(dtype)
    w = torch.randn(config.hidden_size, config.intermediate_size, device=device).to(dtype)
    work = 2 * 2048 * config.hidden_size * config.intermediate_size
    flops = work / _median_seconds(lambda: x @ w, device, repeats, inner=10)
    large, vector = torch.ones(2**13, 2**13, device=device), torch.ones(2**13, device=device)
    bandwidth = large.nbytes / _median_seconds(lambda: large @ vector, device, repeats)
    ids = torch.ones(1, 1, dtype=torch.long, device=device)
    with torch.no_grad():
        step = _median_seconds(lambda: model(ids, use_cache=True), device, repeats, inner=3)
    weights = sum(p.nbytes for p in model.parameters())
    start = max(0.0, step - weights / bandwidth) / config.num_hidden_layers
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        from kvbook.results import machine

        name = f"{machine()['cpu']}, {torch.get_num_threads()} threads"
        memory = psutil.virtual_memory().total
    return Hardware(name, flops, bandwidth, float(memory), start)


def _median_seconds(work, device: torch.device, repeats: int, inner: int = 1) -> float:
    """Median time of one ``work()``, each sample over ``inner`` of them, after a warm-up."""
    work()
    samples = []
    for _ in range(repeats):
        synchronize(device)
        started = time.perf_counter()
        for _ in range(inner):
            work()
        synchronize(device)
        samples.append((time.perf_counter() - started) / inner)
    return statistics.median(samples)


def synchronize(device: torch.device) -> None:
    """Wait for a GPU; a CPU is never behind."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
