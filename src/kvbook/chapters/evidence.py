"""The numbers that the sentences of the last page rest on: a sentence of each chapter's results."""

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

from kvbook.chapters.figure_1.shares import TIMES, read_measurements, time_shares
from kvbook.tasks.scores import only_tasks, pooled_intervals

Data = Mapping[str, Any]
"""The ``data`` of a results file."""


def ends(data: Data) -> str:
    """StreamingLLM at its largest budget, and full KV."""
    needle = data["needle"]
    budgets = {int(label.rpartition("=")[2]): label for label in needle if label != "fullkv"}
    label = budgets[max(budgets)]
    found = needle[label]
    return (
        f"{sum(found)} of {len(found)} needles with {label.partition(' ')[2].replace('=', ' ')}, "
        f"{sum(needle['fullkv'])} with the full cache."
    )


def second_question(data: Data) -> str:
    """What SnapKV still knows when another question comes."""
    told = (
        f"{sum(hits)} of {len(hits)} times ({name})"
        for name, hits in data["second_question"].items()
    )
    return f"a second question in the next turn was answered {', '.join(told)}."


def cut(data: Data) -> str:
    """FastKV, cut after one layer or another."""
    told = (f"{layer}: {sum(hits)} of {len(hits)}" for layer, hits in data["by_layer"].items())
    return f"FastKV, cut after layer {', '.join(told)}."


def evicted(data: Data, budget: int = 256) -> str:
    """Facts that were told longer ago than a budget reaches back; empty where there are none."""
    runs = ("fullkv", f"streamingllm, budget {budget}", f"summarykv extractive, budget {budget}")
    early = {
        name: [fact["found"] for fact in one["facts"] if fact["ago"] > budget]
        for name, one in data["recall"].items()
        if name in runs
    }
    told = [f"{name} {sum(hits)} of {len(hits)}" for name, hits in early.items() if hits]
    return f"facts told more than {budget} tokens ago: {'; '.join(told)}." if told else ""


def nearest(data: Data) -> str:
    """The methods nearest to full KV and farthest from it, at the least budget that all have."""
    near = {
        method: {int(budget): fmean(one["kl"] for one in rows) for budget, rows in by.items()}
        for method, by in data["fidelity"].items()
    }
    budget = min(set.intersection(*(set(by) for by in near.values())))
    order = sorted(near, key=lambda method: near[method][budget])
    first, last = order[0], order[-1]
    return (
        f"at {budget} entries, the divergence from full KV is least for {first} "
        f"({near[first][budget]:.2f} nats) and most for {last} ({near[last][budget]:.2f})."
    )


def later(data: Data) -> str:
    """The scores of methods that choose by the question, when it comes after the compression."""
    after = data["after"]["evaluated"]
    tasks = list(after["fullkv"]["scores"])
    before = {name: only_tasks(data["evaluated"][name], tasks) for name in after}
    told = (
        f"{name} {pooled_intervals(before)[name][0]:.0f} before, {mean:.0f} after"
        for name, (mean, _, _) in pooled_intervals(after).items()
        if name in ("fullkv", "snapkv", "fastkv")
    )
    return (
        f"scores with the question known before the compression, and after it: {'; '.join(told)}."
    )


def fewer_bits(data: Data) -> str:
    """Full KV in 4 bits, and the method nearest to it among those that evict and hold no less."""
    series, (whole,) = data["measured"], data["measured"]["full"].values()

    def share(one: Mapping[str, Any]) -> float:
        return one["probe_bytes"] / whole["probe_bytes"]

    packed = series["fullkv, fewer bits"]["4 bits"]
    larger = {
        f"{name}, {setting}": one
        for name, settings in series.items()
        if name != "full" and "bits" not in name
        for setting, one in settings.items()
        if share(one) >= share(packed)
    }
    if not larger:
        return ""
    best = min(larger, key=lambda name: fmean(larger[name]["kl"]))
    return (
        f"4 bits: {share(packed):.0%} of the bytes, {fmean(packed['kl']):.3f} nats from full KV; the "
        f"nearest that evicts and holds at least as much is {best}: {share(larger[best]):.0%}, "
        f"{fmean(larger[best]['kl']):.3f}."
    )


def rules(data: Data) -> str:
    """Instructions that are still followed, and the needles of the same run."""
    told = []
    for name in ("fullkv", "snapkv", "h2o"):
        if name in data["followed"]:
            kept = [hit for one in data["followed"][name] for hit in one.values()]
            told.append(f"{name} {sum(kept)} of {len(kept)}")
    said = f"rules of a system prompt still followed, budget {data['rules_budget']}"
    return f"{said}: {'; '.join(told)}." if told else ""


def on_the_device(data: Data) -> str:
    """llama.cpp beside this package: the largest distance, and the peak of the memory; empty where
    llama.cpp was not there."""
    if not data["same"]:
        return ""
    farthest = max(one["kl"] for one in data["same"].values())
    longest = max(one["context"] for one in data["costs"])
    peaks = {
        one["engine"].split(",")[0]: fmean(one["peak"]) / 2**20
        for one in reversed(data["costs"])  # of several the first
        if one["context"] == longest
    }
    return (
        f"in float32 llama.cpp is at most {farthest:.0e} nats from this package; at {longest:,} tokens "
        f"its process with quantised weights peaks at {peaks['llama.cpp']:.0f} MiB, this package's in "
        f"float32 at {peaks['kvbook']:.0f}."
    )


def prefill(data: Data) -> str:
    """The prefill of three methods, to FullKV's; empty where none was measured beside it."""
    methods = ("snapkv", "gemfilter", "fastkv")
    context, shares = time_shares(read_measurements(data, ["fullkv", *methods]))
    told = [f"{name} {shares[name][TIMES['prefill']][0]:.2f}" for name in methods if name in shares]
    return f"{', '.join(told)} times FullKV's prefill at {context:,} tokens." if told else ""


def form(data: Data) -> str:
    """What the training learned, and what it forgot."""
    (_, first), *_, (_, last) = data["held_out_losses"]
    told = ", ".join(f"{name} {one['gain']:+.2f} nats" for name, one in data["forgetting"].items())
    return (
        f"held-out loss {first:.2f} to {last:.2f} nats a token in {data['steps']} steps; "
        f"general answers {told} (positive is better)."
    )


def floor(data: Data) -> str:
    """Where BERTScore begins, and what it does not see."""
    raw, damaged = data["gains"]["BERTScore F1, raw"], data["damaged"]
    return (
        f"F1 {raw['before']:.3f} to {raw['after']:.3f} ({raw['gain']:+.3f}, interval "
        f"{raw['low']:+.3f} to {raw['high']:+.3f}), while answers to other questions score "
        f"{fmean(data['unrelated']):.3f}; ten times the dose scores "
        f"{damaged['ten times the dose']['raw']:.3f}, the right answer in other words "
        f"{damaged['the same in other words']['raw']:.3f}."
    )


EVIDENCE: dict[str, tuple[str, Callable[[Data], str]]] = {
    "Keeping both ends": ("streamingllm", ends),
    "The question knows": ("snapkv", second_question),
    "What is cut from the reading": ("fastkv", cut),
    "An evicted fact need not be lost": ("summarykv", evicted),
    "The question can come later": ("evaluation", later),
    "Fewer bits first": ("quantization", fewer_bits),
    "Instructions are lost before needles": ("harder", rules),
    "Methods that choose by position": ("ondevice_costs", on_the_device),
    "With a small model": ("evaluation", nearest),
    "Prefill is bound by operations": ("profiling", prefill),
    "Fine-tuning teaches form first": ("bertscore", form),
    "Unrelated texts already have a high BERTScore": ("bertscore", floor),
}
"""By sentence: the results that it rests on, and what they say."""


def find_evidence(data: Mapping[str, Data]) -> dict[str, str]:
    """By sentence: the numbers that it rests on, where there are any.

    Parameters
    ----------
    data : mapping
        By chapter; those without results are missing.
    """
    found = {
        sentence: say(data[chapter])
        for sentence, (chapter, say) in EVIDENCE.items()
        if chapter in data
    }
    return {sentence: told for sentence, told in found.items() if told}


def needles_found(data: Mapping[str, Data]) -> list[tuple[str, str, list[bool]]]:
    """Method, budget and hits of every method in its own chapter; full KV's, of the first of
    them, with a dash for its budget, before all.

    Parameters
    ----------
    data : mapping
        By chapter; a label of its ``needle`` is ``"<method> budget=<budget>"``.
    """
    found: list[tuple[str, str, list[bool]]] = []
    for chapter, one in data.items():
        for label, hits in one.get("needle", {}).items():
            method, _, budget = label.partition(" budget=")
            if label == "fullkv" and not found:
                found.append((label, "–", hits))
            elif method == chapter and budget:
                found.append((method, budget, hits))
    return found
