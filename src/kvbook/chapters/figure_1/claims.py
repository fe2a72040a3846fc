"""Figure 1 read point by point: what the report says or its table shows, and whether it holds
there and here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvbook.chapters.figure_1.sides import Shares, Side, Verdict
from kvbook.chapters.registry import CHAPTERS


@dataclass(frozen=True)
class Claim:
    """A sentence that the numbers of a side bear out or not.

    Attributes
    ----------
    name, text : str
        For the results file, and for readers.
    judge : callable
        Takes a side, and returns whether the claim holds there, with the numbers that say so; None
        where the side has no such numbers.
    same, different : str
        The reason where the two sides agree, and the reason where they do not.
    page : str
        Where more is said.
    """

    name: str
    text: str
    judge: Callable[[Side], Verdict | None]
    same: str
    different: str
    page: str


@dataclass(frozen=True)
class Reading:
    """A claim, and what the two sides say of it."""

    claim: Claim
    report: Verdict
    ours: Verdict

    @property
    def agree(self) -> bool:
        """Whether it holds on both sides, or on none."""
        return self.report[0] == self.ours[0]

    @property
    def why(self) -> str:
        """The reason for that."""
        return self.claim.same if self.agree else self.claim.different

    def row(self) -> dict[str, Any]:
        """For `kvbook.show.readings_list`."""
        return {
            "claim": self.claim.text,
            "report": self.report,
            "ours": self.ours,
            "agree": self.agree,
            "why": self.why,
            "page": self.claim.page,
            "title": CHAPTERS[self.claim.page.split(".")[0]].title,
        }


def read(claims: Sequence[Claim], report: Side, ours: Side) -> list[Reading]:
    """The claims that can be judged on both sides."""
    judged = [(claim, claim.judge(report), claim.judge(ours)) for claim in claims]
    return [Reading(claim, there, here) for claim, there, here in judged if there and here]


def listed(values: Shares, form: str = ".0%") -> str:
    """Methods and their numbers, as part of a sentence."""
    return ", ".join(f"{name} {value:{form}}" for name, value in values.items())


def some(values: Shares, *names: str) -> dict[str, float]:
    """The values of those named methods that are in ``values``."""
    return {name: values[name] for name in names if name in values}


def scores_below(side: Side) -> Verdict | None:
    """Nine of ten scores are below FullKV's."""
    return _below([share for of in side.tasks.values() for share in of.values()], "scores", 0.9)


def two_ahead(side: Side) -> Verdict | None:
    """SnapKV and FastKV have the highest means."""
    order = sorted(side.means, key=lambda method: side.means[method], reverse=True)
    if not order:
        return None
    told = f"ahead: {listed(some(side.means, *order[:2]))}; next: {listed(some(side.means, *order[2:3]))}"
    return set(order[:2]) == {"snapkv", "fastkv"}, told


def window_keeps(side: Side) -> Verdict | None:
    """StreamingLLM's mean is more than half."""
    known = some(side.means, "streamingllm")
    return (known["streamingllm"] > 0.5, listed(known)) if known else None


def h2o_loses_stories(side: Side) -> Verdict | None:
    """H2O's narrativeqa is less than half."""
    known = {
        f"{method} on narrativeqa": side.tasks[method]["narrativeqa"]
        for method in ("h2o", "snapkv")
        if "narrativeqa" in side.tasks.get(method, {})
    }
    stories = known.get("h2o on narrativeqa")
    return None if stories is None else (stories < 0.5, listed(known))


def prefill_is_cut(side: Side) -> Verdict | None:
    """GemFilter and FastKV read in less than three quarters of FullKV's time, at every context."""
    return _at_every(side.prefill, ("gemfilter", "fastkv"), lambda share: share < 0.75)


def prefill_is_left(side: Side) -> Verdict | None:
    """StreamingLLM and SnapKV read in FullKV's time, within a quarter, at every context."""
    return _at_every(side.prefill, ("streamingllm", "snapkv"), lambda share: 0.75 < share < 1.25)


def pyramid_is_no_faster(side: Side) -> Verdict | None:
    """PyramidInfer reads in FullKV's time or more, at the shortest context."""
    known = some(_shortest(side.prefill), "pyramidinfer")
    return (known["pyramidinfer"] >= 1, listed(known)) if known else None


def all_are_faster(side: Side) -> Verdict | None:
    """End to end every method is below FullKV, at every context."""
    return _below([share for of in side.end_to_end.values() for share in of.values()])


def matrices_are_held(side: Side) -> Verdict | None:
    """H2O and PyramidInfer need more than twice the memory, at the shortest context."""
    known = some(_shortest(side.memory), "h2o", "pyramidinfer")
    if not known:
        return None
    told = f"{listed(known, '.1f')} times{_where(side.memory)}"
    gone = [method for method in _shortest(side.prefill) if method not in _longest(side.prefill)]
    told += f"; {', '.join(gone)} out of memory beyond" if gone else ""
    return min(known.values()) > 2, told


def memory_falls_a_little(side: Side) -> Verdict | None:
    """Three methods lower the memory, by less than a tenth, at the shortest context."""
    known = some(_shortest(side.memory), "streamingllm", "snapkv", "gemfilter")
    if not known:
        return None
    return all(0.9 < one <= 1 for one in known.values()), listed(known) + _where(side.memory)


def fastkv_is_heavy(side: Side) -> Verdict | None:
    """FastKV needs more than twice the memory, at the shortest context."""
    share = _shortest(side.memory).get("fastkv")
    return None if share is None else (share > 2, f"FastKV {share:.1f} times")


def tuning_gains(side: Side) -> Verdict | None:
    """Fine-tuning raised the score."""
    return side.tuning


def _below(shares: Sequence[float], what: str = "", enough: float = 1.0) -> Verdict | None:
    """Whether so large a part of some shares is below 1."""
    count = sum(share < 1 for share in shares)
    told = " ".join(filter(None, [f"{count} of {len(shares)}", what, "are below FullKV's"]))
    return (count >= enough * len(shares), told) if shares else None


def _at_every(
    costs: Mapping[int, Shares], methods: Sequence[str], holds: Callable[[float], bool]
) -> Verdict | None:
    """Whether it holds for these methods at every context; of several, each is named."""
    known = {context: shares for context, of in costs.items() if (shares := some(of, *methods))}
    if not known:
        return None
    told = [
        listed(of) + (f" at {context:,}" if len(known) > 1 else "") for context, of in known.items()
    ]
    return all(holds(share) for of in known.values() for share in of.values()), "; ".join(told)


def _shortest(costs: Mapping[int, Shares]) -> Shares:
    return costs[min(costs)] if costs else {}


def _longest(costs: Mapping[int, Shares]) -> Shares:
    return costs[max(costs)] if costs else {}


def _where(costs: Mapping[int, Shares]) -> str:
    """The shortest context, where there are others."""
    return f" at {min(costs):,}" if len(costs) > 1 else ""


CLAIMS = (
    Claim(
        "below",
        "A smaller cache costs quality: nearly every score is below FullKV's.",
        scores_below,
        "An entry that was dropped cannot be read again. In our short prompts a tenth of the entries is "
        "only a few dozen.",
        "Here some scores are above those of the full cache. With few items that is chance.",
        "evaluation.html",
    ),
    Claim(
        "ahead",
        "SnapKV and FastKV stand out.",
        two_ahead,
        "In both methods the last queries, in the question or after it, choose what stays, and each layer "
        "chooses for itself, at least up to the middle of the model.",
        "With few items the order of the methods is partly chance.",
        "snapkv.html",
    ),
    Claim(
        "window",
        "StreamingLLM keeps more than half of FullKV's score.",
        window_keeps,
        "Many questions can be answered from the end of the text.",
        "Our questions ask for something that the text says once, mostly outside the window. Many of "
        "LongBench's questions can be answered from the end of the text, from its subject, or from what "
        "a larger model knows.",
        "evaluation.html",
    ),
    Claim(
        "h2o",
        "H2O loses more than half of its score on narrativeqa.",
        h2o_loses_stories,
        "A story tells a fact once, and only the question looks at it. H2O evicts by the attention of "
        "all queries, so it can evict the fact. This needs no fault in a program. But KVCache-Factory, a "
        "harness that the report may have used, had two faults, as of January 2025.",
        "H2O loses what only the question looks at. How much of a task that is depends on the items.",
        "evaluation.html#the-h2o-row",
    ),
    Claim(
        "prefill-aware",
        "GemFilter and FastKV cut the prefill by at least a quarter.",
        prefill_is_cut,
        "Their deep layers read only a part of the prompt. How many layers read all of it decides how "
        "much is saved, on a GPU and on two cores.",
        "Matrix products take most of the time only if the prompt is long or the model large.",
        "profiling.html",
    ),
    Claim(
        "decoding-only",
        "StreamingLLM and SnapKV change the prefill by less than a quarter.",
        prefill_is_left,
        "Both read the whole prompt and drop entries afterwards.",
        "Both read the whole prompt. The times of short prefills are noisy.",
        "profiling.html",
    ),
    Claim(
        "pyramidinfer",
        "PyramidInfer's prefill is no faster than FullKV's.",
        pyramid_is_no_faster,
        "Making the scores can cost as much as the shorter layers save.",
        "Its deeper layers read fewer tokens, so it can be faster. The authors' code, read in November "
        "2026, writes out the whole score matrix. Ours computes only the rows of the recent part, block by "
        "block.",
        "pyramidinfer.html",
    ),
    Claim(
        "end to end",
        "End to end, every method is faster than FullKV.",
        all_are_faster,
        "The report's text says so, but its table shows it only for long contexts. A decoding-only "
        "method makes up for the time of its selection only in a long answer after a long prompt.",
        "Whether a smaller cache saves time end to end depends on the context and on the length of the "
        "answer. The report does not give the length of its answers.",
        "profiling.html",
    ),
    Claim(
        "matrix",
        "H2O and PyramidInfer need several times FullKV's memory.",
        matrices_are_held,
        "Whole score matrices are in memory.",
        "The methods do not need this memory. Their authors' codes, read in November 2026, build the "
        "n × n matrix of scores. Our code sums the scores block by block.",
        "profiling.html",
    ),
    Claim(
        "memory",
        "The other methods lower peak memory by less than a tenth.",
        memory_falls_a_little,
        "Weights, and the widest step of a layer, take most of the memory of a short prompt. Entries "
        "that are dropped after the prefill do not lower its peak.",
        "The report's numbers suggest that its harness drops entries after the prefill: its peak holds "
        "them all. Here each layer drops its entries as soon as it is done, and the weights of a small "
        "model hide less of the difference.",
        "profiling.html#report-memory",
    ),
    Claim(
        "fastkv memory",
        "FastKV's memory, end to end, is a multiple of FullKV's.",
        fastkv_is_heavy,
        "The same is seen here.",
        "The report's numbers for FastKV end to end lie on a line. Slope and start of this line are near "
        "those of Llama-3.1-8B with its full cache: probably a run of another model. That is our "
        "inference; the report does not say it.",
        "profiling.html#report-memory",
    ),
    Claim(
        "fine-tuning",
        "Fine-tuning raises BERTScore.",
        tuning_gains,
        "A model learns the form of an answer first, and a score of resemblance rises with the form. The "
        "score does not say whether the answers became right.",
        "Our training takes a few minutes, on a model that hardly writes Chinese.",
        "bertscore.html",
    ),
)
"""In the order of the page."""
