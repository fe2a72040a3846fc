"""The methods, one a file; importing this package fills the catalogue of `create_method`."""

from kvbook.methods.base import CATALOGUE, Method, create_method, with_budget
from kvbook.methods.fastkv import FastKV
from kvbook.methods.fullkv import FullKV
from kvbook.methods.gemfilter import GemFilter
from kvbook.methods.h2o import H2O
from kvbook.methods.h2o_published import PublishedH2O
from kvbook.methods.pyramidinfer import PyramidInfer
from kvbook.methods.snapkv import SnapKV
from kvbook.methods.streamingllm import StreamingLLM
from kvbook.methods.summarykv import SummaryKV

__all__ = [
    "CATALOGUE",
    "H2O",
    "FastKV",
    "FullKV",
    "GemFilter",
    "Method",
    "PublishedH2O",
    "PyramidInfer",
    "SnapKV",
    "StreamingLLM",
    "SummaryKV",
    "create_method",
    "with_budget",
]
