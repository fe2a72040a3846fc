"""Quantisation: all that a method keeps, in fewer bits a number."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from kvbook.engine.packed import PackedLayer
from kvbook.engine.refuse import changes_later
from kvbook.errors import ParameterError
from kvbook.methods.base import Method, as_method
from kvbook.methods.fullkv import FullKV


@dataclass(frozen=True)
class Quantized(Method, listed=False):
    """What another method keeps, in 8, 4 or 2 bits a number instead of 16 or 32.

    It does not choose entries, so `create_method` does not know it: it wraps a method that does.
    The prompt is read, and the method chooses, with unrounded numbers. What is kept is then packed,
    keys by channel and values by entry, and unpacked whenever a layer attends.

    Parameters
    ----------
    method : Method
        What chooses; FullKV keeps everything.
    bits : {2, 4, 8}
        Bits of a packed number.
    group : int
        Entries that share a smallest number and a step, in each channel of the keys; with 64, these
        two cost half a bit a number. The newest entries, fewer than a group, stay as they are.

    Raises
    ------
    ParameterError
        Other bits; a group that does not fill whole bytes; no method; or a method that evicts
        while it decodes, rewrites its entries or reads in chunks. With such a method, groups would
        have to be formed, and rounded, anew every time.

    References
    ----------
    Liu et al., 2024: "KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache", section 3.

    Examples
    --------
    >>> Quantized(create_method("snapkv", budget=0.5), bits=4)
    """

    method: Any = field(default_factory=FullKV)
    bits: int = 4
    group: int = 64

    name: ClassVar[str] = "quantized"

    def __post_init__(self):
        inner = as_method(self.method)
        object.__setattr__(self, "method", inner)
        if self.bits not in (2, 4, 8) or isinstance(self.bits, float):
            raise ParameterError(f"bits={self.bits!r}: give 2, 4 or 8")
        if not isinstance(self.group, int) or self.group < 1 or self.group % 8:
            raise ParameterError(f"group={self.group!r}: give a multiple of 8, to fill whole bytes")
        if changes_later(inner) or getattr(inner, "chunk", None) is not None:
            raise ParameterError(
                f"{inner.name} changes what it holds after the prompt, or reads in chunks, and a "
                "group of packed entries would be rounded anew every time; give one that does "
                "neither: fullkv, snapkv, pyramidinfer, gemfilter, fastkv"
            )

    @property
    def label(self) -> str:
        """What chooses, and the bits."""
        return f"{self.method.name}, {self.bits} bits"

    def check_model(self, model: nn.Module) -> None:
        """Refuse heads whose values do not fill whole bytes; and what the method inside refuses."""
        head = model.base_model.layers[0].self_attn.head_dim
        if math.gcd(self.group, head) * self.bits % 8:
            raise ParameterError(
                f"bits={self.bits}, group={self.group}: values of {head} numbers do not fill whole "
                "bytes; give more bits"
            )
        if hasattr(self.method, "check_model"):
            self.method.check_model(model)

    def make_layer(self) -> PackedLayer:
        """What holds a layer's entries."""
        return PackedLayer(self.bits, self.group)

    def __getattr__(self, hook: str):
        """All other hooks are those of the method inside."""
        if hook.startswith("_") or hook == "method":  # not set yet, as in a copy
            raise AttributeError(hook)
        return getattr(self.method, hook)
