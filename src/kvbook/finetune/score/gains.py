"""One model's scores against another's, measure by measure, from a run or from a results file."""

from collections.abc import Mapping

from kvbook.finetune.score.comparison import Comparison, compare

RAW, RESCALED = "BERTScore F1, raw", "BERTScore F1, rescaled"
NLL = "NLL of the reference, nats a token"


def gains(before: Mapping, after: Mapping, *, seed: int = 0) -> dict[str, Comparison]:
    """What a change did, item by item, to each measure.

    Parameters
    ----------
    before, after : mapping
        What `kvbook.finetune.score.Scores.data` gives, with an encoder that has a baseline, and
        with ``nll``.
    seed : int
        Of the bootstrap.

    Raises
    ------
    ParameterError
        Not the same items.
    """

    def by_measure(scores: Mapping) -> dict[str, list[float]]:
        return {
            RAW: scores["bert"]["raw"]["f1"],
            RESCALED: scores["bert"]["rescaled"]["f1"],
            "BLEU-4 of characters": scores["overlap"]["bleu"],
            "ROUGE-L of characters": scores["overlap"]["rouge_l"],
            NLL: scores["nll"],
        }

    theirs = by_measure(after)
    return {
        name: compare(ours, theirs[name], less_is_better=name == NLL, seed=seed)
        for name, ours in by_measure(before).items()
    }
