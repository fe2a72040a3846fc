"""Scores of answers: the report's line, where a scale begins, what a training gained and forgot."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML
from matplotlib.figure import Figure

from kvbook.finetune.data import Dialogue
from kvbook.finetune.data.cutoff import HELP
from kvbook.finetune.score import Comparison, compare
from kvbook.finetune.score.baseline import rescale
from kvbook.finetune.score.gains import NLL, RAW, RESCALED
from kvbook.results import ResultFile
from kvbook.show.drawing import key
from kvbook.show.said import Said, bullets, say
from kvbook.show.said import compare as beside
from kvbook.show.style import INK, KEPT
from kvbook.show.tables import table, tag, texts_table
from kvbook.stats import mean_and_interval, show_interval

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


def cosines_sentence(cosines: torch.Tensor) -> Said:
    """Between which values the cosines of `match_table` are."""
    return say(
        "The cosines go from {low:.2f} to {high:.2f}, with a mean of {mean:.2f}.",
        low=float(cosines.min()),
        high=float(cosines.max()),
        mean=float(cosines.mean()),
    )


def by_hand_sentence(by_hand: float, by_package: float) -> Said:
    """F1 by the formula, and by bert-score."""
    return say(
        "F1 is {by_hand:.4f} by hand, and {by_package:.4f} by `bert-score`.",
        by_hand=by_hand,
        by_package=by_package,
    )


def unrelated_sentence(unrelated: Sequence[float], baseline: float) -> Said:
    """What answers to other questions score."""
    return say(
        "Answers to **different** questions score **{mean:.2f}** on average ({low:.2f} to {high:.2f}). The baseline that is kept with this book, made once from more pairs, is {baseline:.3f}.",
        mean=fmean(unrelated),
        low=min(unrelated),
        high=max(unrelated),
        baseline=baseline,
    )


def rescaled_sentence(report: Mapping, baseline: float) -> Said:
    """The report's line on the rescaled scale of bert-base-chinese."""
    before, after = report["bertscore_f1"].values()
    first, second = rescale(before, baseline), rescale(after, baseline)
    return say(
        'Now read the report\'s line again. The report does not name its encoder. For Chinese, `bert-score` takes bert-base-chinese, with a baseline of {baseline:.3f}. If that was the encoder, then {before:.2f} → {after:.2f} is **{first:.2f} → {second:.2f}** rescaled. On this scale, 0 is the score of unrelated sentences and 1 that of the same words: the model went up by {gain:.2f}, and stays {left:.2f} below 1. A right answer in other words stays below 1, too. It is the same gain. "Eleven per cent" depends on where the scale begins.',
        baseline=baseline,
        before=before,
        after=after,
        first=first,
        second=second,
        gain=second - first,
        left=1 - second,
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


def measures_sentence(gained: Mapping[str, Comparison]) -> Said:
    """Which measures changed beyond chance."""
    better = [name for name, one in gained.items() if one.low > 0]
    worse = [name for name, one in gained.items() if one.high < 0]
    if len(better) == len(gained):
        return say(
            "All {all} rows got better: no interval includes 0. (F1 raw and rescaled always change together.)",
            all=len(gained),
        )
    return say(
        "Of {all} rows, {better} got better and {worse} worse with an interval without 0; for the others no change can be seen. (F1 raw and rescaled always change together.)",
        all=len(gained),
        better=len(better),
        worse=len(worse),
    )


def gain_sentence(
    gained: Mapping[str, Comparison], after: Sequence[float], unrelated: Sequence[float]
) -> Said:
    """Whether the gain in F1 is one, and whether the answers reach answers to other questions.

    Parameters
    ----------
    gained : mapping
        From `kvbook.finetune.score.gains.gains`.
    after, unrelated : sequence of float
        Raw F1 of the answers after training, and of answers to other questions.
    """
    raw, beyond = gained[RAW], gained[RESCALED]
    verdict = say("with {items} items no change can be seen", items=raw.items)
    if raw.low > 0:
        verdict = say("the training raised the score")
    elif raw.high < 0:
        verdict = say("the training lowered the score")
    return say(
        "F1 changed by **{gain:+.3f}** ({low:+.3f} to {high:+.3f}): {verdict}. Rescaled, the change is {beyond:+.3f} ({beyond_low:+.3f} to {beyond_high:+.3f}).\n\n"
        "An answer that was written for *another patient* scores {other:.3f} on average. {reached} Of the {items} answers of the trained model, {above} score above {other:.3f}.",
        gain=raw.gain,
        low=raw.low,
        high=raw.high,
        verdict=verdict,
        beyond=beyond.gain,
        beyond_low=beyond.low,
        beyond_high=beyond.high,
        other=fmean(unrelated),
        reached=_beside_others(after, unrelated),
        items=raw.items,
        above=sum(one > fmean(unrelated) for one in after),
    )


def _beside_others(after: Sequence[float], unrelated: Sequence[float]) -> Said:
    """The model's mean F1 against that of answers to other questions."""
    mean, low, high = mean_and_interval(after)
    values, other = {"mean": mean, "low": low, "high": high}, fmean(unrelated)
    if high < other:
        return say(
            "The trained model scores {mean:.3f} ({low:.3f} to {high:.3f}): **answers drawn at random from the data score higher than its own.**",
            **values,
        )
    if low > other:
        return say(
            "The trained model scores {mean:.3f} ({low:.3f} to {high:.3f}), more than such an answer.",
            **values,
        )
    return say(
        "The trained model scores {mean:.3f} ({low:.3f} to {high:.3f}): **it cannot be told from answers drawn at random from the data.**",
        **values,
    )


def gains_form(
    runs: Mapping[str, Mapping[str, Comparison]], report: Mapping, baseline: float
) -> HTML:
    """Our runs' gains in the form of the report's, and the report's, raw and rescaled.

    Parameters
    ----------
    runs : mapping
        By what the run is called: from `kvbook.finetune.score.gains.gains`.
    baseline : float
        Of the encoder that the report may have used; we rescale its scores by it.
    """
    rows = [
        {
            "run": tag("measured") + f" {name if scale == 'raw' else 'the same'}",
            "F1": scale,
            "items": one.items,
            "before": f"{one.before:.3f}",
            "after": f"{one.after:.3f}",
            "gain": show_interval(one.gain, one.low, one.high, "+.3f"),
        }
        for name, gained in runs.items()
        for scale, one in (("raw", gained[RAW]), ("rescaled", gained[RESCALED]))
    ]
    raw = [*report["bertscore_f1"].values()]
    rows += [
        {
            "run": tag("report") + " Qwen3 on MedChatZH",
            "F1": scale,
            "items": report["items"],
            "before": f"{before:.2f}",
            "after": f"{after:.2f}",
            "gain": f"{after - before:+.2f}",
        }
        for scale, (before, after) in (
            ("raw", raw),
            ("rescaled by us", [rescale(one, baseline) for one in raw]),
        )
    ]
    caption = "the report's scores are rescaled as if by bert-base-chinese, layer 8"
    return table(rows, None, caption)


def kept_name(kept: ResultFile) -> str:
    """What the longer run that is kept with the book is called: its model, steps, date and machine."""
    origin: Any = kept.provenance  # its parameters are JSON
    return f"a longer run, kept: {origin.model}, {origin.parameters['steps']} steps, {origin.started[:10]}, {origin.machine['cpu']}, {origin.seconds / 60:.0f} minutes, seed {origin.seed}"


def kept_gains(kept: ResultFile, gained: Mapping[str, Comparison]) -> HTML:
    """All measures of the longer run."""
    data: Any = kept.data  # as the chapter left it
    asked: Any = kept.provenance.parameters
    caption = f"the kept run: {len(data['answers']['after'])} items, {asked['steps']} steps of {asked['batch']} rows"
    return comparisons_table(gained, "measure", caption)


def kept_run_sentence(
    kept: ResultFile,
    gained: Mapping[str, Comparison],
    steps: int,
    unrelated: Sequence[float],
) -> Said:
    """What the longer run reached beside the ``steps`` of this one."""
    data: Any = kept.data
    asked: Any = kept.provenance.parameters
    (_, start), *_, (_, end) = data["held_out_losses"]
    nll = gained[NLL]
    return say(
        "The kept run has {times:.0f} times the steps of this run. Its held-out loss went from {start:.2f} to {end:.2f}, and the NLL of the references from {before:.2f} to {after:.2f} nats a token. {reached}",
        times=asked["steps"] / steps,
        start=start,
        end=end,
        before=nll.before,
        after=nll.after,
        reached=_beside_others(data["scores"]["after"]["bert"]["raw"]["f1"], unrelated),
    )


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
        The name of the only answer that is right.
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
) -> Said:
    """Which wrong answers score above the right one."""
    of_right = scores[right]["raw"]
    above = [name for name in texts if scores[name]["raw"] > of_right]
    if not above:
        return say("No wrong answer scores above the right one ({right:.3f}).", right=of_right)
    return say(
        "**Of {wrong} wrong answers, {above} score above the right one**, up to {highest:.3f} against {right:.3f}: {names}. Rescaling keeps this order, because it is a straight line. A changed digit is one token of many, and all the others still match almost fully.",
        wrong=len(texts) - 1,
        above=len(above),
        highest=max(scores[name]["raw"] for name in above),
        right=of_right,
        names=", ".join(above),
    )


def risen_answers(
    asked: Sequence[Dialogue],
    said: Mapping[str, Sequence[str]],
    before: Sequence[float],
    after: Sequence[float],
) -> HTML:
    """The three answers whose F1 rose most."""
    rows = [
        {
            "question": asked[i].question,
            "reference": asked[i].answer,
            "before": said["before"][i][:80],
            "after": said["after"][i][:120],
            "F1": f"{before[i]:.2f} → {after[i]:.2f}",
        }
        for i in _risen(before, after)
    ]
    return texts_table(rows, "the largest gains of this run; long answers are cut in this table")


def risen_sentence(
    said: Mapping[str, Sequence[str]], before: Sequence[float], after: Sequence[float]
) -> Said:
    """How many of the `risen_answers` name somebody who can help."""
    rose = _risen(before, after)
    counts = {when: sum(bool(HELP.search(said[when][i])) for i in rose) for when in said}
    return say(
        "A word for a doctor or a hospital is in {before} of these {all} answers before the training, and in {after} after it.",
        all=len(rose),
        **counts,
    )


def _risen(before: Sequence[float], after: Sequence[float]) -> list[int]:
    """The three items whose F1 rose most."""
    return sorted(range(len(before)), key=lambda i: before[i] - after[i])[:3]


def forgetting_sentence(forgot: Mapping[str, Comparison]) -> Said:
    """What became of general answers, language by language."""
    told = []
    for language, one in forgot.items():
        verdict = say("no change can be seen with {items} of them", items=one.items)
        if one.low > 0:
            verdict = say("they became more probable")
        elif one.high < 0:
            verdict = say("they became less probable")
        told.append(
            say(
                "General answers in {language}: {verdict} ({gain:+.2f}, {low:+.2f} to {high:+.2f}).",
                language=LANGUAGES.get(language, language),
                verdict=verdict,
                gain=one.gain,
                low=one.low,
                high=one.high,
            )
        )
    return bullets(told)


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


def consultation_sentence(curves: Curves, full: Sequence[Mapping], seed: int = 0) -> Said:
    """Which methods move the model least and most, and what the right answer loses."""
    largest = max(next(iter(curves.values())))
    kl = {name: _mean(of[largest], "kl") for name, of in curves.items()}
    least, *_, most = sorted(kl, key=lambda name: kl[name])
    every = [_nll_beside(full, found, seed) for of in curves.values() for found in of.values()]
    more, less = ([one["kl"] for one in curves[name][largest]] for name in (most, least))
    return say(
        "At {largest} entries, {most} moves the fine-tuned model most and {least} least: KL {compared}. {nll}",
        largest=largest,
        most=most,
        least=least,
        compared=beside(more, less, seed, ".2f"),
        nll=_nll_sentence(every, len(full)),
    )


def _nll_sentence(every: Sequence[Comparison], items: int) -> Said:
    """In how many cases the right answer became less probable."""
    highest = max(-one.gain for one in every)
    if items < 2:
        return say(
            "The right answer's NLL is worse than full KV's by {highest:.2f} at most (one consultation: no interval).",
            highest=highest,
        )
    return say(
        "The right answer's NLL is worse than full KV's in {worse} of {all} cases, and better in {better}; in the others no difference can be seen. It is worse by {highest:.2f} at most, on average over the consultations.",
        worse=sum(one.high < 0 for one in every),
        better=sum(one.low > 0 for one in every),
        all=len(every),
        highest=highest,
    )


def _mean(found: Sequence[Mapping], name: str) -> float:
    return fmean(one[name] for one in found)


def _nll_beside(full: Sequence[Mapping], found: Sequence[Mapping], seed: int) -> Comparison:
    """The right answer's NLL with a method against the full cache's, on the same consultations."""
    ours, theirs = ([one["nll"] for one in of] for of in (full, found))
    return compare(ours, theirs, less_is_better=True, seed=seed)


def _worse(full: Sequence[Mapping], found: Sequence[Mapping], seed: int) -> dict[str, str]:
    one = _nll_beside(full, found, seed)
    return {
        "NLL, nats a token": f"{one.after:.2f}",
        "worse than full KV by": f"{-one.gain:+.2f} ({-one.high:+.2f} to {-one.low:+.2f})",
    }
