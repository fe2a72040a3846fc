"""What the chapters take: names, types, defaults (the laptop profile's) and meanings."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from kvbook.catalogue import compared_methods, method_names, method_parameters
from kvbook.fields import Budget, Count, Kernel, Natural, Positive

Budgets = Annotated[list[Budget], Field(min_length=2)]
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
        "auto", description="auto: the one that this machine reads quicker in"
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


class FromScratch(Prompted):
    """A cache from scratch."""

    dtype: Literal["float32"] = Field(
        "float32", description="so exact that lines by hand give the engine's tokens"
    )
    prompt: str = Field("", description="your own prompt; empty: a number, and a question")
    budget: Annotated[int, Field(ge=2)] = Field(
        20, description="entries a layer keeps; at most half of the prompt"
    )
    sinks: Natural = Field(4, description="first entries that stay, in step 3")
    window: Count = Field(4, description="last queries, which vote in step 4")
    kernel: Kernel = Field(5, description="neighbours whose votes an entry takes, itself included")
    new_tokens: Annotated[int, Field(ge=2)] = Field(6, description="tokens to decode")


class FullKV(Prompted):
    """FullKV."""

    contexts: Counts = Field([256, 1024, 4096], description="context lengths to time")
    new_tokens: Annotated[int, Field(ge=4)] = Field(
        16, description="tokens to decode; at least 4, to take a median"
    )


def _budgets(*values: int | float) -> Any:
    return Field(list(values), description="budgets to compare")


class Needled(Prompted):
    """Chapters that ask for needles at several budgets."""

    budget: Budget = Field(
        256, description="entries a layer keeps (int), or a fraction of the prompt"
    )
    budgets: Budgets = _budgets(128, 256)
    needles: Annotated[int, Field(ge=2)] = Field(20, description="prompts with a needle")
    needle_tokens: Annotated[int, Field(ge=100)] = Field(
        1000, description="about so many tokens has each of these prompts"
    )


def of_method(
    name: str, *, without: tuple[str, ...] = (), **defaults: Any
) -> Callable[[type[ChapterParameters]], Any]:
    """Give a chapter the parameters of its method, as the method's class declares them.

    What the method has no default for, its budget, is the chapter's own.

    Parameters
    ----------
    name : str
        The method.
    without : tuple of str
        Parameters of the method that the chapter does not take.
    **defaults
        Values other than the method's that the chapter begins with.
    """

    def derive(own: type[ChapterParameters]) -> Any:
        declared = method_parameters(name, without)
        declared |= {key: declared[key]._replace(default=one) for key, one in defaults.items()}
        fields: dict[str, Any] = {
            key: (one.annotation, Field(one.default, description=one.meaning))
            for key, one in declared.items()
            if one.default is not ...
        }
        for key in own.__annotations__:  # the chapter's come after the method's, and win
            fields[key] = (own.model_fields[key].annotation, own.model_fields[key])
        return create_model(own.__name__, __base__=own.__base__, __doc__=own.__doc__, **fields)

    return derive


@of_method("streamingllm")
class StreamingLLM(Needled):
    """StreamingLLM."""

    budgets: Budgets = _budgets(128, 256, 512)
    streams: Annotated[int, Field(ge=2)] = Field(
        2, description="texts in which two windows move on"
    )
    stream_tokens: Annotated[int, Field(ge=32)] = Field(128, description="tokens of each of them")
    stream_budget: Annotated[int, Field(ge=8)] = Field(64, description="entries of these windows")


@of_method("snapkv", window=8)
class SnapKV(Needled):
    """SnapKV."""

    budgets: Budgets = _budgets(64, 128, 256)
    windows: Counts = Field([8, 16, 32], description="windows to compare")
    kernels: Annotated[list[Kernel], Field(min_length=1)] = Field(
        [3, 5, 7], description="kernels to compare"
    )


@of_method("h2o")
class H2O(Needled):
    """H2O."""


@of_method("pyramidinfer")
class PyramidInfer(Needled):
    """PyramidInfer."""

    budgets: Budgets = Field([0.5, 0.7, 0.9], description="mean retentions to compare")


@of_method("gemfilter")
class GemFilter(Needled):
    """GemFilter."""

    filter_layers: Layers = Field([8, 12, 16], description="filter layers to compare")


@of_method("fastkv")
class FastKV(Needled):
    """FastKV."""

    tsp_layers: Layers = Field([9, 14, 19], description="TSP layers to compare")


MethodName = Literal[method_names()]  # type: ignore[valid-type]


def _name_them(names: list[str] | None) -> list[str]:
    """So that results say which methods they are of."""
    return compared_methods() if names is None else names


Methods = Annotated[
    Annotated[list[MethodName], Field(min_length=1)] | None,  # type: ignore[valid-type]
    AfterValidator(_name_them),
    Field(description="methods to compare, fullkv always among them; none: all but summarykv"),
]


def _ask_something(tasks: list[str]) -> list[str]:
    """So that a question can come after the compression."""
    if tasks == ["lcc"]:
        raise ValueError(
            "lcc asks nothing: give one more task, so that its question can come later"
        )
    return tasks


TaskName = Literal["narrativeqa", "2wikimqa", "gov_report", "trec", "passage_count", "lcc"]


class Evaluation(ChapterParameters):
    """Task evaluation."""

    methods: Methods = None
    tasks: Annotated[list[TaskName], Field(min_length=1), AfterValidator(_ask_something)] = Field(
        list(get_args(TaskName)), description="LongBench's tasks"
    )
    budget: Budget = Field(0.1, description="entries a layer keeps in the task scores, or a share")
    limit: Count | None = Field(2, description="items of a task; none: all")
    data: str = Field(
        "", description="LongBench's folder, data.zip, or hub; empty: the embedded items"
    )
    probes: Count = Field(6, description="items whose continuation is compared with full KV's")
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


@of_method("summarykv", without=("summarizer",), summary_tokens=96, segment=64)
class SummaryKV(ChapterParameters):
    """SummaryKV."""

    budget: Budget = Field(256, description="entries a layer holds, summary included")
    budgets: Budgets = Field([128, 512], description="more budgets to compare")
    sizes: list[Count] = Field([32], description="more sizes of the summary to compare")
    conversations: Annotated[int, Field(ge=1, le=40)] = Field(
        2, description="conversations to ask about"
    )
    turns: Annotated[int, Field(ge=2, le=20)] = Field(20, description="turns of the live session")
    document_tokens: Annotated[int, Field(ge=200)] = Field(
        8000, description="length of the long document"
    )
    document_budget: Count = Field(512, description="entries to read it through")


class Quantization(ChapterParameters):
    """Quantise or evict."""

    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "bfloat16",
        description="of the cache, too: in 32 bits every quantiser would save twice as much",
    )
    group: Annotated[int, Field(ge=8, le=256, multiple_of=8)] = Field(
        64, description="entries of a channel that share a smallest number and a step"
    )
    shares: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)] = Field(
        [0.25, 0.5], description="budgets of eviction, shares of the prompt"
    )
    needles: Annotated[int, Field(ge=2)] = Field(5, description="prompts with a needle")
    needle_tokens: Annotated[int, Field(ge=200)] = Field(
        700, description="about so many tokens has each of these prompts"
    )
    probes: Count = Field(3, description="items whose continuation is compared with full KV's")


class OnDevice(ChapterParameters):
    """On the device."""

    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "float32", description="of the package, which llama.cpp is compared with"
    )
    weights: Annotated[list[Literal["q4_1", "q8_0", "f16", "f32"]], Field(min_length=1)] = Field(
        ["q4_1"], description="what llama.cpp's weights are stored in"
    )
    caches: Annotated[list[Literal["f32", "f16", "q8_0", "q4_0"]], Field(min_length=1)] = Field(
        ["q4_0"], description="what llama.cpp's keys and values are stored in"
    )
    budget: Annotated[int, Field(ge=16)] = Field(128, description="entries of a bounded cache")
    prompt_tokens: Annotated[int, Field(ge=50)] = Field(
        320, description="read before the two are compared"
    )
    steps: Count = Field(16, description="tokens at which the two are compared")
    probes: Count = Field(1, description="items whose continuation is compared with float32's")
    needles: Annotated[int, Field(ge=2)] = Field(2, description="prompts with a needle")
    needle_tokens: Annotated[int, Field(ge=200)] = Field(
        200, description="about so many tokens has each of these prompts"
    )
    conversations: Annotated[int, Field(ge=1, le=40)] = Field(
        1, description="conversations to ask about"
    )
    turns: Annotated[int, Field(ge=2, le=20)] = Field(
        6, description="turns of a conversation: the first so many"
    )
    drift_tokens: Annotated[int, Field(ge=2)] = Field(
        32, description="tokens that a window moves on, to see what moving does to its keys"
    )
    contexts: Counts = Field([512], description="prompt lengths whose cost is measured")
    threads: Counts = Field([2], description="threads to measure with")
    new_tokens: Annotated[int, Field(ge=3)] = Field(8, description="tokens to write after each")
    repeats: Count = Field(1, description="runs of each cost; the median counts")
    bandwidth: Positive = Field(76.8, description="of the phone on paper, GB a second")


class Harder(ChapterParameters):
    """Harder than a needle."""

    methods: Methods = None
    budget: Budget = Field(0.25, description="entries a layer keeps in the tasks, or a share")
    needles: Annotated[int, Field(ge=2)] = Field(6, description="prompts of each task")
    needle_tokens: Annotated[int, Field(ge=200)] = Field(
        500, description="about so many tokens has each of these prompts"
    )
    keys: Rising = Field([1, 3, 8], description="numbers in the text; the reach is drawn for all")
    links: Annotated[list[Natural], Field(min_length=1)] = Field(
        [0, 1], description="steps from the city of the question to the number"
    )
    many: Annotated[int, Field(ge=2, le=8)] = Field(
        3, description="numbers in the text of the two harder tasks"
    )
    briefings: Count = Field(2, description="system prompts with instructions")
    turns: Annotated[int, Field(ge=1, le=20)] = Field(8, description="turns of the talk after them")
    rules_budget: Budget = Field(0.5, description="entries a layer keeps of it, or a share")


class Profiling(ChapterParameters):
    """System profiling."""

    methods: Methods = None
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
    learning_rate: Positive = Field(2e-3, description="the highest")
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
