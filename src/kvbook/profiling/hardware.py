"""Machines as a roofline sees them: how fast they multiply, and how fast they read memory."""

import statistics
import subprocess
import time
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

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
        Floating-point operations a second of large matrix products in the model's dtype;
        `UNKNOWN` where no source has it: then only what is read and written takes time.
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

    def quicker(self, again: "Hardware") -> "Hardware":
        """The better of each number of two measurements of one machine."""
        return replace(
            self,
            flops=max(self.flops, again.flops),
            bandwidth=max(self.bandwidth, again.bandwidth),
            layer_seconds=min(self.layer_seconds, again.layer_seconds),
        )

    def times(self, factor: float) -> "Hardware":
        """The same machine, so many times as quick."""
        return replace(
            self,
            flops=self.flops * factor,
            bandwidth=self.bandwidth * factor,
            layer_seconds=self.layer_seconds / factor,
        )


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

UNKNOWN = float("inf")
"""Operations a second of a machine whose makers do not say what its matrix products reach."""


def channel_bandwidth(transfers: float, channels: int = 4) -> float:
    """Bytes a second of a phone's memory (LPDDR): its channels are 16 bits wide.

    Parameters
    ----------
    transfers : float
        A second; two in every cycle of the clock.
    channels : int
        Of the memory controller.
    """
    return transfers * channels * 16 / 8


PHONES = {
    one.name: one
    for one in (
        Hardware(
            "OnePlus 7 Pro (Snapdragon 855)",
            UNKNOWN,
            channel_bandwidth(4266e6),
            6e9,
            source="LPDDR4X-4266, four channels: WikiChip; 6, 8 or 12 GB: LineageOS",
        ),
        Hardware(
            "OnePlus 12 (Snapdragon 8 Gen 3)",
            UNKNOWN,
            channel_bandwidth(2 * 4800e6),
            12e9,
            source="LPDDR5X at 4800 MHz: Qualcomm; four channels: EwoutH; 12, 16 or 24 GB: LineageOS",
        ),
        Hardware(
            "OnePlus 13 (Snapdragon 8 Elite)",
            UNKNOWN,
            channel_bandwidth(2 * 5300e6),
            12e9,
            source="LPDDR5X at 5300 MHz, 84.8 GB/s: Geektopia; 12, 16 or 24 GB: LineageOS",
        ),
    )
}
"""Phones of three generations, each with the least memory it is sold with: what the memory can do at
most. ``book/references.bib`` has the sources, which were read in November 2026."""


class Sizes(NamedTuple):
    """How large the experiments are: they must keep the device busy for longer than a start takes."""

    tokens: int
    side: int
    reads: int


SIZES = {"cpu": Sizes(2**11, 2**13, 1), "cuda": Sizes(2**15, 2**14, 10)}
"""Tokens of a product; rows of the matrix that is read, and how often a sample reads it."""


def measure_hardware(lm: LoadedModel, repeats: int = 5) -> Hardware:
    """This machine, by three small experiments with the model's own sizes.

    Multiply: the product of the model's MLP in its dtype, 2048 tokens at once, or on CUDA as many
    as fill it. Read: the sum of the rows of a matrix too large for the caches. Start: a whole decoding step, less the
    time that reading the weights takes, divided by the layers.

    Parameters
    ----------
    lm : LoadedModel
        Decides device, dtype and sizes.
    repeats : int
        The median of so many is taken.
    """
    check_loaded(lm)
    model = lm.model
    device, dtype, config = model.device, model.dtype, model.config
    size = SIZES["cuda" if device.type == "cuda" else "cpu"]
    x = torch.randn(size.tokens, config.hidden_size, device=device).to(dtype)
    w = torch.randn(config.hidden_size, config.intermediate_size, device=device).to(dtype)
    work = 2 * size.tokens * config.hidden_size * config.intermediate_size
    flops = work / _median_seconds(lambda: x @ w, device, repeats, inner=10)
    large, vector = (
        torch.ones(size.side, size.side, device=device),
        torch.ones(size.side, device=device),
    )
    bandwidth = large.nbytes / _median_seconds(lambda: large @ vector, device, repeats, size.reads)
    ids = torch.ones(1, 1, dtype=torch.long, device=device)
    with torch.no_grad():
        step = _median_seconds(lambda: model(ids, use_cache=True), device, repeats, inner=3)
    weights = sum(p.nbytes for p in model.parameters())
    start = max(0.0, step - weights / bandwidth) / config.num_hidden_layers
    known = describe_device(device)
    return Hardware(known["name"], flops, bandwidth, float(known["memory"]), start)


def describe_device(device: torch.device) -> dict[str, Any]:
    """What measurements depend on: the ``type`` of a device, its ``name``, its ``memory`` in bytes;
    of CUDA also its ``capability``, and the versions of ``cuda`` and of the ``driver``."""
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return {
            "type": "cuda",
            "name": found.name,
            "memory": found.total_memory,
            "capability": f"{found.major}.{found.minor}",
            "cuda": torch.version.cuda,
            "driver": _driver(),
        }
    import psutil

    from kvbook.results import machine

    name = f"{machine()['cpu']}, {torch.get_num_threads()} threads"
    return {"type": device.type, "name": name, "memory": psutil.virtual_memory().total}


def _driver() -> str | None:
    """The version of NVIDIA's driver, as its own program says it; None without that."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return said.splitlines()[0].strip() if said.strip() else None


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
