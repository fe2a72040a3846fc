"""A method's naive twin: the dense model with the method's own rule and parameters."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from kvbook.laws.naive import Naive
from kvbook.laws.naive_rules import (
    NaiveFastKV,
    NaiveGemFilter,
    NaiveH2O,
    NaivePublishedH2O,
    NaivePyramid,
    NaiveSnapKV,
    NaiveStreaming,
)

VOTES = ("window", "kernel", "pooling")
PARAMETERS = {
    "fullkv": (),
    "streamingllm": ("sinks", "rolling", "positions"),
    "snapkv": (*VOTES, "gqa"),
    "h2o": ("recent", "gqa"),
    "pyramidinfer": (
        "decay",
        "recent_ratio",
        "min_length",
        "sinks",
        "distance_weight",
        "generation",
    ),
    "gemfilter": ("filter_layer", "kernel"),
    "fastkv": ("tsp_layer", "tsp_length", *VOTES),
}
"""The seven methods that have a rule, and the parameters that it knows beside the budget."""


def size(share: int | float, tokens: int) -> int:
    """A budget or a length as a number of entries or tokens."""
    return max(1, int(share * tokens)) if isinstance(share, float) else share


def make_twin(model: nn.Module, name: str, parameters: Mapping[str, Any], tokens: int) -> Naive:
    """The naive twin of a method, for a prompt of so many tokens.

    Parameters
    ----------
    model : nn.Module
        A tiny one.
    name : str
        One of `PARAMETERS`, or ``"h2o_published"``.
    parameters : mapping
        The method's: its budget, and of the others those that its class has; for the rest the
        rule has the book's defaults. ``chunk`` is an argument of `Naive.prompt`.
    tokens : int
        Of the prompt: what a fraction is a fraction of.
    """
    own, layers = dict(parameters), model.config.num_hidden_layers
    kv_heads = model.config.num_key_value_heads
    own.pop("chunk", None)
    if "budget" in own:
        own["budget"] = size(own["budget"], tokens)
    match name:
        case "fullkv":
            return Naive(model)
        case "snapkv":
            return Naive(model, NaiveSnapKV(kv_heads=kv_heads, **own))
        case "pyramidinfer":
            return Naive(model, NaivePyramid(tokens, layers, kv_heads, **own))
        case "gemfilter":
            own.setdefault("filter_layer", round(0.4 * layers))
            return NaiveGemFilter(model, **own)
        case "fastkv":
            own["tsp_length"] = size(own.get("tsp_length", 0.2), tokens)
            own.setdefault("tsp_layer", max(0, layers // 2 - 1))
            return Naive(model, NaiveFastKV(kv_heads=kv_heads, **own))
        case "h2o":
            return Naive(model, NaiveH2O(kv_heads=kv_heads, forever=own["budget"] >= tokens, **own))
        case "h2o_published":
            naive = Naive(model)
            naive.policy = NaivePublishedH2O(kv_heads=kv_heads, naive=naive, **own)
            return naive
    slots = own.pop("positions", "cache") == "cache"
    if own["budget"] >= tokens:  # it never cuts then, also while decoding
        return Naive(model)
    return Naive(model, NaiveStreaming(kv_heads=kv_heads, **own), slots=slots)
