"""How near answers come to their references, and what fine-tuning gained or lost.

No measure here knows medicine, and none says whether an answer is right: a wrong dose costs a
few characters. They say how much an answer resembles one good answer, in meaning (BERTScore)
and in wording (BLEU, ROUGE-L), how likely a model finds that answer, and how varied answers are.

>>> from kvbook.finetune.score import score_answers, compare

``python -m kvbook.finetune.score`` makes the embedded encoder's baseline again.
"""

from kvbook.finetune.score.baseline import (
    Baseline,
    baseline_texts,
    digest,
    make_baseline,
    read_baseline,
)
from kvbook.finetune.score.bert import BertScores, Match, bertscore
from kvbook.finetune.score.comparison import TIE, Comparison, compare, forgetting
from kvbook.finetune.score.likelihood import reference_nll
from kvbook.finetune.score.pairs import check_pairs
from kvbook.finetune.score.scorer import (
    BERT_BASE_CHINESE,
    LAYERS,
    Encoder,
    choose_encoder,
    open_scorer,
    shipped_baseline,
)
from kvbook.finetune.score.scores import Scores, score_answers
from kvbook.finetune.score.wording import Overlap, distinct_n, length_ratio, overlap

__all__ = [
    "BERT_BASE_CHINESE",
    "LAYERS",
    "TIE",
    "Baseline",
    "BertScores",
    "Comparison",
    "Encoder",
    "Match",
    "Overlap",
    "Scores",
    "baseline_texts",
    "bertscore",
    "check_pairs",
    "choose_encoder",
    "compare",
    "digest",
    "distinct_n",
    "forgetting",
    "length_ratio",
    "make_baseline",
    "open_scorer",
    "overlap",
    "read_baseline",
    "reference_nll",
    "score_answers",
    "shipped_baseline",
]
