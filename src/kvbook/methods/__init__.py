"""The methods, one a file; importing this package fills the catalogue of `create_method`.

The order of these imports is the book's: lists, tables and figures follow it.
"""
# ruff: noqa: I001, RUF022

from kvbook.methods.base import CATALOGUE, Method, create_method, with_budget
from kvbook.methods.fullkv import FullKV
from kvbook.methods.streamingllm import StreamingLLM
from kvbook.methods.snapkv import SnapKV
from kvbook.methods.h2o import H2O
from kvbook.methods.h2o_published import PublishedH2O
from kvbook.methods.pyramidinfer import PyramidInfer
from kvbook.methods.gemfilter import GemFilter
from kvbook.methods.fastkv import FastKV
from kvbook.methods.summarykv import SummaryKV
from kvbook.methods.quantized import Quantized

METHODS = tuple(CATALOGUE)
"""The book's methods by name; the catalogue may get more, of your own."""

__all__ = [
    "CATALOGUE",
    "METHODS",
    "Method",
    "create_method",
    "with_budget",
    "FullKV",
    "StreamingLLM",
    "SnapKV",
    "H2O",
    "PublishedH2O",
    "PyramidInfer",
    "GemFilter",
    "FastKV",
    "SummaryKV",
    "Quantized",
]
