"""The chapters: their notebooks, what their parameters may be, and the profiles that set them."""

import ast
import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from kvbook.errors import ParameterError
from kvbook.fields import Budget, Count, Kernel, Natural
from kvbook.places import place

PROFILES = ("smoke", "laptop", "gpu")
Budgets = Annotated[list[Budget], Field(min_length=2)]
Share = Annotated[float, Field(ge=0, le=1)]
Layers = Annotated[list[Natural], Field(min_length=1)]
Counts = Annotated[list[Count], Field(min_length=1)]


def _rising(values: list[int]) -> list[int]:
    if values != sorted(set(values)):
        raise ValueError("give each once, and the smallest first")
    return values


Rising = Annotated[list[Count], Field(min_length=2), AfterValidator(_rising)]


class ChapterParameters(BaseModel):
    """What every chapter takes."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    model: str = Field(
        "smollm2-135m", description="smollm2-135m, tiny-random, a hub id, or a folder"
    )
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="auto: bfloat16 where it is in hardware"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(  # NumPy takes no other
        0, description="what is random is drawn from it"
    )


class Introduction(ChapterParameters):
    """Introduction."""

    contexts: Counts = Field(
        [1024, 4096, 8192, 32768, 131072], description="tokens to evaluate the formula at"
    )


class Prompted(ChapterParameters):
    """Chapters that look at one prompt."""

    prompt: str = Field("", description="your own prompt; empty: a needle in the book's essays")
    prompt_file: str = Field("", description="a text file with the prompt")


class FullKV(Prompted):
    """FullKV."""

    contexts: Counts = Field([256, 1024, 4096], description="context lengths to time")
    new_tokens: Annotated[int, Field(ge=4)] = Field(
        16, description="tokens to decode; at least 4, to take a median"
    )


class Needled(Prompted):
    """Chapters that ask for needles at several budgets."""

    budget: Budget = Field(
        256, description="entries a layer keeps (int), or a fraction of the prompt"
    )
    budgets: Budgets = Field([128, 256], description="budgets to compare")
    needles: Annotated[int, Field(ge=2)] = Field(20, description="prompts with a needle")
    needle_tokens: Annotated[int, Field(ge=100)] = Field(
        1000, description="about so many tokens has each of these prompts"
    )


class StreamingLLM(Needled):
    """StreamingLLM."""

    budgets: Budgets = Field([128, 256, 512], description="budgets to compare")
    sinks: Natural = Field(4, description="first tokens that always stay")
    rolling: bool = Field(True, description="each decoded token evicts the oldest")
    positions: Literal["cache", "original"] = Field(
        "cache", description="RoPE by slot, or by original position"
    )
    chunk: Count | None = Field(None, description="read the prompt this many tokens at a time")


class SnapKV(Needled):
    """SnapKV."""

    budgets: Budgets = Field([64, 128, 256], description="budgets to compare")
    window: Count = Field(8, description="last queries, which vote")
    kernel: Kernel = Field(7, description="odd width of the pooling")
    pooling: Literal["max", "avg"] = Field("max", description="how neighbours share votes")
    gqa: Literal["mean", "max", "sum"] = Field("mean", description="how a group's votes are joined")
    windows: Counts = Field([4, 8, 32], description="windows to compare")
    kernels: Annotated[list[Kernel], Field(min_length=1)] = Field(
        [3, 5, 7], description="kernels to compare"
    )


class H2O(Needled):
    """H2O."""

    recent: Natural | None = Field(
        None, description="last entries that stay; none: half the budget"
    )
    gqa: Literal["mean", "max", "sum"] = Field("mean", description="how a group's sums are joined")


class PyramidInfer(Needled):
    """PyramidInfer."""

    budget: Budget | None = Field(  # type: ignore[assignment]  # wider than in the other chapters
        None, description="mean entries a layer, or their share; none: by the decay"
    )
    budgets: Budgets = Field([0.5, 0.7, 0.9], description="mean retentions to compare")
    decay: Share = Field(0.3, description="least share of the context that a layer passes on")
    recent_ratio: Share = Field(0.2, description="share at the end that always goes on")
    min_length: Natural = Field(64, description="no cut below this context")
    sinks: Natural = Field(4, description="first tokens that always go on")
    distance_weight: Annotated[float, Field(gt=0)] = Field(
        1.2, description="what the last vote counts, the first being 1"
    )


class GemFilter(Needled):
    """GemFilter."""

    filter_layer: Natural | None = Field(
        None, description="the layer that chooses; none: at 40 % of the depth"
    )
    kernel: Kernel = Field(5, description="odd width of the average pooling")
    filter_layers: Layers = Field([8, 12, 16], description="filter layers to compare")


class FastKV(Needled):
    """FastKV."""

    tsp_layer: Natural | None = Field(
        None, description="the layer after which tokens are cut; none: the middle"
    )
    tsp_length: Budget = Field(0.2, description="tokens that go deeper, or their share")
    window: Count = Field(8, description="last queries, which vote")
    kernel: Kernel = Field(7, description="odd width of the pooling")
    pooling: Literal["max", "avg"] = Field("max", description="how neighbours share votes")
    tsp_layers: Layers = Field([9, 14, 19], description="TSP layers to compare")


MethodName = Literal[
    "fullkv", "streamingllm", "snapkv", "h2o", "pyramidinfer", "gemfilter", "fastkv", "summarykv"
]
TaskName = Literal["narrativeqa", "2wikimqa", "gov_report", "trec", "passage_count", "lcc"]


class Evaluation(ChapterParameters):
    """Task evaluation."""

    methods: Annotated[list[MethodName], Field(min_length=1)] = Field(
        [name for name in get_args(MethodName) if name != "summarykv"],  # several times as slow
        description="methods to compare; fullkv is always among them",
    )
    tasks: Annotated[list[TaskName], Field(min_length=1)] = Field(
        list(get_args(TaskName)), description="LongBench's tasks"
    )
    budget: Budget = Field(0.1, description="entries a layer keeps in the task scores, or a share")
    limit: Count | None = Field(2, description="items of a task; none: all")
    data: str = Field(
        "", description="LongBench's folder, data.zip, or hub; empty: the embedded items"
    )
    probes: Count = Field(2, description="items whose continuation is compared with full KV's")
    budgets: Annotated[list[Count], Field(min_length=2)] = Field(
        [64, 256], description="budgets of that comparison"
    )
    needle_budgets: Annotated[list[Budget], Field(min_length=1)] = Field(
        [64], description="budgets of the needle's maps"
    )
    needle_lengths: Annotated[list[Annotated[int, Field(ge=100)]], Field(min_length=1)] = Field(
        [200, 400], description="tokens of the needle's prompts"
    )
    needle_depths: Count = Field(2, description="depths of the needle, evenly spread")


class Families(Prompted):
    """Two families."""

    budget: Count = Field(64, description="budget of the still pictures: the nearest of budgets")
    budgets: Annotated[list[Count], Field(min_length=2)] = Field(
        [16, 32, 64, 128, 192], description="budgets of the slider"
    )
    prompt_tokens: Annotated[int, Field(ge=100)] = Field(
        320, description="about so many tokens has the prompt"
    )


class OwnMethod(Needled):
    """Write your own method."""

    needles: Annotated[int, Field(ge=2)] = Field(10, description="prompts with a needle")


class SummaryKV(ChapterParameters):
    """SummaryKV."""

    budget: Budget = Field(256, description="entries a layer holds, summary included")
    budgets: Budgets = Field([128, 512], description="more budgets to compare")
    sinks: Natural = Field(4, description="first tokens that always stay")
    summary_tokens: Natural = Field(96, description="most tokens of a summary")
    sizes: list[Count] = Field([32], description="more sizes of the summary to compare")
    segment: Count = Field(64, description="evicted tokens that make a new summary")
    conversations: Annotated[int, Field(ge=1, le=40)] = Field(
        2, description="conversations to ask about"
    )
    turns: Annotated[int, Field(ge=2, le=20)] = Field(20, description="turns of the live session")
    document_tokens: Annotated[int, Field(ge=200)] = Field(
        8000, description="length of the long document"
    )
    document_budget: Count = Field(512, description="entries to read it through")


class Profiling(ChapterParameters):
    """System profiling."""

    methods: Annotated[list[MethodName], Field(min_length=1)] = Field(
        [name for name in get_args(MethodName) if name != "summarykv"],  # several times as slow
        description="methods to compare; fullkv is always among them",
    )
    contexts: Rising = Field([1024, 2048, 4096], description="prompt lengths, rising")
    budget: Budget = Field(0.1, description="a fraction of the prompt, or entries")
    memory_contexts: list[Count] = Field(
        [1024, 2048],
        description="those at which memory is measured too, in processes of their own; may be none",
    )
    new_tokens: Annotated[int, Field(ge=2)] = Field(4, description="tokens to generate")
    repeats: Count = Field(2, description="runs of each; the median counts")


class MedicalData(ChapterParameters):
    """Fine-tuning data."""

    data: str = Field(
        "",
        description="a .jsonl file, or a folder with train.jsonl and test.jsonl; empty: the book's",
    )
    cutoff_len: Count = Field(512, description="most tokens of a row")
    row: Natural = Field(0, description="the row that is shown token by token, from 0")


class FineTuning(ChapterParameters):
    """Chapters that train."""

    data: str = Field(
        "",
        description="a folder with train.jsonl and test.jsonl, or hub: MedChatZH; empty: the book's",
    )
    train_rows: Count | None = Field(None, description="only the first training rows; none: all")
    rank: Count = Field(16, description="of LoRA's two matrices; alpha is twice that")
    steps: Count = Field(40, description="of training")
    learning_rate: Annotated[float, Field(gt=0)] = Field(2e-3, description="the highest")
    batch: Count = Field(2, description="rows of a step")
    backend: Literal["trl", "llamafactory"] = Field(
        "trl", description="what trains; llamafactory needs make llamafactory"
    )


class Lora(FineTuning):
    """LoRA."""

    samples: Count = Field(4, description="test questions to answer before and after")


class BertScore(FineTuning):
    """BERTScore."""

    items: Annotated[int, Field(ge=2)] = Field(33, description="test questions to score")
    encoder: Literal["multilingual-e5-small", "bert-base-chinese"] = Field(
        "multilingual-e5-small",
        description="reads the answers; bert-base-chinese comes from the hub",
    )
    probes: Count = Field(1, description="consultations to read through compressed caches")
    budgets: Counts = Field([64, 128], description="entries a layer keeps of them")


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
    """

    name: str
    title: str
    parameters: type[ChapterParameters]
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    cores: int = 1
    after: tuple[str, ...] = ()

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
            Introduction,
            {"smoke": _TINY, "gpu": _GPU},
        ),
        Chapter(
            "fullkv",
            "FullKV: keep everything",
            FullKV,
            {
                "smoke": _TINY | {"contexts": [64, 128]},
                "gpu": _GPU | {"contexts": [8192, 32768, 131072]},
            },
            cores=2,
        ),
        Chapter(
            "streamingllm",
            "StreamingLLM: the first and the last",
            StreamingLLM,
            {"smoke": _FEW, "gpu": _MANY},
        ),
        Chapter(
            "snapkv",
            "SnapKV: the question votes",
            SnapKV,
            {"smoke": _FEW | {"windows": [4, 8], "kernels": [5, 7]}, "gpu": _MANY},
        ),
        Chapter("h2o", "H2O: the heavy hitters", H2O, {"smoke": _FEW, "gpu": _MANY}),
        Chapter(
            "pyramidinfer",
            "PyramidInfer: deeper layers read less",
            PyramidInfer,
            {"smoke": _FEW | {"min_length": 8, "budgets": [0.5, 0.8]}, "gpu": _MANY},
        ),
        Chapter(
            "gemfilter",
            "GemFilter: read the gems only",
            GemFilter,
            {
                "smoke": _FEW | {"filter_layers": [0, 1]},
                "gpu": _MANY | {"filter_layers": [8, 11, 14]},
            },
        ),
        Chapter(
            "fastkv",
            "FastKV: shallow layers read all",
            FastKV,
            {"smoke": _FEW | {"tsp_layers": [0, 1]}, "gpu": _MANY | {"tsp_layers": [9, 13, 18]}},
        ),
        Chapter(
            "summarykv",
            "SummaryKV: what was evicted comes back",
            SummaryKV,
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
        ),
        Chapter(
            "families",
            "Two families, side by side",
            Families,
            {"smoke": _TINY | {"budget": 32, "budgets": [16, 32]}, "gpu": _GPU},
        ),
        Chapter(
            "evaluation",
            "Task evaluation: figure 1, left",
            Evaluation,
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
            "profiling",
            "System profiling: figure 1, right",
            Profiling,
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
            "medical_data",
            "Fine-tuning data: what the model sees",
            MedicalData,
            {"smoke": _TINY, "gpu": _GPU},
        ),
        Chapter(
            "lora",
            "LoRA: a small change beside a frozen matrix",
            Lora,
            {"smoke": _TINY | _BRIEF | {"samples": 2}, "gpu": _TUNED},
            cores=2,
        ),
        Chapter(
            "bertscore",
            "BERTScore: what a score sees of an answer",
            BertScore,
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
            cores=2,
            after=("lora",),
        ),
        Chapter("own_method", "Write your own method", OwnMethod, {"smoke": _FEW, "gpu": _MANY}),
        Chapter(
            "figure_1",
            "Figure 1, rebuilt",
            ChapterParameters,
            {"smoke": _TINY, "gpu": _GPU},
            after=("evaluation", "profiling", "bertscore"),
        ),
    )
}
"""All of them; `PAGES_ABOUT` come last."""
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


def resolve_parameters(
    chapter: Chapter, profile: str = "laptop", overrides: dict | None = None
) -> dict[str, Any]:
    """A profile's parameters with some of your own, checked.

    Parameters
    ----------
    overrides : dict
        Values, or texts as from the command line: ``"128"``, ``"0.1"``, ``"[64, 128]"``,
        ``"true"``, ``"none"``.

    Raises
    ------
    ParameterError
        An unknown name, or a value of a wrong type or range; with the valid ones.
    """
    fields = chapter.parameters.model_fields
    overrides = overrides or {}
    unknown = [name for name in overrides if name not in fields]
    if unknown:
        near = difflib.get_close_matches(unknown[0], fields, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ParameterError(
            f"{chapter.name} has no parameter {', '.join(map(repr, unknown))}.{hint}\n{describe_parameters(chapter)}"
        )
    for name, value in overrides.items():
        if str(value) != str(value).encode(errors="replace").decode():  # bytes of a shell
            raise ParameterError(f"{name} = {value!a}: this is not UTF-8")
    given = {name: _literal(value, fields[name].annotation) for name, value in overrides.items()}
    try:
        return chapter.parameters(**chapter.defaults(profile) | given).model_dump()
    except ValidationError as error:
        problems = {str(one["loc"][0]): one["msg"] for one in error.errors()}
        lines = [f"{name} = {overrides.get(name)!r}: {text}" for name, text in problems.items()]
        raise ParameterError("\n".join([*lines, describe_parameters(chapter)])) from None


def describe_parameters(chapter: Chapter) -> str:
    """The parameters of a chapter, a line each: name, type, default, meaning."""
    lines = [
        f"  {one['parameter']}: {one['type']} = {one['default']} - {one['meaning']}"
        for one in parameter_rows(chapter)
    ]
    return "\n".join([f"Parameters of {chapter.name}:", *lines])


def parameter_rows(chapter: Chapter, profile: str = "laptop") -> list[dict[str, str]]:
    """A row for each parameter: its name, type, default in this profile, as the command line
    takes it, and meaning."""
    schema = chapter.parameters.model_json_schema()["properties"]
    defaults = chapter.defaults(profile)
    return [
        {
            "parameter": name,
            "type": _kind(schema[name]),
            "default": _written(defaults[name]),
            "meaning": field.description or "",
        }
        for name, field in chapter.parameters.model_fields.items()
    ]


def _kind(schema: dict) -> str:
    if "enum" in schema:
        return " | ".join(schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_kind(one) for one in schema["anyOf"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    names = {
        "integer": "int",
        "number": "float",
        "boolean": "true | false",
        "string": "text",
        "null": "none",
    }
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
    limits = [f"{word} {schema[key]:g}" for key, word in bounds.items() if key in schema]
    return " ".join([names[schema["type"]], *limits])


def _written(value: Any) -> str:
    """A value as the command line takes it; the other way round is `_literal`."""
    if value is None:
        return "none"
    return value or '""' if isinstance(value, str) else json.dumps(value)


def _literal(value: Any, annotation: Any) -> Any:
    """A text of the command line as a value; texts stay texts where a text is wanted."""
    if not isinstance(value, str) or annotation is str:
        return value
    if value.lower() in ("none", "null"):
        return None
    try:
        return json.loads(value.lower() if value.lower() in ("true", "false") else value)
    except (ValueError, RecursionError):
        return value


def notebook_parameters(path: Path) -> dict[str, Any]:
    """The assignments of a notebook's cell tagged ``parameters``; only literals are allowed
    there.

    Raises
    ------
    ParameterError
        The notebook has no such cell, or the cell does more than assign literals.
    """
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ParameterError(f"{path} needs one cell tagged 'parameters' and has {len(tagged)}")
    values = {}
    try:
        for line in ast.parse("".join(tagged[0]["source"])).body:
            if not isinstance(line, ast.Assign) or not isinstance(line.targets[0], ast.Name):
                raise ValueError
            values[line.targets[0].id] = ast.literal_eval(line.value)
    except (SyntaxError, ValueError):
        raise ParameterError(f"{path}: the parameters cell may only assign literals") from None
    return values
