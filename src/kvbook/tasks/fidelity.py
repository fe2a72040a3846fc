"""How far a compressed cache moves a model from itself: even a small model can show this.

A score needs a model that can do the task. This needs only a model: every method reads the
same prompt and then the same continuation, the one that full KV wrote, and is asked at each
token how far its next-token distribution is from full KV's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kvbook.errors import ParameterError
from kvbook.lm.generation import ends_of
from kvbook.lm.models import check_loaded
from kvbook.methods import create_method
from kvbook.methods.base import as_methods
from kvbook.results import results_dir
from kvbook.tasks.following import follow, next_logs, write_along
from kvbook.tasks.header import describe, describe_method
from kvbook.tasks.longbench import Benchmark, official_length, task_named, tasks_that_ask
from kvbook.tasks.store import Store, complete_together, digest
from kvbook.tasks.together import ROWS, Label, When


@dataclass(frozen=True)
class Probe:
    """A prompt, what full KV says after it, and what it should have said.

    Attributes
    ----------
    id, digest : str
        For `kvbook.tasks.store.Store`.
    prompt, question, continuation, answer : list of int
        Token ids: what is read and compressed, what comes after it (none: the prompt has it in),
        full KV's greedy words, and the task's own answer.
    reference : Tensor [continuation, vocabulary]
        float32 log-probabilities of full KV before each token of the continuation.
    """

    id: str
    digest: str
    prompt: list[int]
    question: list[int]
    continuation: list[int]
    answer: list[int]
    reference: Tensor


@dataclass(frozen=True)
class Fidelity:
    """How one method read one probe.

    Attributes
    ----------
    id : str
        The probe's.
    kl : float
        Kullback-Leibler divergence from full KV's next-token distribution to this one's, mean
        over the continuation, in nats. 0: the same.
    agreement : float
        Share of the continuation's tokens at which both would say the same.
    nll : float
        Negative log-likelihood of the probe's ``answer``, in nats, mean over its tokens.
    tokens, kept_bytes : int
        Length of the prompt; bytes that the prefill kept.
    """

    id: str
    kl: float
    agreement: float
    nll: float
    tokens: int
    kept_bytes: int


def make_probes(
    lm,
    count: int,
    *,
    question: When = "before",
    data: str | Path | None = None,
    tasks: Sequence[str] | None = None,
    new_tokens: int = 16,
    max_length: int | None = None,
) -> list[Probe]:
    """Take items of the tasks in turn, and let full KV continue them.

    Parameters
    ----------
    count : int
        How many probes.
    question, data, max_length
        As in `kvbook.tasks.evaluation.evaluate_all`.
    tasks : sequence of str, optional
        Names for the same; left out: all, or those that ask when the question comes after.
    new_tokens : int
        Most tokens of a continuation. The task's answer is cut after as many.
    """
    check_loaded(lm)
    tasks = tasks_that_ask(question) if tasks is None else tasks
    if not tasks:
        raise ParameterError("no tasks: give at least one")
    for task in tasks:
        task_named(task, question)
    benchmarks = [Benchmark(task, data) for task in tasks]
    max_length = max_length or official_length(lm.model.config.max_position_embeddings)
    found = []
    for i in range(count):
        benchmark, place = benchmarks[i % len(benchmarks)], i // len(benchmarks)
        row = benchmark.rows[place % len(benchmark.rows)]
        text = benchmark.prompt(lm.tokenizer, row, max_length)
        gap = "" if text[-1].isspace() else "\n" if benchmark.task.name == "lcc" else " "
        gold = lm.tokenizer(gap + row.answers[0], add_special_tokens=False).input_ids[:new_tokens]
        name, asked = f"{benchmark.task.name}/{row.id}", list[int]()
        if question == "after":
            name += " after"
            prompt, asked = benchmark.encode_apart(lm.tokenizer, row, max_length)
        else:
            prompt = benchmark.encode(lm.tokenizer, text)
        found.append((name, prompt, gold, new_tokens, asked))
    return [make_probe(lm, *one) for one in found]


def make_probe(
    lm,
    id: str,
    prompt: list[int],
    answer: list[int],
    new_tokens: int = 16,
    question: Sequence[int] = (),
) -> Probe:
    """A probe: a prompt, perhaps a question after it, the right answer, and at most ``new_tokens``
    that full KV says then."""
    check_loaded(lm)
    if not prompt:
        raise ParameterError("the prompt is empty: give it at least one token")
    question = list(question)
    said, reference = _continue(lm, prompt + question, new_tokens)
    changes = digest(prompt, question, said, answer)
    return Probe(id, changes, prompt, question, said, answer, reference)


def measure_fidelity(
    lm,
    methods: Mapping[Label, Any],
    probes: Sequence[Probe],
    *,
    folder: Path | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[Label, list[Fidelity]]:
    """Read every probe with several methods, and compare; by label.

    A probe that ran out of memory with a method is missing in that method's list.
    Probes are written down as they are measured, as in `kvbook.tasks.evaluation.evaluate_all`.
    """
    check_loaded(lm)
    methods = as_methods(methods)
    where = Path(folder or results_dir() / "evaluations") / Path(lm.name).name / "fidelity"
    asked = list(methods.values())
    stores = [
        Store(where, describe_method(one), describe(lm, one) | {"task": "fidelity"})
        for one in asked
    ]

    def measure(part: Sequence[Probe], which: list[int]) -> list[list[dict]]:
        return [[one] for one in measure_probe(lm, {i: asked[i] for i in which}, part[0]).values()]

    measured = complete_together(stores, probes, measure, advance=advance)
    names = Fidelity.__dataclass_fields__
    return {
        label: [
            Fidelity(**{name: one[name] for name in names}) for one in records if "error" not in one
        ]
        for label, records in zip(methods, measured, strict=True)
    }


def measure_probe(lm, methods: Mapping[Label, Any], probe: Probe) -> dict[Label, dict]:
    """One probe through several methods; by label, the fields of `Fidelity`."""
    check_loaded(lm)
    methods = as_methods(methods)
    texts = [probe.continuation, probe.answer]
    full, gold = probe.reference, torch.tensor(probe.answer)[:, None]
    found = {}
    followed = follow(lm, list(methods.values()), probe.prompt, texts, probe.question)
    for label, one in zip(methods, followed, strict=True):
        ours, answer = one.logs
        found[label] = {
            "kl": max(0.0, float((full.exp() * (full - ours)).sum(-1).mean())),
            "agreement": float((full.argmax(-1) == ours.argmax(-1)).float().mean()),
            "nll": float(-answer.gather(1, gold.to(answer.device)).mean()),
            "tokens": len(probe.prompt) + len(probe.question),
            "kept_bytes": one.kept_bytes,
        }
    return found


def agreements(
    lm, methods: Mapping[Label, Any], prompts: Sequence[str], new_tokens: int
) -> dict[Label, list[bool]]:
    """Whether methods, along full KV's own continuation, would say the same next token.

    Parameters
    ----------
    prompts : sequence of str
        What is read first.
    new_tokens : int
        Length of every continuation, also where full KV would end it before.

    Returns
    -------
    dict of list of bool
        By label, ``new_tokens - 1`` a prompt: the first token is said before anything is decoded.
    """
    check_loaded(lm)
    methods = as_methods(methods)
    same: dict[Label, list[bool]] = {label: [] for label in methods}
    asked = [lm.tokenizer(prompt, add_special_tokens=False).input_ids for prompt in prompts]
    size = max(1, ROWS // (1 + len(methods)))
    for start in range(0, len(asked), size):
        part = asked[start : start + size]
        said, would = write_along(lm, list(methods.values()), part, new_tokens)
        agree = would == said[:, None]
        for place, label in enumerate(methods):
            same[label] += agree[:, place, 1:].flatten().tolist()
    return same


def _continue(lm, prompt: Sequence[int], count: int) -> tuple[list[int], Tensor]:
    """Full KV's greedy words, to the end of its turn, and the log-probabilities that chose them."""
    ends = ends_of(lm.model)
    with create_method("fullkv").attach(lm.model) as run, torch.no_grad():
        steps = [next_logs(lm, run, torch.tensor([list(prompt)]), last=True)]
        said = [int(steps[0].argmax())]
        while len(said) < count and said[-1] not in ends:
            steps.append(next_logs(lm, run, torch.tensor([said[-1:]])))
            said.append(int(steps[-1].argmax()))
    return said, torch.cat(steps, dim=1)[0]
