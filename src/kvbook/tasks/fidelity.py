"""How far a compressed cache moves a model from itself: what a small model can show surely.

A score needs a model that can do the task. This needs only a model: every method reads the
same prompt and then the same continuation, the one that full KV wrote, and is asked at each
token how far its next-token distribution is from full KV's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kvbook.engine.run import Run
from kvbook.lm.generation import ends_of, generate_ids
from kvbook.lm.models import check_loaded
from kvbook.methods import create_method
from kvbook.methods.base import as_method
from kvbook.results import results_dir
from kvbook.tasks.header import describe, describe_method
from kvbook.tasks.longbench import TASKS, Benchmark, official_length
from kvbook.tasks.store import Store, digest
from kvbook.tasks.together import kept_bytes


@dataclass(frozen=True)
class Probe:
    """A prompt, what full KV says after it, and what it should have said.

    Attributes
    ----------
    id, digest : str
        For `kvbook.tasks.store.Store`.
    prompt, continuation, answer : list of int
        Token ids: what is read, full KV's greedy words, and the task's own answer.
    reference : Tensor [continuation, vocabulary]
        float32 log-probabilities of full KV before each token of the continuation.
    """

    id: str
    digest: str
    prompt: list[int]
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
        Negative log-likelihood of the task's answer, in nats a token.
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
    data: str | Path | None = None,
    tasks: Sequence[str] = tuple(TASKS),
    new_tokens: int = 16,
    max_length: int | None = None,
) -> list[Probe]:
    """Take items of the tasks in turn, and let full KV continue them.

    Parameters
    ----------
    count : int
        How many probes.
    data, tasks, max_length
        As of `kvbook.tasks.evaluation.evaluate`.
    new_tokens : int
        The most of a continuation, and of an answer.
    """
    check_loaded(lm)
    benchmarks = [Benchmark(task, data) for task in tasks]
    max_length = max_length or official_length(lm.model.config.max_position_embeddings)
    probes = []
    for i in range(count):
        benchmark, place = benchmarks[i % len(benchmarks)], i // len(benchmarks)
        row = benchmark.rows[place % len(benchmark.rows)]
        text = benchmark.prompt(lm.tokenizer, row, max_length)
        gap = "" if text[-1].isspace() else "\n" if benchmark.task.name == "lcc" else " "
        prompt = benchmark.encode(lm.tokenizer, text)
        gold = lm.tokenizer(gap + row.answers[0], add_special_tokens=False).input_ids[:new_tokens]
        probes.append(make_probe(lm, f"{benchmark.task.name}/{row.id}", prompt, gold, new_tokens))
    return probes


def make_probe(lm, id: str, prompt: list[int], answer: list[int], new_tokens: int = 16) -> Probe:
    """A prompt and its right answer, and what full KV says after it: at most ``new_tokens``."""
    check_loaded(lm)
    said, reference = _continue(lm, prompt, new_tokens)
    return Probe(id, digest(prompt, said, answer), prompt, said, answer, reference)


def measure_fidelity(
    lm,
    method,
    probes: Sequence[Probe],
    *,
    folder: Path | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Fidelity]:
    """Read every probe with a method attached, and compare.

    Probes are written down as they are measured, as of `kvbook.tasks.evaluation.evaluate`.
    """
    check_loaded(lm)
    method = as_method(method)
    where = Path(folder or results_dir() / "evaluations") / Path(lm.name).name / "fidelity"
    header = describe(lm, method) | {"task": "fidelity"}
    store = Store(where, describe_method(method), header)
    records = store.complete(
        probes, lambda part: [measure_probe(lm, method, part[0])], advance=advance
    )
    return [
        Fidelity(**{name: one[name] for name in Fidelity.__dataclass_fields__})
        for one in records
        if "error" not in one
    ]


def measure_probe(lm, method, probe: Probe) -> dict:
    """One probe through one method; the fields of `Fidelity`."""
    check_loaded(lm)
    method = as_method(method)
    with method.attach(lm.model) as run, torch.no_grad():
        first = _read(lm, run, probe.prompt)
        kept = kept_bytes(run)
        state = run.snapshot()
        ours = _follow(lm, run, first, probe.continuation)
        run.restore(state)
        answer = _follow(lm, run, first, probe.answer)
    theirs = probe.reference
    gold = torch.tensor(probe.answer, device=answer.device)[:, None]
    return {
        "kl": max(0.0, float((theirs.exp() * (theirs - ours)).sum(-1).mean())),
        "agreement": float((theirs.argmax(-1) == ours.argmax(-1)).float().mean()),
        "nll": float(-answer.gather(1, gold).mean()),
        "tokens": len(probe.prompt),
        "kept_bytes": kept,
    }


def agreements(lm, method, prompts: Sequence[str], new_tokens: int) -> list[bool]:
    """Whether a method, along full KV's own continuation, would say the same next token.

    Parameters
    ----------
    prompts : sequence of str
        What is read first.
    new_tokens : int
        Length of every continuation, whatever full KV would like.

    Returns
    -------
    list of bool
        ``new_tokens - 1`` a prompt: the first token is said before anything is decoded.
    """
    check_loaded(lm)
    method = as_method(method)
    same: list[bool] = []
    for prompt in prompts:
        ids = lm.tokenizer(prompt, add_special_tokens=False).input_ids
        said = generate_ids(lm.model, [ids], new_tokens, min_new_tokens=new_tokens)[0]
        with method.attach(lm.model) as run, torch.no_grad():
            first = _read(lm, run, ids)
            ours = _follow(lm, run, first, said.tolist()).argmax(-1)
        same += (ours == said)[1:].tolist()
    return same


def _read(lm, run: Run, ids: Sequence[int]) -> Tensor:
    """Log-probabilities of the next token ``[vocabulary]`` after reading more tokens."""
    new = torch.tensor([list(ids)], device=lm.model.device)
    logits = lm.model(new, past_key_values=run.cache, logits_to_keep=1).logits
    return logits[0, -1].float().log_softmax(-1)


def _follow(lm, run: Run, first: Tensor, ids: Sequence[int]) -> Tensor:
    """Log-probabilities before each of ``ids``, which are read one by one: ``[ids, vocabulary]``."""
    return torch.stack([first, *(_read(lm, run, [token]) for token in ids[:-1])])


def _continue(lm, prompt: Sequence[int], count: int) -> tuple[list[int], Tensor]:
    """Full KV's greedy words, to the end of its turn, and the log-probabilities that chose them."""
    ends = ends_of(lm.model)
    with create_method("fullkv").attach(lm.model) as run, torch.no_grad():
        steps = [_read(lm, run, prompt)]
        said = [int(steps[0].argmax())]
        while len(said) < count and said[-1] not in ends:
            steps.append(_read(lm, run, said[-1:]))
            said.append(int(steps[-1].argmax()))
    return said, torch.stack(steps)
