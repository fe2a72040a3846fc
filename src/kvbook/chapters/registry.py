"""The chapters: their notebooks, their parameters, and the profiles that set them."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvbook.chapters import parameters as takes
from kvbook.chapters.parameters import ChapterParameters
from kvbook.errors import ParameterError
from kvbook.places import place

PROFILES = ("smoke", "laptop", "gpu")


@dataclass(frozen=True)
class Chapter:
    """One notebook and what it takes.

    Attributes
    ----------
    name, title : str
        The notebook is ``notebooks/<name>.ipynb`` and its results ``<name>.json``.
    parameters : type of ChapterParameters
        Names, types, defaults (the laptop profile) and meanings.
    profiles : dict
        What other profiles set instead.
    cores : int
        What the book gives it: two where times are the subject, so that nothing runs beside it.
    after : tuple of str
        Chapters whose results it reads, or whose work it goes on with: in the book they run first.
    most_seconds : int, optional
        What it may take in the profile laptop, on two cores where nothing else runs.
    """

    name: str
    title: str
    parameters: type[ChapterParameters]
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    cores: int = 1
    after: tuple[str, ...] = ()
    most_seconds: int | None = None

    @property
    def notebook(self) -> Path:
        """The notebook, without outputs."""
        return place("notebooks") / f"{self.name}.ipynb"

    def defaults(self, profile: str = "laptop") -> dict[str, Any]:
        """All parameters in one of `PROFILES`."""
        if profile not in PROFILES:
            raise ParameterError(
                f"unknown profile {profile!r}; profiles are: {', '.join(PROFILES)}"
            )
        return self.parameters().model_dump() | self.profiles.get(profile, {})


_TINY = {"model": "tiny-random", "dtype": "float32"}
_GPU = {"model": "Qwen/Qwen3-0.6B", "dtype": "bfloat16"}
_FEW = _TINY | {"budget": 32, "budgets": [32, 64], "needles": 2, "needle_tokens": 200}
_MANY = _GPU | {"needles": 50}
_BRIEF = {"steps": 4, "rank": 4, "train_rows": 20}
_TUNED = _GPU | {
    "model": "Qwen/Qwen3-1.7B",
    "data": "hub",
    "train_rows": 20_000,
    "steps": 2500,
    "learning_rate": 2e-4,
    "batch": 8,
    "backend": "llamafactory",
}

CHAPTERS: dict[str, Chapter] = {
    chapter.name: chapter
    for chapter in (
        Chapter(
            "introduction",
            "What a KV cache is, and what it costs",
            takes.Introduction,
            {"smoke": _TINY, "gpu": _GPU},
        ),
        Chapter(
            "from_scratch",
            "A cache from scratch",
            takes.FromScratch,
            {"smoke": _TINY, "gpu": _GPU | {"dtype": "float32"}},
        ),
        Chapter(
            "fullkv",
            "FullKV: keep everything",
            takes.FullKV,
            {
                "smoke": _TINY | {"contexts": [64, 128]},
                "gpu": _GPU | {"contexts": [8192, 32768, 131072]},
            },
            cores=2,
            most_seconds=90,
        ),
        Chapter(
            "streamingllm",
            "StreamingLLM: the first and the last",
            takes.StreamingLLM,
            {
                "smoke": _FEW | {"stream_tokens": 40, "stream_budget": 8},
                "gpu": _MANY | {"streams": 5, "stream_tokens": 300},
            },
            most_seconds=90,
        ),
        Chapter(
            "snapkv",
            "SnapKV: the question votes",
            takes.SnapKV,
            {"smoke": _FEW | {"windows": [4, 8], "kernels": [5, 7]}, "gpu": _MANY},
            most_seconds=90,
        ),
        Chapter(
            "h2o",
            "H2O: the heavy hitters",
            takes.H2O,
            {"smoke": _FEW, "gpu": _MANY},
            most_seconds=90,
        ),
        Chapter(
            "pyramidinfer",
            "PyramidInfer: deeper layers read less",
            takes.PyramidInfer,
            {"smoke": _FEW | {"min_length": 8, "budgets": [0.5, 0.8]}, "gpu": _MANY},
            most_seconds=150,
        ),
        Chapter(
            "gemfilter",
            "GemFilter: read the gems only",
            takes.GemFilter,
            {
                "smoke": _FEW | {"filter_layers": [0, 1]},
                "gpu": _MANY | {"filter_layers": [8, 11, 14]},
            },
            most_seconds=150,
        ),
        Chapter(
            "fastkv",
            "FastKV: shallow layers read all",
            takes.FastKV,
            {"smoke": _FEW | {"tsp_layers": [0, 1]}, "gpu": _MANY | {"tsp_layers": [9, 13, 18]}},
            most_seconds=150,
        ),
        Chapter(
            "summarykv",
            "SummaryKV: what was evicted comes back",
            takes.SummaryKV,
            {
                "smoke": _TINY
                | {
                    "conversations": 1,
                    "turns": 3,
                    "document_tokens": 400,
                    "document_budget": 128,
                    "budgets": [128, 192],
                },
                "gpu": _GPU | {"conversations": 40, "document_tokens": 32768},
            },
            most_seconds=120,
        ),
        Chapter(
            "families",
            "Two families, side by side",
            takes.Families,
            {"smoke": _TINY | {"budget": 32, "budgets": [16, 32]}, "gpu": _GPU},
        ),
        Chapter(
            "quantization",
            "Quantise or evict, at equal bytes",
            takes.Quantization,
            {
                "smoke": _TINY
                | {"group": 16, "shares": [0.5], "needles": 2, "needle_tokens": 200, "probes": 1},
                "gpu": _GPU | {"needles": 50, "needle_tokens": 4000, "probes": 60},
            },
        ),
        Chapter(
            "evaluation",
            "Task evaluation: figure 1, left",
            takes.Evaluation,
            {
                "smoke": _TINY
                | {
                    "limit": 1,
                    "probes": 1,
                    "budgets": [32, 64],
                    "needle_budgets": [32],
                    "needle_lengths": [200],
                    "needle_depths": 1,
                },
                "gpu": _GPU
                | {
                    "data": "hub",
                    "limit": None,
                    "probes": 60,
                    "budgets": [64, 128, 256, 512, 1024, 2048],
                    "needle_budgets": [512, 0.1],
                    "needle_lengths": [1000, 4000, 16000, 32000],
                    "needle_depths": 10,
                },
            },
        ),
        Chapter(
            "harder",
            "Harder than a needle",
            takes.Harder,
            {
                "smoke": _TINY
                | {
                    "needles": 2,
                    "needle_tokens": 200,
                    "keys": [1, 2],
                    "many": 2,
                    "briefings": 1,
                    "turns": 2,
                },
                "gpu": _GPU | {"needles": 100, "needle_tokens": 4000, "briefings": 20, "turns": 20},
            },
        ),
        Chapter(
            "profiling",
            "System profiling: figure 1, right",
            takes.Profiling,
            {
                "smoke": _TINY
                | {
                    "contexts": [128, 256],
                    "memory_contexts": [256],
                    "budget": 0.25,
                    "new_tokens": 4,
                },
                "gpu": _GPU | {"contexts": [8192, 32768, 131072], "new_tokens": 128, "repeats": 5},
            },
            cores=2,
        ),
        Chapter(
            "ondevice",
            "On the device: the same methods in llama.cpp",
            takes.OnDevice,
            {
                "smoke": _TINY
                | {
                    "weights": ["q8_0"],
                    "caches": ["f16"],
                    "budget": 48,
                    "prompt_tokens": 120,
                    "steps": 4,
                    "needle_tokens": 200,
                    "drift_tokens": 8,
                    "contexts": [64, 128],
                    "threads": [1],
                },
                "gpu": {"weights": ["q4_1", "q8_0"], "caches": ["f16", "q8_0", "q4_0"]},
            },
            cores=2,
            most_seconds=90,
        ),
        Chapter(
            "medical_data",
            "Fine-tuning data: what the model sees",
            takes.MedicalData,
            {"smoke": _TINY, "gpu": _GPU},
        ),
        Chapter(
            "lora",
            "LoRA: a small change beside a frozen matrix",
            takes.Lora,
            {"smoke": _TINY | _BRIEF | {"samples": 2}, "gpu": _TUNED},
        ),
        Chapter(
            "bertscore",
            "BERTScore: what a score sees of an answer",
            takes.BertScore,
            {
                "smoke": _TINY | _BRIEF | {"items": 4, "probes": 1, "budgets": [32]},
                "gpu": _TUNED
                | {
                    "items": 500,
                    "encoder": "bert-base-chinese",
                    "probes": 60,
                    "budgets": [64, 128, 256, 512],
                },
            },
            after=("lora",),
        ),
        Chapter(
            "own_method", "Write your own method", takes.OwnMethod, {"smoke": _FEW, "gpu": _MANY}
        ),
        Chapter(
            "figure_1",
            "Figure 1, rebuilt",
            ChapterParameters,
            {"smoke": _TINY, "gpu": _GPU},
            after=("evaluation", "profiling", "bertscore", "ondevice"),
        ),
    )
}
"""All of them; `PAGES_ABOUT` come last."""
BOOK_MINUTES = {"clock": 20, "CPU": 36}
"""What all of the profile laptop may take, with the pages, on two cores where nothing else runs."""
CONTENT = tuple(CHAPTERS)
"""The chapters that `PAGES_ABOUT` are about."""
PAGES_ABOUT = {
    "conclusions": "What this edition shows, and what it cannot",
    "reproduce": "Reproduce this",
    "status": "Status: what was executed",
}
"""Pages about all other chapters, whose results they read."""
CHAPTERS |= {
    name: Chapter(
        name,
        title,
        ChapterParameters,
        {"smoke": _TINY, "gpu": _GPU},
        after=CONTENT,
    )
    for name, title in PAGES_ABOUT.items()
}


def get_chapter(name: str) -> Chapter:
    """A chapter by its name.

    Raises
    ------
    ParameterError
        There is none; with those that there are.
    """
    if name in CHAPTERS:
        return CHAPTERS[name]
    near = difflib.get_close_matches(name, CHAPTERS, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ParameterError(f"unknown chapter {name!r}.{hint} Chapters are: {', '.join(CHAPTERS)}")
