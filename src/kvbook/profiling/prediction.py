"""The cost of a method on paper: operations, bytes and, by the roofline, seconds.

Everything follows from a transformers configuration and the method's plan
(`kvbook.profiling.plan`); no weights are needed. What is counted is what this book's engine
does on a CPU, where a prompt's attention in bfloat16 is made of blocks of one KV head, as H2O's
is in any format; ``matrix=True`` counts H2O and PyramidInfer as their authors' codes do, with whole
score matrices (FMInference/H2O and mutonix/pyramidinfer, read in November 2026).
"""

from collections import Counter
from dataclasses import dataclass, field

import torch

from kvbook.engine.attention import QUERY_BLOCK, SUM_BLOCK
from kvbook.errors import ParameterError
from kvbook.lm.costs import ModelShape, causal_pairs, kv_bytes, layer_flops, scan_flops
from kvbook.methods.base import Method, as_method
from kvbook.methods.h2o import H2O
from kvbook.methods.pyramidinfer import PyramidInfer
from kvbook.profiling.hardware import Hardware
from kvbook.profiling.plan import LayerPlan, Plan, blocked_pairs, plan

PARTS = ("projections", "attention", "scoring", "mlp", "lm_head")
"""Parts of a forward pass that are matrix products; norms, RoPE and residuals are left out."""


@dataclass(frozen=True)
class Cost:
    """Floating-point operations, and bytes read and written."""

    flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: float) -> "Cost":
        return Cost(self.flops * times, self.bytes * times)

    def seconds(self, hardware: Hardware) -> float:
        """The roofline: either the operations take the time, or the bytes do.

        Notes
        -----
        Williams, Waterman and Patterson (2009), "Roofline: an insightful visual performance
        model for multicore architectures".
        """
        return max(self.flops / hardware.flops, self.bytes / hardware.bandwidth)


@dataclass(frozen=True)
class Phase:
    """The prefill, or all decoding steps together.

    Attributes
    ----------
    layers : tuple of dict
        Of every layer, its cost by part; a first pass's layers come first.
    lm_head : Cost
        From the hidden state to the logits, of the one token that needs them.
    starts : int
        How many times a layer is started: what `Hardware.layer_seconds` is multiplied with.
    """

    layers: tuple[dict[str, Cost], ...]
    lm_head: Cost
    starts: int

    @property
    def parts(self) -> dict[str, Cost]:
        """The cost by part, over all layers."""
        summed = dict.fromkeys(PARTS, Cost())
        for layer in self.layers:
            for part, cost in layer.items():
                summed[part] += cost
        summed["lm_head"] += self.lm_head
        return summed

    @property
    def flops(self) -> float:
        """All operations."""
        return sum(cost.flops for cost in self.parts.values())

    @property
    def bytes(self) -> float:
        """All bytes."""
        return sum(cost.bytes for cost in self.parts.values())

    def seconds(self, hardware: Hardware) -> float:
        """Every part of every layer by the roofline, and the starts."""
        work = sum(cost.seconds(hardware) for layer in self.layers for cost in layer.values())
        return work + self.lm_head.seconds(hardware) + self.starts * hardware.layer_seconds


@dataclass(frozen=True)
class Prediction:
    """What a method costs for one sequence.

    Attributes
    ----------
    method : Method
        With its parameters.
    context_length, new_tokens : int
        Prompt tokens, and generated ones; the first of these comes from the prefill.
    prefill, decode : Phase
        Operations and bytes.
    weight_bytes : int
        The model's parameters.
    kv_bytes : int
        Keys and values when the prompt has been read.
    kv_bytes_peak : int
        Most of them at any moment.
    token_bytes : int
        Keys and values of one token in all layers.
    transient_bytes : int
        What must exist beside weights and the cache at the moment of the peak: the widest
        step of a layer, with the residual stream.
    frame_bytes : int
        Two hidden states more, that transformers' Python frames hold while a layer runs
        (the embeddings, and the layer's input); not needed, so not in the peak.
    peak_bytes : int
        Weights, cache and transient at their largest sum: what a run needs at least.
    hardware : Hardware or None
        What the seconds are of.
    """

    method: Method
    context_length: int
    new_tokens: int
    prefill: Phase
    decode: Phase
    weight_bytes: int
    kv_bytes: int
    kv_bytes_peak: int
    token_bytes: int
    transient_bytes: int
    frame_bytes: int
    peak_bytes: int
    hardware: Hardware | None = field(default=None)

    @property
    def run_bytes(self) -> int:
        """The peak above the weights: what `Measurement.peak_bytes` is on a machine."""
        return self.peak_bytes - self.weight_bytes

    @property
    def prefill_seconds(self) -> float | None:
        """Of the whole prefill; None without hardware."""
        return self.prefill.seconds(self.hardware) if self.hardware else None

    @property
    def decode_seconds(self) -> float | None:
        """Of one decoded token, mean over them; None without hardware."""
        steps = max(1, self.new_tokens - 1)
        return self.decode.seconds(self.hardware) / steps if self.hardware else None

    @property
    def seconds(self) -> float | None:
        """End to end; None without hardware."""
        if not self.hardware:
            return None
        return self.prefill.seconds(self.hardware) + self.decode.seconds(self.hardware)

    @property
    def fits(self) -> bool | None:
        """Whether the peak is within the hardware's memory; None without hardware."""
        return self.peak_bytes <= self.hardware.memory if self.hardware else None


def predict(
    config,
    method: Method | str,
    context_length: int,
    new_tokens: int,
    *,
    dtype: torch.dtype | str = torch.bfloat16,
    hardware: Hardware | None = None,
    matrix: bool = False,
) -> Prediction:
    """Count what ``method`` does with a prompt.

    Parameters
    ----------
    config
        A transformers configuration of a Llama, Qwen2, Qwen3 or Mistral.
    method : Method or str
        Of `kvbook.create_method`; ``"fullkv"`` and others that need no parameters also by name.
    context_length, new_tokens : int
        Tokens of the prompt, and to generate.
    dtype : torch.dtype or str
        Of weights and cache: ``torch.bfloat16``, ``"float32"``, ...
    hardware : Hardware, optional
        With it there are seconds: `kvbook.profiling.hardware.TABLE`, or measured.
    matrix : bool
        Whether H2O and PyramidInfer build all their scores at once, query by key, as their
        authors' codes do. Other methods stay as they are.

    Raises
    ------
    ParameterError
        A length below 1, something that is no dtype, or something else than a configuration and a
        method.
    UnsupportedError
        A method without a plan.

    Examples
    --------
    >>> from transformers import AutoConfig
    >>> from kvbook import create_method
    >>> config = AutoConfig.from_pretrained("Qwen/Qwen3-0.6B")  # doctest: +SKIP
    >>> predict(config, create_method("fullkv"), 32768, 1).peak_bytes / 2**30  # doctest: +SKIP
    5.3
    """
    method, shape = as_method(method), ModelShape.of(config)
    for name, value in (("context_length", context_length), ("new_tokens", new_tokens)):
        if not isinstance(value, int) or value < 1:
            raise ParameterError(f"{name}={value!r}: give a whole number of tokens, at least 1")
    if isinstance(dtype, str):
        dtype = getattr(torch, dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise ParameterError("dtype: give torch.bfloat16, 'float32' or another type of torch")
    size = dtype.itemsize
    steps = plan(method, shape.layers, context_length)
    matrix = matrix and isinstance(method, H2O | PyramidInfer)
    prefill = count_prefill(shape, steps, context_length, size, matrix)
    decode = count_decode(shape, steps, new_tokens - 1, size)
    peak, transient, kv_peak = find_peak(shape, steps, context_length, new_tokens, size, matrix)
    entry = 2 * shape.kv_heads * shape.head_dim * size
    weights = shape.parameters * size
    return Prediction(
        method=method,
        context_length=context_length,
        new_tokens=new_tokens,
        prefill=prefill,
        decode=decode,
        weight_bytes=weights,
        kv_bytes=entry * sum(layer.keeps for layer in steps.layers),
        kv_bytes_peak=kv_peak,
        token_bytes=kv_bytes(shape, 1, size),
        transient_bytes=transient,
        frame_bytes=2 * shape.hidden * size * steps.layers[0].at_once,
        peak_bytes=weights + peak,
        hardware=hardware,
    )


# ---- operations and bytes ----------------------------------------------------------------------


def count_layer(shape: ModelShape, layer: LayerPlan, size: int, matrix: bool) -> dict[str, Cost]:
    """One layer of a prefill, by part."""
    flops = layer_flops(shape, layer.reads, layer.pairs)
    passes = -(-layer.reads // layer.at_once)
    traffic = layer_bytes(shape, layer.reads, passes * layer.entries, size, passes)
    cost = {part: Cost(flops[part], traffic[part]) for part in flops}
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    scored = 2 * wide * layer.scored
    moved = (12 * shape.heads * layer.scored) + (narrow * layer.entries * 4 if scored else 0)
    if layer.sums:  # the explicit softmax: scores written and read, in size and in float32
        pairs = blocked_pairs(layer.reads, layer.entries, SUM_BLOCK)
        cost["attention"] = Cost(2 * 2 * wide * pairs, cost["attention"].bytes)
        moved += shape.heads * pairs * (4 * size + 12)
    if matrix:
        pairs = layer.reads**2
        cost["attention"] = Cost(2 * 2 * wide * pairs, cost["attention"].bytes)
        moved = shape.heads * pairs * (6 * size + 20)
        scored = 0
    cost["scoring"] = Cost(scored, moved)
    return cost


def layer_bytes(
    shape: ModelShape, tokens: int, entries: int, size: int, passes: int = 1
) -> dict[str, float]:
    """Bytes that the parts of a layer read and write: weights once a pass, activations, keys
    and values."""
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    hidden, inner = shape.hidden, shape.intermediate
    weights = hidden * (wide + 2 * narrow) + wide * hidden
    return {
        "projections": size * (passes * weights + tokens * (2 * hidden + 2 * wide + 2 * narrow)),
        "attention": size * (2 * tokens * wide + 2 * entries * narrow),
        # gate and up are written; the activation, the product and the last projection read
        "mlp": size * (passes * 3 * hidden * inner + tokens * (3 * hidden + 8 * inner)),
    }


def head_cost(shape: ModelShape, size: int) -> Cost:
    """The logits of one token."""
    weights = shape.hidden * shape.vocabulary
    return Cost(2 * weights, size * (weights + shape.vocabulary))


def count_prefill(shape: ModelShape, steps: Plan, n: int, size: int, matrix: bool = False) -> Phase:
    """The prefill: first pass, layers, and what happens beside them."""
    layers = []
    for at in range(steps.scanned):
        flops = layer_flops(shape, n, causal_pairs(n))
        traffic = layer_bytes(shape, n, n, size)
        one = {part: Cost(flops[part], traffic[part]) for part in flops}
        if at == steps.scanned - 1:  # leaves before its attention; the last query scores all keys
            narrow = shape.kv_heads * shape.head_dim
            one = {
                "projections": Cost(scan_flops(shape, n), traffic["projections"]),
                "scoring": Cost(2 * narrow * n, (size + 4) * narrow * n),
            }
        layers.append(one)
    layers += [count_layer(shape, layer, size, matrix) for layer in steps.layers]
    passes = max(-(-layer.reads // layer.at_once) for layer in steps.layers)
    phase = Phase(tuple(layers), head_cost(shape, size), steps.scanned + passes * len(steps.layers))
    for (tokens, decoded), times in Counter(steps.asides).items():  # a long prompt has hundreds
        phase = _beside(phase, shape, tokens, decoded, times, size)
    return phase


def _beside(
    phase: Phase, shape: ModelShape, tokens: int, decoded: int, times: int, size: int
) -> Phase:
    """Add passes of their own over ``tokens``, and their decoding, to every layer."""
    layer = LayerPlan(tokens, tokens, tokens, causal_pairs(tokens), tokens)
    read = count_layer(shape, layer, size, False)
    answer = decode_layer(shape, tokens, decoded, decoded, size)
    more = {part: (cost + answer.get(part, Cost())) * times for part, cost in read.items()}
    added = tuple(
        {part: one.get(part, Cost()) + more.get(part, Cost()) for part in one | more}
        for one in phase.layers
    )
    return Phase(
        added,
        phase.lm_head + head_cost(shape, size) * decoded * times,
        phase.starts + shape.layers * (1 + decoded) * times,
    )


def decode_layer(shape: ModelShape, held: int, tokens: int, added: int, size: int) -> dict:
    """One layer over ``tokens`` decoding steps, the first of which finds ``held`` entries, and the
    first ``added`` of which add one."""
    if not tokens:
        return {}
    seen = tokens * (held + 1) + added * (added - 1) // 2 + (tokens - added) * added
    flops = layer_flops(shape, tokens, seen)
    traffic = layer_bytes(shape, tokens, seen, size, passes=tokens)
    return {part: Cost(flops[part], traffic[part]) for part in flops}


def count_decode(shape: ModelShape, steps: Plan, tokens: int, size: int) -> Phase:
    """All decoding steps together."""
    layers = []
    for layer in steps.layers:
        one = decode_layer(shape, layer.keeps, tokens, steps.added(tokens), size)
        if layer.sums and tokens:  # every step adds its row of attention to the sums
            one["scoring"] = Cost(0, 12 * shape.heads * layer.keeps * tokens)
        layers.append(one)
    return Phase(tuple(layers), head_cost(shape, size) * tokens, tokens * len(layers))


# ---- memory --------------------------------------------------------------------------------------


def stage_bytes(shape: ModelShape, layer: LayerPlan, size: int, matrix: bool) -> dict[str, int]:
    """What each step of a layer needs at once, beside weights and cache: the residual stream
    and the normed input (``base``), and the step's own tensors."""
    m, entries = layer.at_once, layer.entries
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    base = 2 * m * shape.hidden * size
    # turning queries: they, their two products with cos and sin, and the half turned one
    rope = base + (4 * wide + 2 * narrow) * m * size
    attention = base + 2 * m * wide * size
    raised = 4 if size < 4 else 0  # a float32 copy of what was not
    if matrix:
        attention += shape.heads * m * m * (size + 8)
    elif layer.sums or size == 2:  # a KV head's weights, float32 and as the values are; all sums
        block = shape.heads // shape.kv_heads * min(SUM_BLOCK, m) * entries
        attention += block * (4 + (size if raised else 0))
        attention += shape.head_dim * (shape.heads // shape.kv_heads * m * 4 + entries * raised)
        attention += 4 * shape.heads * entries
    scoring = 0
    if layer.scored and not matrix:
        live = 12 if layer.score_rows == QUERY_BLOCK else 8  # one block, or the one before too
        scoring = base + 2 * m * wide * size + narrow * entries * raised
        scoring += live * shape.heads * layer.score_rows * entries
    mlp = base + 3 * m * shape.intermediate * size
    return {"rope": rope, "attention": attention, "scoring": scoring, "mlp": mlp}


def find_peak(
    shape: ModelShape, steps: Plan, n: int, new_tokens: int, size: int, matrix: bool
) -> tuple[int, int, int]:
    """Most bytes beside the weights, how many of these are transient, and most of keys and
    values: layer by layer, and then the end of decoding."""
    entry = 2 * shape.kv_heads * shape.head_dim * size
    moments = [(0, 0)]  # cache, transient
    before = 0
    if steps.scanned:
        scan = LayerPlan(n, n, 0, 0, n)
        widest = stage_bytes(shape, scan, size, False)
        moments += [(0, widest["rope"]), (0, widest["mlp"])]
        moments += [(0, widest["attention"] + entry * n)]
    grown = steps.added(new_tokens - 1)
    for layer in steps.layers:
        stages = stage_bytes(shape, layer, size, matrix)
        reading, kept = before + entry * layer.entries, before + entry * layer.keeps
        moments.append((before, stages["rope"]))
        moments += [(reading, stages["attention"]), (reading, stages["scoring"])]
        moments.append((kept, stages["mlp"]))
        before = kept
    for tokens, decoded in set(steps.asides):  # the run's own cache waits meanwhile
        aside = LayerPlan(tokens, tokens, tokens, 0, tokens)
        beside = before + entry * (tokens + decoded) * len(steps.layers)
        moments.append((beside, stage_bytes(shape, aside, size, False)["mlp"]))
    moments.append((before + entry * grown * len(steps.layers), 0))
    cache, transient = max(moments, key=sum)
    return cache + transient, transient, max(cache for cache, _ in moments)
