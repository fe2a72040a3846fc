"""All measures of one model's answers together."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from kvbook.finetune.score.bert import BertScores, bertscore
from kvbook.finetune.score.scorer import Encoder
from kvbook.finetune.score.wording import Overlap, distinct_n, length_ratio, overlap
from kvbook.stats import mean_and_interval, show_interval


@dataclass(frozen=True)
class Scores:
    """Everything that is measured of one model's answers.

    Attributes
    ----------
    bert : BertScores
    overlap : Overlap
    distinct_1, distinct_2 : float
        Of the answers, see `distinct_n`.
    length_ratio : float
        Above 1, answers are longer than their references.
    nll : list of float or None
        See `reference_nll`.
    """

    bert: BertScores
    overlap: Overlap
    distinct_1: float
    distinct_2: float
    length_ratio: float
    nll: list[float] | None = None

    def row(self, **first) -> dict[str, str]:
        """A row for `kvbook.show.table`, after columns of your own; means with their 95 %
        intervals."""
        values = {"BERTScore F1, raw": self.bert.raw.f1}
        if self.bert.rescaled:
            values["rescaled"] = self.bert.rescaled.f1
        values |= {"BLEU-4": self.overlap.bleu, "ROUGE-L": self.overlap.rouge_l}
        if self.nll is not None:
            values["NLL of the reference"] = self.nll
        return (
            first
            | {name: show_interval(*mean_and_interval(of), ".3f") for name, of in values.items()}
            | {
                "distinct-1 / -2": f"{self.distinct_1:.2f} / {self.distinct_2:.2f}",
                "length ratio": f"{self.length_ratio:.2f}",
                "empty": str(self.bert.empty),
                "cut": str(self.bert.cut),
            }
        )

    def data(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)


def score_answers(
    answers: Sequence[str],
    references: Sequence[str],
    *,
    encoder: Encoder | None = None,
    nll: list[float] | None = None,
) -> Scores:
    """Score one model's answers.

    Parameters
    ----------
    answers, references : sequence of str
        One of each a question.
    encoder : Encoder, optional
        From `choose_encoder`; the embedded one when left out.
    nll : list of float, optional
        From `reference_nll`, to stand beside the others.

    Raises
    ------
    ParameterError, ModelError
        See `bertscore`.
    """
    return Scores(
        bertscore(answers, references, encoder=encoder),
        overlap(answers, references),
        distinct_n(answers, 1),
        distinct_n(answers, 2),
        length_ratio(answers, references),
        nll,
    )
