"""The methods, one a file; importing this package fills the catalogue of `create_method`."""

from kvbook.methods.base import CATALOGUE, Method, create_method
from kvbook.methods.fullkv import FullKV
from kvbook.methods.snapkv import SnapKV
from kvbook.methods.streamingllm import StreamingLLM

__all__ = ["CATALOGUE", "FullKV", "Method", "SnapKV", "StreamingLLM", "create_method"]
