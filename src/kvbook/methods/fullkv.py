"""FullKV: the baseline that keeps everything."""

from typing import ClassVar

from pydantic.dataclasses import dataclass

from kvbook.methods.base import STRICT, Method


@dataclass(frozen=True, config=STRICT)
class FullKV(Method):
    """Keep every entry: the same tokens as the model alone, on the engine's faster decode path."""

    name: ClassVar[str] = "fullkv"
