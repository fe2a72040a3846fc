"""What answers have in common with their references in characters, and how varied they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from kvbook.errors import ParameterError
from kvbook.finetune.score.pairs import check_pairs


@dataclass(frozen=True)
class Overlap:
    """Characters in common, a value a pair, from 0 to 1.

    Attributes
    ----------
    bleu, rouge_l : list of float
    """

    bleu: list[float]
    rouge_l: list[float]


class _Characters:
    """For rouge-score: each character is a token, white space is none."""

    def tokenize(self, text: str) -> list[str]:
        return [character for character in text if not character.isspace()]


def overlap(candidates: Sequence[str], references: Sequence[str]) -> Overlap:
    """BLEU-4 and ROUGE-L of characters, as Chinese has no spaces between words.

    BLEU (Papineni et al., 2002) is sacrebleu's for single sentences: runs of one to four
    characters, the first run length without a hit counted as half a hit, the next as a quarter,
    and so on; a text of fewer than four characters by the runs it has. ROUGE-L (Lin, 2004) is
    rouge-score's F1 of the longest common subsequence. White space does not count.

    Raises
    ------
    ParameterError
        No pairs, unequal lengths, an empty reference.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU

    check_pairs(candidates, references)
    bleu = BLEU(tokenize="char", effective_order=True)
    rouge = RougeScorer(["rougeL"], tokenizer=_Characters())
    pairs = list(zip(candidates, references, strict=True))
    return Overlap(
        [bleu.sentence_score(ours, [theirs]).score / 100 for ours, theirs in pairs],
        [rouge.score(theirs, ours)["rougeL"].fmeasure for ours, theirs in pairs],
    )


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Different runs of ``n`` characters over all such runs in all texts (distinct-n, Li et al.,
    2016), from 0 to 1; 0 if there is none. White space does not count.

    More text repeats more: compare texts of about the same amount.
    """
    if n < 1:
        raise ParameterError(f"n={n}: give a number of characters from 1")
    texts = ["".join(text.split()) for text in texts]
    runs = [text[i : i + n] for text in texts for i in range(len(text) - n + 1)]
    return len(set(runs)) / len(runs) if runs else 0.0


def length_ratio(candidates: Sequence[str], references: Sequence[str]) -> float:
    """Characters of all candidates over those of all references, without white space at the ends."""
    check_pairs(candidates, references)
    ours, theirs = (sum(len(text.strip()) for text in texts) for texts in (candidates, references))
    return ours / theirs
