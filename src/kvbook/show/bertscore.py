"""Scores of answers: the report's line, where a scale begins, what a training gained and forgot."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML, Markdown
from matplotlib.figure import Figure

from kvbook.finetune.data import Dialogue
from kvbook.finetune.score import Comparison, compare
from kvbook.finetune.score.baseline import rescale
from kvbook.finetune.score.gains import NLL, RAW, RESCALED
from kvbook.results import ResultFile
from kvbook.show.drawing import key
from kvbook.show.style import INK, KEPT
from kvbook.show.tables import table, texts_table
from kvbook.stats import show_interval

LANGUAGES = {"zh": "Chinese", "en": "English"}
Curves = Mapping[str, Mapping[int, Sequence[Mapping]]]
"""By method, by budget: `kvbook.tasks.fidelity.Fidelity`'s fields of every consultation."""

# ---- the report, and the scale -------------------------------------------------------------------


def report_scores(report: Mapping) -> HTML:
    """The report's result on fine-tuning."""
    theirs = report["bertscore_f1"]
    rows = [
        {"model": "Qwen3, as it was", "BERTScore F1": f"{theirs['before']:.2f}"},
        {"model": "after LoRA", "BERTScore F1": f"{theirs['after']:.2f}"},
    ]
    caption = f"{report['data']}, {report['items']} items; without intervals"
    return table(rows, "report", caption)


def match_table(
    cosines: torch.Tensor, answer: Sequence[str], reference: Sequence[str], caption: str
) -> HTML:
    """Every token of an answer against every one of the reference.

    Parameters
    ----------
    cosines : torch.Tensor
        ``[answer, reference]``; the best of a column has a star.
    """
    best = cosines.max(0).values
    rows = [
        {"answer ↓ / reference →": token}
        | {
            f"{i} {name}": f"{'★ ' if cosines[k, i] == best[i] else ''}{cosines[k, i]:.2f}"
            for i, name in enumerate(reference)
        }
        for k, token in enumerate(answer)
    ]
    return table(rows, "measured", caption)


def unrelated_sentence(unrelated: Sequence[float], baseline: float) -> Markdown:
    """What answers to other questions score."""
    return Markdown(
        f"Answers to **different** questions score **{fmean(unrelated):.2f}** here ({min(unrelated):.2f} to {max(unrelated):.2f}). The baseline that is kept with this book, made once from more pairs, is {baseline:.3f}."
    )


def rescaled_sentence(report: Mapping, baseline: float) -> Markdown:
    """The report's line on the rescaled scale of bert-base-chinese."""
    before, after = report["bertscore_f1"].values()
    first, second = rescale(before, baseline), rescale(after, baseline)
    return Markdown(
        f'Now read the report\'s line again. Its encoder is not named; `bert-score` takes bert-base-chinese for Chinese, whose own baseline is {baseline:.3f}. If that was it, then {before:.2f} → {after:.2f} is **{first:.2f} → {second:.2f}** rescaled: on a scale whose 0 means "about something else" and whose 1 means "the same words", the model went up by {second - first:.2f}, and most of the way is still to go. It is the same gain. "Eleven per cent" was a statement about where the scale begins.'
    )


# ---- before and after ----------------------------------------------------------------------------


def comparisons_table(found: Mapping[str, Comparison], first: str, caption: str) -> HTML:
    """Comparisons by name, which stand in the column ``first``."""
    rows = [one.row(**{first: name}) for name, one in found.items()]
    return table(rows, "measured", caption)


def before_and_after(
    before: Sequence[float], after: Sequence[float], unrelated: Sequence[float]
) -> Figure:
    """Raw F1 of every item after over before, and the band of answers to other questions."""
    figure, axes = plt.subplots(figsize=(4.2, 4.2))
    axes.plot(before, after, color=KEPT, marker="o", linestyle="none", markersize=4)
    low, high = min(*before, *after) - 0.02, max(*before, *after, max(unrelated)) + 0.02
    axes.plot([low, high], [low, high], color=INK, linewidth=0.8)
    axes.axhspan(
        float(np.quantile(unrelated, 0.05)),
        float(np.quantile(unrelated, 0.95)),
        color="#E69F00",
        alpha=0.3,
        label="answers to other questions",
    )
    axes.set(xlabel="raw F1 before", ylabel="raw F1 after", xlim=(low, high), ylim=(low, high))
    key(figure)
    return figure


def gain_sentence(
    gained: Mapping[str, Comparison],
    after: Sequence[float],
    unrelated: Sequence[float],
    report: Mapping,
) -> Markdown:
    """Whether the gain is one, and what answers to other questions would have scored.

    Parameters
    ----------
    gained : mapping
        From `kvbook.finetune.score.gains.gains`.
    after, unrelated : sequence of float
        Raw F1 of the answers after training, and of answers to other questions.
    """
    raw, beyond, theirs = gained[RAW], gained[RESCALED], report["bertscore_f1"]
    sure = "excludes 0" if raw.low > 0 or raw.high < 0 else "includes 0"
    above = sum(one > fmean(unrelated) for one in after)
    return Markdown(f"""The gain of **{raw.gain:+.3f}** has the interval {raw.low:+.3f} to {raw.high:+.3f}, which {sure}; rescaled it is {beyond.gain:+.3f} ({beyond.low:+.3f} to {beyond.high:+.3f}). In size it is like the report's {theirs["after"] - theirs["before"]:+.2f}.

And yet: an answer that was written for *another patient* scores {fmean(unrelated):.3f} on average, and the trained model {raw.after:.3f}; only {above} of {raw.items} of its answers reach that. **Answers drawn at random from the training data would beat this model**, before and after.""")


def gain_form(gained: Mapping[str, Comparison], caption: str) -> HTML:
    """A run's gain in the report's form."""
    rows = [
        {
            "": name,
            "items": one.items,
            "before": f"{one.before:.3f}",
            "after": f"{one.after:.3f}",
            "gain": show_interval(one.gain, one.low, one.high, "+.3f"),
        }
        for name, one in (("raw", gained[RAW]), ("rescaled", gained[RESCALED]))
    ]
    return table(rows, "measured", caption)


def report_form(report: Mapping, baseline: float) -> HTML:
    """The report's gain, raw, and rescaled by us."""
    raw = [*report["bertscore_f1"].values()]
    rows = [
        {
            "": name,
            "items": report["items"],
            "before": f"{before:.2f}",
            "after": f"{after:.2f}",
            "gain": f"{after - before:+.2f}",
        }
        for name, (before, after) in (
            ("raw", raw),
            ("rescaled by us", [rescale(one, baseline) for one in raw]),
        )
    ]
    caption = "Qwen3 on MedChatZH; rescaled if its encoder was bert-base-chinese, layer 8"
    return table(rows, "report", caption)


def kept_form(kept: ResultFile, gained: Mapping[str, Comparison]) -> HTML:
    """`gain_form` of the longer run that is kept with the book."""
    origin: Any = kept.provenance  # its parameters are JSON
    caption = f"a longer run, kept: {origin.model}, {origin.parameters['steps']} steps, {origin.started[:10]}, {origin.machine['cpu']}, {origin.seconds / 60:.0f} minutes, seed {origin.seed}"
    return gain_form(gained, caption)


def kept_gains(
    kept: ResultFile, gained: Mapping[str, Comparison], steps: int, unrelated: Sequence[float]
) -> tuple[HTML, Markdown]:
    """All measures of the longer run, and what its steps did beside the ``steps`` of this one."""
    data: Any = kept.data  # as the chapter left it
    asked: Any = kept.provenance.parameters
    (_, start), *_, (_, end) = data["held_out_losses"]
    caption = f"the kept run: {len(data['answers']['after'])} items, {asked['steps']} steps of {asked['batch']} rows; held-out loss {start:.2f} → {end:.2f}"
    f1, nll, other = gained[RAW], gained[NLL], fmean(unrelated)
    reached = "above" if f1.after > other else "still below"
    text = f"{asked['steps'] / steps:.0f} times the steps of this run: the likelihood of the references goes on improving (NLL {nll.before:.2f} → {nll.after:.2f}), and F1 arrives at {f1.after:.3f}, {reached} the {other:.3f} of answers to other questions."
    return comparisons_table(gained, "measure", caption), Markdown(text)


# ---- what it cannot see, what was forgotten ------------------------------------------------------


def damaged_table(
    scores: Mapping[str, Mapping[str, float]], texts: Mapping[str, str], right: str, reference: str
) -> HTML:
    """A good answer, damaged in several ways.

    Parameters
    ----------
    scores : mapping
        By what was done: ``raw`` and ``rescaled`` F1, the highest first.
    texts : mapping of str to str
        The answers.
    right : str
        The only one that is not wrong.
    """
    rows = [
        {
            "what was done": name,
            "answer": texts[name],
            "right?": "yes" if name == right else "no",
            "raw F1": f"{of['raw']:.3f}",
            "rescaled": f"{of['rescaled']:+.3f}",
        }
        for name, of in scores.items()
    ]
    return texts_table(rows, f"reference: {reference}")


def damaged_sentence(
    scores: Mapping[str, Mapping[str, float]], texts: Mapping[str, str], right: str
) -> Markdown:
    """Which wrong answers score above the right one."""
    of_right = scores[right]["raw"]
    above = [name for name in texts if scores[name]["raw"] > of_right]
    highest = max((scores[name]["raw"] for name in above), default=of_right)
    return Markdown(
        f"**{len(above)} wrong answers score above the right one**, up to {highest:.3f} against {of_right:.3f}: {', '.join(above)}. Rescaling changes none of these places: it is a straight line. A changed digit is one token of many, and the rest matches."
    )


def risen_answers(
    asked: Sequence[Dialogue],
    said: Mapping[str, Sequence[str]],
    before: Sequence[float],
    after: Sequence[float],
) -> HTML:
    """The three answers whose F1 rose most."""
    rise = sorted(range(len(asked)), key=lambda i: before[i] - after[i])[:3]
    rows = [
        {
            "question": asked[i].question,
            "reference": asked[i].answer,
            "before": said["before"][i][:80],
            "after": said["after"][i][:120],
            "F1": f"{before[i]:.2f} → {after[i]:.2f}",
        }
        for i in rise
    ]
    return texts_table(rows, "the largest gains of this run; long answers are cut in this table")


def forgetting_sentence(forgot: Mapping[str, Comparison]) -> Markdown:
    """What became of general answers, language by language."""
    texts = []
    for language, one in forgot.items():
        verdict = "did not change beyond chance"
        if one.low > 0:
            verdict = "got better"
        elif one.high < 0:
            verdict = "got worse"
        name = LANGUAGES.get(language, language)
        interval = f"{one.gain:+.2f}, {one.low:+.2f} to {one.high:+.2f}"
        texts.append(f"General answers in {name} {verdict} ({interval}).")
    texts.append(
        "What a training does to other subjects and languages has to be measured: a low rank bounds the change, and does not aim it."
    )
    return Markdown(" ".join(texts))


# ---- under compression ---------------------------------------------------------------------------


def consultation_table(curves: Curves, full: Sequence[Mapping], source: str, seed: int = 0) -> HTML:
    """Every method at every budget, against the full cache on the same consultations."""
    rows = [
        {
            "method": name,
            "budget": budget,
            "bytes kept": f"{_mean(found, 'kept_bytes') / _mean(full, 'kept_bytes'):.0%}",
        }
        | _worse(full, found, seed)
        | {
            "KL, nats": f"{_mean(found, 'kl'):.2f}",
            "same next token": f"{_mean(found, 'agreement'):.0%}",
        }
        for name, of in curves.items()
        for budget, found in of.items()
    ]
    caption = f"{source}: {len(full)} consultations; full KV's NLL is {_mean(full, 'nll'):.2f} nats a token"
    return table(rows, "measured", caption)


def consultation_sentence(curves: Curves, full: Sequence[Mapping]) -> Markdown:
    """Which methods move the model least and most, and what the right answer loses at most."""
    largest = max(next(iter(curves.values())))
    kl = {name: _mean(of[largest], "kl") for name, of in curves.items()}
    least, *_, most = sorted(kl, key=lambda name: kl[name])
    highest = max(_mean(found, "nll") for of in curves.values() for found in of.values())
    return Markdown(
        f"At {largest} entries, {least} moves the fine-tuned model least (KL {kl[least]:.2f}) and {most} most ({kl[most]:.2f}). Over all methods and budgets the right answer's NLL is worse by {highest - _mean(full, 'nll'):.2f} at most, on average over the consultations. That is little, and the reason is in the prompts: such an answer depends on the question, which stands at the end and is kept by every method, and hardly on the consultations before it. **Compression and fine-tuning do not get into each other's way here; but a test whose answer does not need the context cannot show that they would.**"
    )


def _mean(found: Sequence[Mapping], name: str) -> float:
    return fmean(one[name] for one in found)


def _worse(full: Sequence[Mapping], found: Sequence[Mapping], seed: int) -> dict[str, str]:
    ours, theirs = ([one["nll"] for one in of] for of in (full, found))
    one = compare(ours, theirs, less_is_better=True, seed=seed)
    return {
        "NLL, nats a token": f"{one.after:.2f}",
        "worse than full KV by": f"{-one.gain:+.2f} ({-one.high:+.2f} to {-one.low:+.2f})",
    }
