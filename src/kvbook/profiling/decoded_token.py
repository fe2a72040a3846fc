"""Where the time of one decoded token goes: reading weights, attention, small operations, Python."""

import os
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity
from torch.profiler import profile as watch

from kvbook.engine.attach import attach
from kvbook.lm.models import LoadedModel, check_loaded
from kvbook.methods.base import Method, as_method
from kvbook.profiling.hardware import synchronize

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler says when it starts and stops

PRODUCTS = ("aten::mm", "aten::addmm")
"""What PyTorch calls the products with matrices of weights."""
ATTENTION = ("bmm", "softmax", "scaled_dot_product")
"""In the names of what attention is made of: its two products, a batch of heads each, and what
stands between; or one fused kernel."""


@dataclass(frozen=True)
class DecodedToken:
    """Seconds of one step, mean over several, under PyTorch's profiler, which adds some itself.

    Attributes
    ----------
    products : float
        Products with the weights, which read each weight once: the CPU's operations, or a GPU's
        kernels.
    attention : float
        Attention, which reads the cache.
    small : float
        All other operations: norms, RoPE, residuals, writing into the cache.
    between : float
        The time between operations, in which Python prepares the next one.
    """

    products: float
    attention: float
    small: float
    between: float


def take_token_apart(lm: LoadedModel, method: Method, ids: Tensor, steps: int = 6) -> DecodedToken:
    """Read a prompt, decode tokens after it, and sum the time of their operations by kind.

    Parameters
    ----------
    lm : LoadedModel
        On a GPU the time of an operation is that of the kernels which it starts.
    method : Method
        Attached meanwhile; what it measures counts as small operations.
    ids : LongTensor [1, tokens]
        The prompt.
    steps : int
        Tokens that are watched; as many are decoded before, to warm up.
    """
    check_loaded(lm)
    model, device = lm.model, lm.model.device
    with torch.no_grad(), attach(as_method(method), model):
        cache = model(ids, use_cache=True, logits_to_keep=1).past_key_values

        def decode() -> float:
            synchronize(device)
            started = time.perf_counter()
            for _ in range(steps):
                model(ids[:, -1:], past_key_values=cache, use_cache=True)
            synchronize(device)
            return time.perf_counter() - started

        decode()
        cuda = device.type == "cuda"
        with watch(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda) as watched:
            whole = decode()
    taken = dict.fromkeys(("products", "attention", "small"), 0.0)
    for event in watched.key_averages():
        if event.device_type != DeviceType.CPU:
            continue  # a kernel, whose time the operation that started it has, too
        took = event.self_device_time_total if cuda else event.self_cpu_time_total
        kind = "attention" if any(name in event.key for name in ATTENTION) else "small"
        taken["products" if event.key in PRODUCTS else kind] += took / 1e6
    taken["between"] = max(0.0, whole - sum(taken.values()))
    return DecodedToken(**{part: seconds / steps for part, seconds in taken.items()})
