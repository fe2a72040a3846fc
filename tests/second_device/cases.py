"""Every method, with a budget that cuts most prompts of these tests; those with several ways to
read or to choose, in each of them."""

from kvbook import create_method
from kvbook.methods import PublishedH2O, Quantized

SUMMARY = dict(budget=16, segment=6, summary_tokens=4)
CASES = {
    "fullkv": create_method("fullkv"),
    "streamingllm": create_method("streamingllm", budget=14),
    "streamingllm, in place": create_method("streamingllm", budget=14, positions="original"),
    "streamingllm, in chunks": create_method("streamingllm", budget=14, chunk=9),
    "snapkv": create_method("snapkv", budget=14, window=4),
    "h2o": create_method("h2o", budget=14),
    "h2o_published": PublishedH2O(budget=14),
    "pyramidinfer": create_method("pyramidinfer", min_length=4),
    "pyramidinfer, generation": create_method(
        "pyramidinfer", min_length=4, recent_ratio=0.1, generation=True
    ),
    "gemfilter": create_method("gemfilter", budget=14),
    "fastkv": create_method("fastkv", budget=14, tsp_length=18, window=4),
    "summarykv": create_method("summarykv", **SUMMARY),
    "summarykv, extractive": create_method("summarykv", **SUMMARY, summarizer="extractive"),
    "quantized": Quantized(create_method("snapkv", budget=16, window=4), bits=4, group=8),
}
BATCHED = [name for name in CASES if not name.startswith(("summarykv", "quantized"))]
"""Those two are for one sequence, or rows of a Panel."""
